import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { bench, chunked, ok } from './client-bench.fixture.ts';
import { type MemoryConnection, settled } from './memory-wire.fixture.ts';

describe('ClientConnection: what is not plainly right', () => {
  const BAD: readonly (readonly [what: string, text: string])[] = [
    ['no status line', 'hello\r\n\r\n'],
    ['HTTP/0.9', '<html>'],
    ['other protocol', 'SSH-2.0-OpenSSH\r\n'],
    ['HTTP/2.0', 'HTTP/2.0 200 OK\r\n\r\n'],
    ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n'],
    ['lower case', 'http/1.1 200 OK\r\n\r\n'],
    ['two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
    ['letters in the status', 'HTTP/1.1 2xx OK\r\n\r\n'],
    ['status below 100', 'HTTP/1.1 099 OK\r\n\r\n'],
    ['status above 599', 'HTTP/1.1 600 OK\r\n\r\n'],
    ['two blanks', 'HTTP/1.1  200 OK\r\n\r\n'],
    ['tab', 'HTTP/1.1\t200 OK\r\n\r\n'],
    ['NUL in the phrase', 'HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n'],
    ['bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
    ['bare CR in the phrase', 'HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n'],
    ['empty line before', '\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n'],
    ['folded line', 'HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n'],
    ['control character', 'HTTP/1.1 200 OK\r\nX-A: \x01\r\nContent-Length: 0\r\n\r\n'],
    ['no colon', 'HTTP/1.1 200 OK\r\nX-A\r\n\r\n'],
    ['too large', `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(257 * 1024)}\r\n\r\n`],
    ['too many fields', `HTTP/1.1 200 OK\r\n${'X: 1\r\n'.repeat(1001)}\r\n`],
    ['Content-Length and Transfer-Encoding', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello'],
    ['list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello'],
    ['signed length', 'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello'],
    ['chunked in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a tab behind chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n'],
    ['unknown coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
    ['identity', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello'],
    ['chunked twice', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['204 with a length', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello'],
    ['204 with a coding', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['100 with a length', 'HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello'],
    ['101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'],
    ['100 that closes', `HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n${ok('hello')}`],
    ['100 in HTTP/1.0', `HTTP/1.0 100 Continue\r\n\r\n${ok('hello')}`],
    ['endless interim answers', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(17)],
    ['bytes after an answer', `${ok('hello')}x`],
    ['another answer', ok('hello').repeat(2)],
    ['CRLF after an answer', `${ok('hello')}\r\n`],
    ['bytes after a chunked answer', chunked('5\r\nhello\r\n0\r\n\r\nx')],
    ['bytes after an empty chunked answer', chunked('0\r\n\r\nx')],
    ['body of a 204', 'HTTP/1.1 204 No Content\r\n\r\nhello'],
    ['body of a 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello'],
    ['bad first chunk', chunked('zz\r\n')],
    ['malformed Connection', ok('hello', 'Connection: a b')],
  ];
  it('takes nothing behind a bad line for the last chunk', () => {
    const { connection, send } = bench();
    const { answer } = send();
    connection.send(chunked('1\r\na\r\n1\r\nb\r\r\n0\r\n\r\n'));
    assert.deepEqual([answer.body, answer.ended, answer.failure, connection.destroyed], ['ab', false, 'malformed', true]);
  });

  for (const [what, text] of BAD) {
    it(`destroys the connection on ${what}`, () => {
      const { connection, counts, send } = bench();
      const { answer } = send();
      connection.send(text);
      assert.deepEqual([answer.failure, answer.status, answer.bytesSent, answer.reused], ['malformed', 0, true, false]);
      assert.ok(answer.cause instanceof Error);
      assert.equal(connection.destroyed, true);
      assert.deepEqual(counts, { reusable: 0, gone: 1 });
    });
  }

  it('destroys the connection on a body to HEAD', () => {
    const { connection, send } = bench();
    const { answer } = send('HEAD');
    connection.send(ok('hello'));
    assert.equal(answer.failure, 'malformed');
  });

  it('fails within the body, too', () => {
    for (const rest of ['\r\nzz\r\n', 'X', '\n0\r\n\r\n', '\r\n0\r\n\r\nx', '\r\n0\r\nX-T: 1\r\n\r\nx', '\r\n0\r\nA : b\r\n\r\n']) {
      const { connection, counts, send } = bench();
      const { answer } = send();
      connection.send(chunked('5\r\nhello'));
      connection.send(rest);
      assert.deepEqual([answer.status, answer.body, answer.failure], [200, 'hello', 'malformed'], rest);
      assert.deepEqual(counts, { reusable: 0, gone: 1 });
    }
    const { connection, send } = bench();
    const { answer } = send();
    connection.send(ok('hello').slice(0, -2));
    connection.send('lox');
    assert.deepEqual([answer.status, answer.body, answer.failure], [200, 'hel', 'malformed']);
  });

  it('destroys an idle connection on which anything arrives', () => {
    for (const happens of [
      (connection: MemoryConnection) => connection.send('x'),
      (connection: MemoryConnection) => connection.send(ok('poison')),
      (connection: MemoryConnection) => connection.sendEnd(),
      (connection: MemoryConnection) => connection.break(new Error('reset')),
    ]) {
      const { connection, counts, send } = bench();
      const { answer } = send();
      connection.send(ok('one'));
      happens(connection);
      assert.equal(answer.failure, '');
      assert.equal(connection.destroyed, true);
      assert.deepEqual(counts, { reusable: 1, gone: 1 });
      const fresh = bench();
      happens(fresh.connection);
      assert.equal(fresh.connection.destroyed, true);
      assert.deepEqual(fresh.counts, { reusable: 0, gone: 1 });
    }
  });

  it('never takes what came before the request for its answer', async () => {
    const { connection, send } = bench();
    send();
    connection.send(ok('one'));
    const { answer } = send('POST', 5);
    connection.send(ok('poison'));
    assert.deepEqual([answer.failure, answer.bytesSent, answer.reused], ['reset', false, true]);
    assert.equal(connection.destroyed, true);
  });
});

describe('ClientConnection: failures', () => {
  it('tells a refused connection from one that broke', () => {
    const refused = bench(false);
    const first = refused.send();
    refused.connection.break(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
    assert.deepEqual(
      [first.answer.failure, first.answer.bytesSent, first.answer.reused, (first.answer.cause as NodeJS.ErrnoException).code],
      ['connect-failure', false, false, 'ECONNREFUSED'],
    );
    assert.deepEqual(refused.counts, { reusable: 0, gone: 1 });

    const broken = bench();
    const { answer } = broken.send();
    broken.connection.break(new Error('reset'));
    assert.deepEqual([answer.failure, answer.bytesSent, answer.reused, answer.cause?.message], ['reset', true, false, 'reset']);

    const reused = bench();
    reused.send();
    reused.connection.send(ok('one'));
    const second = reused.send();
    reused.connection.break();
    assert.deepEqual([second.answer.failure, second.answer.bytesSent, second.answer.reused], ['reset', true, true]);
    assert.deepEqual(reused.counts, { reusable: 1, gone: 1 });
  });

  it('gives up on a connection that does not come up', async () => {
    const { answer, at } = (() => {
      const opened = bench(false);
      return { ...opened.send(), at: opened };
    })();
    at.deadlines.sweep(5_900);
    assert.equal(answer.failure, '');
    at.deadlines.sweep(6_001);
    assert.deepEqual([answer.failure, answer.bytesSent, (answer.cause as NodeJS.ErrnoException).code], ['connect-failure', false, 'ETIMEDOUT']);
    assert.equal(at.connection.destroyed, true);
    await settled();
    assert.deepEqual(at.counts, { reusable: 0, gone: 1 });
    assert.equal(at.deadlines.size, 0);
    const up = bench();
    assert.equal(up.deadlines.size, 0);
  });

  it('fails where the answer is cut', () => {
    for (const text of ['', 'HTTP/1.1 200 O', ok('hello').slice(0, -1), chunked('5\r\nhel'), chunked('5\r\nhello\r\n'), chunked('5\r\nhello\r\n0\r\n')]) {
      const { connection, counts, send } = bench();
      const { answer } = send();
      if (text !== '') connection.send(text);
      connection.sendEnd();
      assert.equal(answer.failure, 'reset', text);
      assert.equal(answer.ended, false);
      assert.deepEqual(counts, { reusable: 0, gone: 1 });
    }
  });

  it('fails a request on a connection that is gone, after the call', async () => {
    const { client, connection, send } = bench();
    client.destroy();
    const { answer, stream } = send();
    assert.equal(answer.failure, '');
    assert.equal(stream.writeBody(Buffer.from('x'), 0, 1, false), true);
    await settled();
    assert.deepEqual([answer.failure, answer.bytesSent], ['reset', false]);
    assert.equal(connection.received, '');
  });

  it('cancels without a further word, but to its owner', async () => {
    for (const text of ['', 'HTTP/1.1 200 O', ok('hello').slice(0, -1)]) {
      const { connection, counts, send, deadlines } = bench();
      const { answer, stream } = send();
      if (text !== '') connection.send(text);
      stream.cancel();
      assert.equal(connection.destroyed, true);
      await settled();
      assert.equal(answer.over, false);
      assert.deepEqual(counts, { reusable: 0, gone: 1 });
      assert.equal(deadlines.size, 0);
      stream.cancel();
      stream.resumeResponse();
      stream.writeBody(Buffer.from('x'), 0, 1, false);
    }
    const waiting = bench(false);
    const { answer, stream } = waiting.send('POST', 5);
    stream.cancel();
    await settled();
    assert.equal(answer.over, false);
    assert.equal(waiting.deadlines.size, 0);
  });

  it('stops where a handler cancels from within a callback', () => {
    for (const text of [ok('hello'), chunked('5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n')]) {
      for (const when of ['onBytes', 'onEnded'] as const) {
        const { connection, counts, send } = bench();
        const { answer, stream } = send();
        answer[when] = () => stream.cancel();
        connection.send(text);
        assert.equal(counts.gone + counts.reusable, 1);
        assert.equal(answer.failure, '');
      }
    }
  });

  it('tells its owner when the owner destroys it, but not at once', async () => {
    const { client, counts } = bench();
    client.destroy();
    assert.equal(counts.gone, 0);
    await settled();
    assert.equal(counts.gone, 1);
  });
});

describe('ClientConnection: any split of the bytes', () => {
  const answers: readonly (readonly [method: string, text: string])[] = [
    ['GET', ok('hello', 'X-A: 1')],
    ['GET', ok('')],
    ['GET', chunked('5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-T: 1\r\n\r\n')],
    ['GET', chunked('5\r\nhello\r\n0\r\n\r\n')],
    ['GET', chunked('0\r\n\r\n')],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n'],
    ['GET', `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${ok('x')}`],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['GET', ok('hello', 'Connection: keep-alive').replace('1.1', '1.0')],
  ];
  const ends = [
    '',
    ok('bye', 'Connection: close'),
    'HTTP/1.1 200 OK\r\n\r\nuntil the end',
    chunked('5\r\nhelloX'),
    'HTTP/1.1 2x0 OK\r\n\r\n',
    ok('hello').slice(0, -1),
    chunked('3\r\nab'),
  ];

  /** Each answer goes to its request, cut into pieces; pieces never span answers, since a backend answers what it was asked. */
  function run(texts: readonly (readonly [method: string, text: string])[], cuts: readonly number[], everyByte: boolean, pausing: boolean) {
    const { client, connection, counts, send } = bench();
    const outcome: unknown[] = [];
    const play = async () => {
      for (const [index, [method, text]] of texts.entries()) {
        if (counts.gone > 0) break;
        const { answer, stream } = send(method);
        if (pausing) {
          answer.onBytes = () => {
            stream.pauseResponse();
            setImmediate(() => stream.resumeResponse());
          };
        }
        const places = everyByte ? Array.from(text, (_, index) => index) : cuts.filter((cut) => cut < text.length).sort((a, b) => a - b);
        let from = 0;
        for (const place of [...places, text.length]) {
          if (place > from) connection.send(text.slice(from, place));
          from = place;
          if (pausing) await new Promise((resolve) => setImmediate(resolve));
        }
        if (index === texts.length - 1) connection.sendEnd();
        for (let turn = 0; pausing && turn < 30 && !answer.over; turn++) await new Promise((resolve) => setImmediate(resolve));
        outcome.push([answer.status, answer.fields, answer.body, answer.ended, answer.trailers, answer.informed, answer.failure]);
      }
      await settled();
      return { outcome, counts, requests: client.requests };
    };
    return play();
  }

  it('gives the same outcome', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...answers), { minLength: 1, maxLength: 4 }),
        fc.constantFrom(...ends),
        fc.array(fc.nat(200), { maxLength: 8 }),
        fc.boolean(),
        async (items, end, cuts, pausing) => {
          const texts = end === '' ? items : [...items, ['GET', end] as const];
          assert.deepEqual(await run(texts, cuts, false, pausing), await run(texts, [], false, false));
        },
      ),
      { numRuns: 200 },
    );
  });

  it('gives the same outcome byte by byte', async () => {
    for (const end of ends.slice(1)) {
      const texts = [...answers, ['GET', end] as const];
      assert.deepEqual(await run(texts, [], true, false), await run(texts, [], false, false));
    }
  });
});
