import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Exchange } from '../../exchange/exchange.ts';
import type { AuthSpec } from '../../snapshot/auth.ts';
import { contextOf } from '../context.fixture.ts';
import { exchangeOf, type RequestSpec } from '../exchange.fixture.ts';
import { type PolicyContext, Verdict } from '../policy.ts';
import { Secrets } from '../secrets.ts';
import { auth } from './auth.ts';
import { type CountedAuth, knownConsumers } from './context.fixture.ts';

const SECRET = 'shop/users/auth';
const SHA = '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=';
const BASE: AuthSpec = { policy: 'shop/test', namespace: 'shop', methods: [], anonymous: 'Deny', stripToken: false, credentialParameters: [] };
const apiKey = { type: 'apiKey', from: [{ type: 'Header', name: 'x-api-key', prefix: '' }] } as const;
const basic = { type: 'basic', secret: SECRET, realm: 'the "shop"' } as const;

class Policy {
  readonly auth: CountedAuth = knownConsumers();
  readonly secrets = new Secrets();
  readonly context: PolicyContext;
  readonly spec: AuthSpec;

  constructor(spec: Partial<AuthSpec>, users: string | undefined = `alice:${SHA}\nbob:${SHA}`) {
    this.spec = { ...BASE, ...spec };
    if (users !== undefined) this.secrets.put(new Map([[SECRET, users]]));
    this.context = contextOf({ auth: this.auth, secrets: this.secrets });
  }

  async run(request: RequestSpec): Promise<Exchange> {
    const exchange = exchangeOf(request);
    const resumed = new Promise<void>((resolve, reject) => {
      exchange.resume = resolve;
      exchange.fail = reject;
    });
    if (auth.compile(this.spec, this.context).onRequest?.(exchange) === Verdict.Waiting) await resumed;
    return exchange;
  }

  counts(): Record<string, object> {
    return Object.fromEntries([...this.auth.counts].map(([key, counts]) => [key.split(' ')[1] as string, counts]));
  }
}

const basicHeader = (pair: string | Buffer) => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` });

describe('method basic', () => {
  it('knows users by their passwords, off the event loop the first time', async () => {
    const policy = new Policy({ methods: [basic] });
    const exchanges = await Promise.all([1, 2, 3].map(() => policy.run({ headers: basicHeader('alice:secret') })));
    for (const exchange of exchanges) {
      assert.equal(exchange.reply, undefined);
      assert.deepEqual(exchange.identity, { method: 'basic', subject: 'alice', claims: {}, consumer: 'acme', groups: ['gold'] });
    }
    const again = exchangeOf({ headers: basicHeader('alice:secret') });
    assert.equal(auth.compile(policy.spec, policy.context).onRequest?.(again), Verdict.Continue, 'a known password waits for nothing');
    assert.equal((await policy.run({ headers: basicHeader('bob:secret') })).identity?.consumer, undefined);
    assert.deepEqual(policy.counts().basic, { allowed: 5, refused: 0, failed: 0 });
  });

  it('refuses wrong passwords, unknown users and what is malformed alike, but for the word in the log', async () => {
    const policy = new Policy({ methods: [basic] });
    const cases: readonly (readonly [headers: Record<string, string>, reason: string])[] = [
      [basicHeader('alice:Secret'), 'wrong_password'],
      [basicHeader('alice:'), 'wrong_password'],
      [basicHeader('carol:secret'), 'wrong_password'],
      [basicHeader('__proto__:secret'), 'wrong_password'],
      [basicHeader(':secret'), 'wrong_password'],
      [basicHeader('alice:secret\0'), 'malformed_basic'],
      [basicHeader('alice'), 'malformed_basic'],
      [basicHeader(Buffer.from('alice:\xff', 'latin1')), 'malformed_basic'],
      [{ authorization: 'Basic YWxpY2U6c2VjcmV0!' }, 'malformed_basic'],
      [{ authorization: 'Basic YWxp Y2U6c2VjcmV0' }, 'malformed_basic'],
      [{ authorization: 'Basic' }, 'malformed_basic'],
    ];
    for (const [headers, reason] of cases) {
      const { reply, identity } = await policy.run({ headers });
      assert.deepEqual(
        reply,
        { status: 401, reason, detail: 'The credential is not good.', fields: [['WWW-Authenticate', 'Basic realm="the \\"shop\\"", charset="UTF-8"']] },
        JSON.stringify(headers),
      );
      assert.equal(identity, undefined);
    }
  });

  it('asks about another hash where the user is unknown, so that it takes as long', async () => {
    const policy = new Policy({ methods: [basic] });
    const asked: string[] = [];
    const check = policy.auth.passwords.check.bind(policy.auth.passwords);
    policy.auth.passwords.check = (name, hash, password, tell) => {
      asked.push(hash);
      return check(name, hash, password, tell);
    };
    await policy.run({ headers: basicHeader('carol:secret') });
    assert.deepEqual(asked, [SHA]);
  });

  it('is 503 without its Secret, and with one that names nobody; a new password holds at once', async () => {
    for (const users of [undefined, '', '# nobody\nalice:plain']) {
      const policy = new Policy({ methods: [basic] });
      policy.secrets.remove([SECRET]);
      if (users !== undefined) policy.secrets.put(new Map([[SECRET, users]]));
      const { reply } = await policy.run({ headers: basicHeader('alice:plain') });
      assert.deepEqual([reply?.status, reply?.reason], [503, 'passwords_missing']);
      assert.deepEqual(policy.counts().basic, { allowed: 0, refused: 0, failed: 1 });
    }
    const policy = new Policy({ methods: [basic] });
    assert.equal((await policy.run({ headers: basicHeader('alice:secret') })).reply, undefined);
    policy.secrets.put(new Map([[SECRET, `alice:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=`]]));
    assert.equal((await policy.run({ headers: basicHeader('alice:secret') })).reply?.status, 401);
  });

  it('takes on no more than it can do soon', async () => {
    const policy = new Policy({ methods: [basic] });
    const answers = await Promise.all(Array.from({ length: 80 }, (_, index) => policy.run({ headers: basicHeader(`alice:wrong ${index}`) })));
    const statuses = answers.map(({ reply }) => `${reply?.status} ${reply?.reason}`);
    assert.equal(statuses.filter((one) => one === '401 wrong_password').length, 64);
    assert.equal(statuses.filter((one) => one === '503 passwords_busy').length, 16);
  });
});

describe('methods in order', () => {
  const policy = new Policy({ methods: [apiKey, basic], stripToken: true });

  it('the first whose credential is present decides', async () => {
    const both = await policy.run({ headers: { 'x-api-key': 'key-of-globex', ...basicHeader('alice:secret') } });
    assert.equal(both.identity?.consumer, 'globex');
    assert.equal(both.requestFields.has('authorization'), false, 'no credential of any method goes on');
    const second = await policy.run({ headers: basicHeader('alice:secret') });
    assert.equal(second.identity?.method, 'basic');
    const bad = await policy.run({ headers: { 'x-api-key': 'no', ...basicHeader('alice:secret') } });
    assert.equal(bad.reply?.reason, 'unknown_api_key');
    assert.equal(bad.identity, undefined);
  });

  it('challenges for each where there is none', async () => {
    const { reply } = await policy.run({ headers: { authorization: 'Bearer x' } });
    assert.deepEqual(reply?.fields, [
      ['WWW-Authenticate', 'ApiKey'],
      ['WWW-Authenticate', 'Basic realm="the \\"shop\\"", charset="UTF-8"'],
    ]);
  });
});

describe('API keys', () => {
  it('are bytes, whatever they are', async () => {
    const policy = new Policy({ methods: [{ type: 'apiKey', from: [...apiKey.from, { type: 'QueryParam', name: 'k' }] }] });
    policy.auth.consumers.put([]);
    const odd = 'k\u00e9y with "quotes", ; and \u00ff';
    const { publishedConsumer } = await import('./context.fixture.ts');
    policy.auth.consumers.put([publishedConsumer({ name: 'odd', keys: [odd, '__proto__', Buffer.from('ключ').toString('latin1')] })]);
    assert.equal((await policy.run({ headers: { 'x-api-key': odd } })).identity?.consumer, 'odd');
    assert.equal((await policy.run({ headers: { 'x-api-key': '__proto__' } })).identity?.consumer, 'odd');
    assert.equal((await policy.run({ url: `http://a.test/?k=${encodeURIComponent('ключ')}` })).identity?.consumer, 'odd');
    for (const wrong of ['constructor', odd.slice(1), `${odd}x`, 'x'.repeat(8000)]) {
      assert.equal((await policy.run({ headers: { 'x-api-key': wrong } })).reply?.status, 401);
    }
  });
});

describe('authorization', () => {
  const allowing = new Policy({
    methods: [apiKey],
    anonymous: 'Allow',
    authorization: [{ expression: "request.method == 'GET' || 'gold' in identity.groups", message: 'needs gold' }, { expression: 'request.path != "/never"' }],
  });

  it('lets through what all of it holds for', async () => {
    assert.equal((await allowing.run({})).reply, undefined);
    assert.equal((await allowing.run({ method: 'POST', headers: { 'x-api-key': 'key-of-acme' } })).reply, undefined);
    assert.deepEqual((await allowing.run({ method: 'POST', headers: { 'x-api-key': 'key-of-globex' } })).reply, {
      status: 403,
      reason: 'not_authorized',
      detail: 'needs gold',
    });
    assert.equal((await allowing.run({ url: 'http://a.test/%6Eever', headers: { 'x-api-key': 'key-of-acme' } })).reply?.detail, 'This is not allowed.');
    assert.deepEqual(allowing.counts().authorization, { allowed: 2, refused: 2, failed: 0 });
  });

  it('has whom nobody knows say who they are, where there is a way to', async () => {
    const { reply } = await allowing.run({ method: 'POST' });
    assert.deepEqual([reply?.status, reply?.reason, reply?.fields], [401, 'no_credential', [['WWW-Authenticate', 'ApiKey']]]);
    assert.deepEqual(allowing.counts().authorization, { allowed: 2, refused: 3, failed: 0 });
    const nameless = new Policy({ authorization: [{ expression: "request.method == 'GET'" }] });
    assert.equal((await nameless.run({})).reply, undefined);
    assert.deepEqual((await nameless.run({ method: 'POST' })).reply, { status: 403, reason: 'not_authorized', detail: 'This is not allowed.' });
  });

  it('fails closed', async () => {
    const failing = new Policy({ authorization: [{ expression: "identity.claims.scope == 'x'" }] });
    const { reply } = await failing.run({});
    assert.deepEqual([reply?.status, reply?.reason], [503, 'expression_failed']);
    assert.deepEqual(failing.counts().authorization, { allowed: 0, refused: 0, failed: 1 });
  });
});

describe('forward', () => {
  const policy = new Policy({
    methods: [apiKey],
    anonymous: 'Allow',
    forward: [
      { name: 'x-seen', value: "request.headers['x-probe'] + ' ' + string('x-user-id' in request.headers)" },
      { name: 'x-user-id', value: 'identity.subject' },
    ],
  });

  it('takes away what clients write, and says who calls', async () => {
    const spoofed = { 'X-User-Id': 'root', 'x-probe': 'ä' };
    const known = await policy.run({ headers: { ...spoofed, 'x-api-key': 'key-of-acme' } });
    assert.deepEqual(known.requestFields.getAll('x-user-id'), ['acme']);
    assert.match(known.requestFields.get('x-seen') ?? '', / false$/);
    const anonymous = await policy.run({ headers: spoofed });
    assert.equal(anonymous.reply, undefined);
    assert.deepEqual(anonymous.requestFields.getAll('x-user-id'), []);
  });

  it('is 503 where a value fails, or has what ends a line', async () => {
    assert.equal((await policy.run({ headers: { 'x-api-key': 'key-of-acme' } })).reply?.reason, 'expression_failed');
    for (const value of ['identity.subject + "\\r\\nx-admin: 1"', '"a\\u0000"']) {
      const unsafe = new Policy({ methods: [apiKey], forward: [{ name: 'x-user-id', value }] });
      const { reply, requestFields } = await unsafe.run({ headers: { 'x-api-key': 'key-of-acme' } });
      assert.deepEqual([reply?.status, reply?.reason], [503, 'unsafe_forward_value']);
      assert.equal(requestFields.has('x-user-id'), false);
    }
  });
});
