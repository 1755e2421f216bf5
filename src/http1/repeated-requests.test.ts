/** Heads that come again are not read again: whatever came before, a request is what it is on a new connection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { echo, get, post, type Seen, bench as serverBench } from './server-bench.fixture.ts';

const REQUESTS = [
  get('/'),
  get('/a?b=1'),
  get('/a/../b', 'X-A: 1', 'Authorization: Bearer abc'),
  get('/a/../c', 'X-A: 1', 'Authorization: Bearer abc'),
  get('/', 'Connection: keep-alive, X-A', 'X-A: 1'),
  get('/', 'X_A: 1', 'X-B: 2'),
  get('/', `X-A: ${'x'.repeat(2000)}`),
  'GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET http://A/x HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /x HTTP/1.1\r\nHost: A:80\r\n\r\n',
  'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
  'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
  post('hello', 'Content-Length: 5'),
  post('world', 'Content-Length: 5'),
  post('hello', 'Content-Length: 5', 'Expect: 100-continue'),
  post('5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n', 'Transfer-Encoding: chunked'),
];

/** A connection that echoes, and does with the fields of each request what filters do. */
function connect() {
  const said: unknown[] = [];
  const { connection, output, refused, state } = serverBench((seen: Seen) => {
    const { method, path, query, authority, host, protocol, requestFields, headBytes, upgrade, stream } = seen.exchange;
    said.push([method, path, query, authority, host, protocol, requestFields.serialize(), headBytes, upgrade, stream.requestBody]);
    requestFields.remove('x-a');
    requestFields.remove('host');
    requestFields.set('X-Added', '1');
    echo(seen);
  });
  return {
    /** @returns what comes of a request that arrives in two pieces */
    send(text: string, split: number): unknown[] {
      const at = split % text.length;
      const outputBefore = output().length;
      said.length = 0;
      if (at > 0) connection.send(text.slice(0, at));
      connection.send(text.slice(at));
      return [...said, output().slice(outputBefore), refused.length, state.closed, connection.destroyed];
    },
    dropped: () => state.dropped,
  };
}

test('a request is the same on a connection that had the same one before, others, or none', () => {
  const step = fc.record({
    text: fc.constantFrom(...REQUESTS),
    repeat: fc.integer({ min: 1, max: 4 }),
    split: fc.option(fc.nat(), { nil: 0, freq: 2 }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
      const used = connect();
      let dropped = 0;
      for (const { text, repeat, split } of steps) {
        const fresh = connect();
        const expected = fresh.send(text, split);
        for (let count = 0; count < repeat; count++) {
          assert.deepEqual(used.send(text, split), expected, text);
          dropped += fresh.dropped();
        }
      }
      assert.equal(used.dropped(), dropped);
    }),
  );
});

test('what follows a head that has come before is read as behind any other', () => {
  const used = connect();
  for (let count = 0; count < 3; count++) assert.equal(used.send(get('/'), 0).length, 5);
  const [first, second, output] = used.send(get('/') + get('/other'), 0);
  assert.deepEqual([(first as unknown[])[1], (second as unknown[])[1]], ['/', '/other']);
  assert.equal(String(output).match(/HTTP\/1\.1 200/g)?.length, 2);
  assert.match(String(used.send(`${get('/')}bad\r\n\r\n`, 0)), /HTTP\/1\.1 400/);
});
