import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type FetchAnswer, FetchError, type FetchRequest } from '../../../fetch/fetcher.ts';
import { type IntrospectionOutcome, Introspector } from './introspector.ts';

const NOW = 1_800_000_000;

const reason = (outcome: IntrospectionOutcome): string => (outcome.type === 'active' ? 'active' : outcome.reason);

class Server {
  readonly requests: FetchRequest[] = [];
  readonly counts = { calls: 0, failures: 0, hits: 0 };
  readonly cell: { value: string | undefined } = { value: 'pass&wörd'.replace('ö', '\u00c3\u00b6') };
  answer: (request: FetchRequest) => Promise<Partial<FetchAnswer>> = this.saying({ active: true, sub: 'ada' });
  monotonic = 0;
  date = NOW * 1000;
  readonly introspector: Introspector;

  constructor(cacheFor = 30_000) {
    this.introspector = new Introspector(
      { endpoint: 'https://id.example.com/introspect', clientId: 'gw:1', secret: 'shop/gw/secret', cacheFor },
      this.cell,
      {
        fetch: async (request) => {
          this.requests.push(request);
          return { status: 200, headers: {}, body: Buffer.alloc(0), ...(await this.answer(request)) };
        },
      },
      this.counts,
      { monotonic: () => this.monotonic, date: () => this.date },
    );
  }

  saying(content: unknown, more: Partial<FetchAnswer> = {}): () => Promise<Partial<FetchAnswer>> {
    return () => Promise.resolve({ body: Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)), ...more });
  }

  async ask(token = 'a-token'): Promise<string> {
    return reason(await this.introspector.introspect(token));
  }
}

describe('introspection', () => {
  test('the question is as RFC 7662 section 2.1 has it', async () => {
    const server = new Server();
    const outcome = await server.introspector.introspect('a+b/c=~');
    assert.deepEqual(outcome, { type: 'active', claims: { active: true, sub: 'ada' } });
    const [request] = server.requests;
    assert.equal(request?.method, 'POST');
    assert.equal(request?.url, 'https://id.example.com/introspect');
    assert.equal(request?.body, 'token=a%2Bb%2Fc%3D%7E&token_type_hint=access_token');
    assert.equal(request?.headers?.['content-type'], 'application/x-www-form-urlencoded');
    const [scheme, credentials = ''] = String(request?.headers?.authorization).split(' ');
    assert.equal(scheme, 'Basic');
    assert.equal(Buffer.from(credentials, 'base64').toString(), 'gw%3A1:pass%26w%C3%B6rd');
  });

  test('an answer is used again for its time, a bad one too', async () => {
    const server = new Server();
    assert.equal(await server.ask('good'), 'active');
    server.answer = server.saying({ active: false });
    assert.equal(await server.ask('bad'), 'token_inactive');
    server.monotonic = 29_999;
    assert.ok(!(server.introspector.introspect('good') instanceof Promise));
    assert.equal(await server.ask('good'), 'active');
    assert.equal(await server.ask('bad'), 'token_inactive');
    assert.equal(server.requests.length, 2);
    server.monotonic = 30_000;
    assert.equal(await server.ask('good'), 'token_inactive');
    server.answer = server.saying({ active: true });
    assert.equal(await server.ask('bad'), 'active');
    assert.equal(server.requests.length, 4);
  });

  test('with cacheFor 0 each request asks, but not two at once', async () => {
    const server = new Server(0);
    assert.deepEqual(await Promise.all(Array.from({ length: 10 }, () => server.ask())), Array(10).fill('active'));
    assert.equal(server.requests.length, 1);
    assert.equal(await server.ask(), 'active');
    assert.equal(server.requests.length, 2);
  });

  test('exp ends it before its time in memory, and nbf holds it back', async () => {
    const server = new Server();
    server.answer = server.saying({ active: true, exp: NOW + 5, nbf: NOW });
    assert.equal(await server.ask(), 'active');
    server.date += 5000;
    assert.equal(await server.ask(), 'token_expired');
    server.answer = server.saying({ active: true, exp: NOW - 1 });
    assert.equal(await server.ask('other'), 'token_expired');
    server.answer = server.saying({ active: true, nbf: NOW + 60 });
    assert.equal(await server.ask('third'), 'token_not_yet_valid');
  });

  const failing: readonly (readonly [what: string, answer: (server: Server) => Server['answer']])[] = [
    ['no connection', () => () => Promise.reject(new FetchError('connect_failed', ''))],
    ['no time', () => () => Promise.reject(new FetchError('timed_out', ''))],
    ['an error of ours', () => () => Promise.reject(new Error('oh'))],
    ['401: our password is wrong', (server) => server.saying({ active: true }, { status: 401 })],
    ['500', (server) => server.saying({ active: true }, { status: 500 })],
    ['a redirect', (server) => server.saying({ active: true }, { status: 302 })],
    ['no JSON', (server) => server.saying('active')],
    ['a JWT', (server) => server.saying('eyJhbGciOiJub25lIn0.eyJhY3RpdmUiOnRydWV9.')],
    ['a list', (server) => server.saying([{ active: true }])],
    ['no active', (server) => server.saying({ sub: 'ada' })],
    ['active as text', (server) => server.saying({ active: 'true' })],
    ['active as a number', (server) => server.saying({ active: 1 })],
    ['active twice', (server) => server.saying('{"active":false,"active":true}')],
    ['exp as text', (server) => server.saying({ active: true, exp: '9999999999' })],
    ['compressed', (server) => server.saying({ active: true }, { headers: { 'content-encoding': 'gzip' } })],
  ];
  for (const [what, answer] of failing) {
    test(`${what}: nobody passes, and the next request asks again`, async () => {
      const server = new Server();
      server.answer = answer(server);
      assert.equal(await server.ask(), 'introspection_failed');
      assert.deepEqual(server.counts, { calls: 1, failures: 1, hits: 0 });
      server.answer = server.saying({ active: true });
      assert.equal(await server.ask(), 'active');
      assert.equal(server.requests.length, 2);
    });
  }

  test('what is no token is not asked about', async () => {
    const server = new Server();
    for (const token of ['', 'two words', 'a\u0000b', 'ümlaut', 'tab\t']) assert.equal(await server.ask(token), 'token_malformed');
    assert.equal(await server.ask('x'.repeat(16 * 1024 + 1)), 'token_too_long');
    assert.equal(server.requests.length, 0);
  });

  test('without the password nothing is asked', async () => {
    const server = new Server();
    server.cell.value = undefined;
    assert.equal(await server.ask(), 'client_secret_unavailable');
    assert.equal(server.requests.length, 0);
  });

  test('a server that hangs is not asked without end', async () => {
    const server = new Server();
    let release = (): void => {};
    const hanging = new Promise<void>((resolve) => {
      release = resolve;
    });
    server.answer = () => hanging.then(server.saying({ active: true }));
    const waiting = Array.from({ length: 600 }, (_, index) => server.ask(`token-${index}`));
    release();
    const outcomes = await Promise.all(waiting);
    assert.equal(server.requests.length, 512);
    assert.equal(outcomes.filter((outcome) => outcome === 'introspection_overloaded').length, 88);
    assert.equal(await server.ask('another'), 'active');
  });
});
