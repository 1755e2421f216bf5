import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { Fields } from '../exchange/fields.ts';
import { type Refusal, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { settled } from './memory-wire.fixture.ts';
import { bench, echo, get, hello, ok, post, type Seen } from './server-bench.fixture.ts';

describe('ServerConnection: refusals', () => {
  it('answers with a problem document, and closes', async () => {
    const { connection, output, refused, seen, state } = bench(hello);
    connection.send(`GET / HTTP/1.1\r\nHost: a\r\nX A: 1\r\n\r\n${get('/smuggled')}`);
    assert.equal(
      output(),
      `HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 145\r\nX-Request-Id: *\r\nConnection: close\r\n\r\n{"type":"about:blank","title":"Bad Request","status":400,"detail":"A header field is malformed.","requestId":"*"}\n`,
    );
    const head = connection.received.slice(0, connection.received.indexOf('\r\n\r\n'));
    const body = connection.received.slice(head.length + 4);
    assert.equal(Number(/Content-Length: (\d+)/.exec(head)?.[1]), body.length);
    assert.match(head, /\r\nDate: /);
    assert.equal(/X-Request-Id: (\S+)/.exec(head)?.[1], JSON.parse(body).requestId);
    assert.equal(connection.ended, true);
    assert.equal(seen.length, 0);
    assert.deepEqual(
      refused.map(({ startedAt, requestId, ...rest }) => [typeof startedAt, requestId === JSON.parse(body).requestId, rest]),
      [
        [
          'number',
          true,
          {
            status: 400,
            reason: 'bad_field',
            clientAddress: '192.0.2.1',
            tls: undefined,
            method: 'GET',
            host: 'a',
            target: '/',
            protocol: 'HTTP/1.1',
            responseBytes: body.length,
          },
        ],
      ],
    );
    connection.sendEnd();
    await settled();
    assert.equal(state.closed, 1);
  });

  it('refuses after good requests, too', () => {
    const { connection, output } = bench(hello);
    connection.send(`${get()}GET / HTTP/1.1\r\n\r\n`);
    assert.ok(output().startsWith(`${ok('hello')}HTTP/1.1 400 Bad Request\r\n`));
  });

  it('sends no body to HEAD, and says what is allowed', () => {
    const head = bench();
    head.connection.send('HEAD / HTTP/1.1\r\n\r\n');
    assert.match(head.output(), /^HTTP\/1\.1 400 Bad Request\r\n.*\r\n\r\n$/s);
    const connect = bench();
    connect.connection.send('CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n');
    assert.match(connect.output(), /^HTTP\/1\.1 405 Method Not Allowed\r\n.*\r\nAllow: GET, /s);
  });

  it('counts fields dropped for their underscores', () => {
    const { connection, state, seen } = bench(hello);
    connection.send(get('/', 'X_A: 1', 'X_B: 2', 'X-C: 3'));
    assert.equal(state.dropped, 2);
    assert.equal(seen[0]?.exchange.requestFields.serialize(), 'Host: a\r\nX-C: 3\r\n');
  });
});

describe('ServerConnection: time', () => {
  it('answers a slow head with 408, however it drips', async () => {
    const { connection, output, pass, refused } = bench();
    connection.send('GET / HT');
    for (let count = 0; count < 9; count++) {
      pass(1_000);
      connection.send(count === 0 ? 'TP/1.1\r\nHost: a\r\nX: ' : 'x');
    }
    assert.equal(output(), '');
    pass(1_001);
    assert.match(output(), /^HTTP\/1\.1 408 Request Timeout\r\n.*Connection: close/s);
    assert.equal(refused[0]?.reason, 'head_timeout');
    const { method, host, target, protocol } = refused[0] as Refusal;
    assert.deepEqual([method, host, target, protocol], ['GET', 'a', '/', 'HTTP/1.1']);
    assert.equal(connection.ended, true);
  });

  it('closes silently where no head has begun', () => {
    const fresh = bench();
    fresh.pass(9_900);
    assert.equal(fresh.connection.ended, false);
    fresh.pass(200);
    assert.equal(fresh.connection.ended, true);
    assert.equal(fresh.output(), '');
    assert.equal(fresh.refused.length, 0);

    const kept = bench(hello);
    kept.connection.send(get());
    kept.pass(74_000);
    kept.connection.send(get());
    kept.pass(74_000);
    assert.equal(kept.connection.ended, false);
    kept.pass(2_000);
    assert.equal(kept.connection.ended, true);
    assert.equal(kept.output(), ok('hello').repeat(2));
  });

  it('leaves time to an answer, and none to a client that never takes it', () => {
    const { connection, seen, pass } = bench();
    connection.send(get());
    pass(1_000_000);
    assert.equal(connection.destroyed, false);
    connection.taking = false;
    hello(seen[0] as Seen);
    pass(59_000);
    assert.equal(connection.destroyed, false);
    pass(2_000);
    assert.equal(connection.destroyed, true);
  });

  it('lets the last answer out before it closes', async () => {
    const { connection, output, seen, pass } = bench();
    connection.send(get('/', 'Connection: close'));
    connection.taking = false;
    hello(seen[0] as Seen);
    pass(30_000);
    assert.equal(connection.destroyed, false);
    assert.equal(connection.ended, false);
    connection.drain();
    assert.equal(output(), ok('hello', 'Connection: close'));
    assert.equal(connection.ended, true);
    pass(5_100);
    assert.equal(connection.destroyed, true);
  });

  it('leaves nothing behind', async () => {
    const { connection, deadlines, state } = bench(hello);
    connection.send(get());
    assert.equal(deadlines.size, 1);
    connection.break(new Error('reset'));
    assert.equal(deadlines.size, 0);
    assert.equal(state.closed, 1);
  });
});

describe('ServerConnection: clients that go away', () => {
  it('tells when the connection breaks', () => {
    const { connection, seen } = bench();
    connection.send(get());
    connection.break(new Error('reset'));
    assert.equal(seen[0]?.gone, 1);
    hello(seen[0] as Seen);
    assert.equal(seen[0]?.gone, 1);
  });

  it('does not tell after the answer, nor after an abort', async () => {
    const { connection, seen } = bench(hello);
    connection.send(get());
    connection.break();
    assert.equal(seen[0]?.gone, 0);
    const aborted = bench(({ stream }) => stream.abort());
    aborted.connection.send(get());
    await settled();
    assert.equal(aborted.connection.destroyed, true);
    assert.equal(aborted.seen[0]?.gone, 0);
    assert.equal(aborted.state.closed, 1);
  });

  it('answers a client that has half-closed, and asks after a while whether it is there', async () => {
    const { connection, seen, output, pass } = bench();
    connection.send(get());
    connection.sendEnd();
    assert.equal(seen[0]?.gone, 0);
    pass(900);
    assert.equal(output(), '');
    pass(200);
    assert.equal(output(), 'HTTP/1.1 100 Continue\r\n\r\n');
    // A peer that is gone resets what it gets, which the write after that one shows.
    for (let count = 0; count < 10; count++) pass(2_000);
    const probes = 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(3);
    assert.equal(output(), probes);
    hello(seen[0] as Seen);
    assert.equal(output(), probes + ok('hello', 'Connection: close'));
    await settled();
    assert.equal(seen[0]?.gone, 0);
    assert.equal(connection.ended, true);
  });

  it('answers what was pipelined before the half-close', async () => {
    const { connection, output } = bench((seen) => setImmediate(() => hello(seen)));
    connection.send(get() + get() + get());
    connection.sendEnd();
    for (let count = 0; count < 4; count++) await settled();
    assert.equal(output(), ok('hello') + ok('hello') + ok('hello', 'Connection: close'));
    assert.equal(connection.ended, true);
  });

  it('takes silence after a half-close for the end, once the answer has begun', async () => {
    const { connection, seen, pass } = bench(({ stream }) => stream.respond(200, new Fields(), UNKNOWN_LENGTH, Buffer.from('x'), 0, 1, false, false));
    connection.send(get());
    connection.sendEnd();
    for (let count = 0; count < 5; count++) {
      seen[0]?.stream.writeBody(Buffer.from('x'), 0, 1, false);
      pass(1_100);
    }
    await settled();
    assert.equal(seen[0]?.gone, 0);
    pass(1_100);
    pass(1_100);
    await settled();
    assert.equal(seen[0]?.gone, 1);
  });

  it('takes a cut body for an error', () => {
    const { connection, seen, output } = bench(({ stream }) => stream.resumeRequestBody());
    connection.send(post('hel', 'Content-Length: 5'));
    connection.sendEnd();
    assert.equal(seen[0]?.error, '400 body_cut');
    assert.match(output(), /^HTTP\/1\.1 400/);
  });

  it('closes where the client ends between requests, or within a head', async () => {
    for (const before of ['', get(), 'GET / HT']) {
      const { connection, state } = bench(hello);
      if (before !== '') connection.send(before);
      connection.sendEnd();
      await settled();
      assert.equal(state.closed, 1);
    }
  });

  it('tells when the client takes more', () => {
    const { connection, seen } = bench();
    connection.send(get());
    connection.taking = false;
    const [first] = seen as [Seen];
    assert.equal(first.stream.respond(200, new Fields(), UNKNOWN_LENGTH, Buffer.from('x'), 0, 1, false, false), false);
    assert.equal(first.stream.writeBody(Buffer.from('y'), 0, 1, true), false);
    assert.equal(first.writable, 0);
    connection.drain();
    assert.equal(first.writable, 1);
    assert.equal(first.stream.writeBody(Buffer.from('z'), 0, 1, true), true);
  });
});

describe('ServerConnection: any split of the bytes', () => {
  const requests = [
    get('/a?b=c', 'X-A: 1', 'Connection: x-a'),
    get('/', 'X_B: 1'),
    '\r\nHEAD /h HTTP/1.1\r\nHost: b.example:8080\r\n\r\n',
    post('hello', 'Content-Length: 5'),
    post('', 'Content-Length: 0'),
    post('5\r\nhello\r\n6;e="\\""\r\n world\r\n0\r\nX-T: 1\r\nHost: x\r\n\r\n', 'Transfer-Encoding: chunked'),
    post('0\r\n\r\n', 'transfer-encoding:chunked'),
    post('body', 'Content-Length: 4', 'Expect: 100-continue'),
    'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
    `OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n`,
  ];
  const ends = [
    '',
    get('/', 'Connection: close'),
    post('3\r\nabcd', 'Transfer-Encoding: chunked'),
    'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    post('x', 'Content-Length: 1, 1'),
    'GET /',
    post('abc', 'Content-Length: 5'),
  ];

  async function run(pieces: readonly string[], late: boolean) {
    const { connection, seen, refused, output } = bench((item) => {
      if (!late) echo(item);
      else setImmediate(() => echo(item));
    });
    for (const piece of pieces) {
      connection.send(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Until as many turns as there may be exchanges have passed.
    for (let turn = 0; turn < 30; turn++) await new Promise((resolve) => setImmediate(resolve));
    return {
      output: output(),
      ended: connection.ended,
      refused: refused.map((item) => [item.status, item.reason, item.method, item.host, item.target, item.protocol]),
      seen: seen.map((item) => [
        item.exchange.method,
        item.exchange.path,
        item.exchange.query,
        item.exchange.authority,
        item.exchange.protocol,
        item.exchange.requestFields.serialize(),
        item.stream.requestBody,
        item.body,
        item.ended,
        item.trailers,
        item.error,
      ]),
    };
  }

  it('gives the same outcome', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...requests), { minLength: 1, maxLength: 5 }),
        fc.constantFrom(...ends),
        fc.array(fc.nat(600), { maxLength: 10 }),
        fc.boolean(),
        async (items, end, cuts, late) => {
          const text = items.join('') + end;
          const places = [0, ...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length];
          const pieces = places.slice(1).map((place, index) => text.slice(places[index], place));
          assert.deepEqual(await run(pieces, late), await run([text], false));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('gives the same outcome byte by byte', async () => {
    const text = requests.join('') + (ends[2] as string);
    assert.deepEqual(await run(Array.from(text), false), await run([text], false));
  });
});
