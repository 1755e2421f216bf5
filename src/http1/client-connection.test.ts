import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import { NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { bench, chunked, GET, ok } from './client-bench.fixture.ts';
import { settled } from './memory-wire.fixture.ts';

describe('ClientConnection: requests', () => {
  it('sends a request at once when the connection is up, else when it comes up', () => {
    const { connection, send, wire } = bench();
    assert.deepEqual(wire.targets, [{ host: '192.0.2.9', port: 8080 }]);
    const { stream } = send();
    assert.equal(connection.received, GET);
    assert.equal(connection.writes, 1);
    assert.equal(stream.connected, true);

    const later = bench(false);
    const { stream: waiting } = later.send();
    assert.equal(waiting.connected, false);
    assert.equal(later.connection.received, '');
    later.connection.handler.onConnect?.();
    assert.equal(later.connection.received, GET);
    assert.equal(waiting.connected, true);
  });

  it('frames by itself whatever the fields say', () => {
    const { connection, send } = bench();
    send('POST', 0, [
      ['Host', 'a'],
      ['Content-Length', '9'],
      ['Transfer-Encoding', 'chunked'],
      ['Connection', 'close'],
      ['Expect', '100-continue'],
      ['X-A', '1'],
    ]);
    assert.equal(connection.received, 'POST /x?y HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n');
  });

  it('sends head and first bytes of the body together', async () => {
    const { connection, send } = bench();
    const { stream } = send('POST', 5);
    assert.equal(connection.received, '');
    assert.equal(stream.writeBody(Buffer.from('xhellox'), 1, 6, false), true);
    assert.equal(connection.writes, 1);
    stream.endBody(undefined);
    assert.equal(connection.received, 'POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
    await settled();
    assert.equal(connection.writes, 1);
  });

  it('does not keep the head back for a body that takes its time', async () => {
    const { connection, send } = bench();
    const { stream } = send('POST', UNKNOWN_LENGTH);
    await settled();
    const head = 'POST /x?y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
    assert.equal(connection.received, head);
    stream.writeBody(Buffer.from('hello'), 0, 5, false);
    stream.writeBody(Buffer.from('x'.repeat(10_000)), 0, 10_000, false);
    stream.writeBody(Buffer.from(''), 0, 0, false);
    stream.endBody(Fields.of([['X-Sum', '1']]));
    assert.equal(connection.received, `${head}5\r\nhello\r\n2710\r\n${'x'.repeat(10_000)}\r\n0\r\nX-Sum: 1\r\n\r\n`);
  });

  it('sends an empty chunked body with its head', () => {
    const { connection, send } = bench();
    send('POST', UNKNOWN_LENGTH).stream.endBody(undefined);
    assert.equal(connection.received, 'POST /x?y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
    assert.equal(connection.writes, 1);
  });

  it('keeps body and trailers that come before the connection is up', () => {
    const { connection, send } = bench(false);
    const { stream } = send('POST', UNKNOWN_LENGTH);
    stream.writeBody(Buffer.from('hello'), 0, 5, false);
    stream.endBody(Fields.of([['X-Sum', '1']]));
    connection.handler.onConnect?.();
    assert.equal(connection.received, 'POST /x?y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n');
  });

  it('tells when a connection that a body waits for is up', () => {
    const { connection, send } = bench(false);
    const { answer, stream } = send('POST', 5);
    answer.onWritable = () => {
      stream.writeBody(Buffer.from('hello'), 0, 5, false);
      stream.endBody(undefined);
    };
    connection.handler.onConnect?.();
    assert.equal(answer.writable, 1);
    assert.equal(connection.received, 'POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
    assert.equal(connection.writes, 1);
  });

  it('keeps what is written before the connection is up', () => {
    const { connection, send } = bench(false);
    const { stream } = send('POST', 10);
    const buffer = Buffer.from('hello');
    assert.equal(stream.writeBody(buffer, 0, 5, false), false);
    buffer.fill('!');
    assert.equal(stream.writeBody(Buffer.from('world'), 0, 5, false), false);
    stream.endBody(undefined);
    connection.handler.onConnect?.();
    assert.equal(connection.received, 'POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhelloworld');
  });

  it('tells when the backend takes more', () => {
    const { connection, send } = bench();
    const { answer, stream } = send('POST', UNKNOWN_LENGTH);
    connection.taking = false;
    assert.equal(stream.writeBody(Buffer.from('x'), 0, 1, false), false);
    connection.drain();
    assert.equal(answer.writable, 1);
    assert.equal(stream.writeBody(Buffer.from('x'), 0, 1, false), true);
  });

  it('never sends more than was announced, and cuts where it is less', async () => {
    const { connection, send, counts } = bench();
    const { stream } = send('POST', 5);
    stream.writeBody(Buffer.from('hello GET / HTTP/1.1'), 0, 20, false);
    assert.match(connection.received, /\r\n\r\nhello$/);
    const short = bench();
    const { answer, stream: shortStream } = short.send('POST', 5);
    shortStream.writeBody(Buffer.from('hell'), 0, 4, false);
    shortStream.endBody(undefined);
    await settled();
    assert.equal(short.connection.destroyed, true);
    assert.equal(answer.failure, 'reset');
    assert.deepEqual(counts, { reusable: 0, gone: 0 });
    assert.deepEqual(short.counts, { reusable: 0, gone: 1 });
  });
});

describe('ClientConnection: answers', () => {
  it('gives a small answer whole, and the connection back', () => {
    const { client, connection, counts, send } = bench();
    const { answer } = send();
    connection.send(ok('hello', 'X-A: 1', 'Connection: x-b', 'X-B: 2', 'Keep-Alive: timeout=5', 'Date: x'));
    assert.deepEqual([answer.status, answer.fields, answer.length, answer.body, answer.whole], [200, 'X-A: 1\r\nDate: x\r\n', 5, 'hello', true]);
    assert.deepEqual(counts, { reusable: 1, gone: 0 });
    assert.equal(client.requests, 1);
    const again = send();
    assert.equal(client.requests, 2);
    assert.equal(connection.received, GET + GET);
    connection.send(chunked('5\r\nhello\r\n0\r\n\r\n'));
    assert.deepEqual([again.answer.length, again.answer.body, again.answer.whole], [5, 'hello', true]);
    assert.deepEqual(counts, { reusable: 2, gone: 0 });
  });

  it('knows answers without a body', () => {
    for (const [method, text, status, fields, length] of [
      ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 200, 'Content-Length: 5\r\n', NO_BODY],
      ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 200, '', NO_BODY],
      ['HEAD', 'HTTP/1.1 200 OK\r\n\r\n', 200, '', NO_BODY],
      ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', 204, '', NO_BODY],
      ['GET', 'HTTP/1.1 204\r\nContent-Length: 0\r\n\r\n', 204, '', NO_BODY],
      ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "a"\r\n\r\n', 304, 'Content-Length: 5\r\nETag: "a"\r\n', NO_BODY],
      ['GET', 'HTTP/1.1 304 \r\nTransfer-Encoding: chunked\r\n\r\n', 304, '', NO_BODY],
      ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200, '', 0],
      ['GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 200, '', 0],
      ['POST', 'HTTP/1.1 599 \xfc\tx\r\ncontent-length:0\r\n\r\n', 599, '', 0],
    ] as const) {
      const { connection, counts, send } = bench();
      const { answer } = send(method, method === 'POST' ? 0 : NO_BODY);
      connection.send(text);
      assert.deepEqual([answer.failure, answer.status, answer.fields, answer.length, answer.body, answer.whole], ['', status, fields, length, '', true], text);
      assert.deepEqual(counts, { reusable: 1, gone: 0 }, text);
    }
  });

  it('streams a long answer, in bulk where it is worth it', async () => {
    const { connection, counts, send } = bench();
    const { answer } = send();
    connection.send(`HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\nab`);
    assert.deepEqual([answer.length, answer.body, answer.ended], [200_000, 'ab', false]);
    assert.equal(connection.bulk, true);
    for (let sent = 2; sent < 200_000; sent += 49_999.5) connection.send('x'.repeat(49_999.5));
    connection.send('x');
    assert.equal(answer.body.length, 199_999);
    assert.equal(counts.reusable, 0);
    connection.send('x');
    assert.equal(answer.ended, true);
    assert.equal(connection.bulk, false);
    assert.deepEqual(counts, { reusable: 1, gone: 0 });
  });

  it('passes trailers that may pass', () => {
    const { connection, counts, send } = bench();
    const { answer } = send();
    connection.send(chunked('5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 3\r\nSet-Cookie: a\r\n\r\n'));
    assert.deepEqual([answer.length, answer.body, answer.ended, answer.trailers], [UNKNOWN_LENGTH, 'hello', true, 'X-Sum: 1\r\n']);
    const empty = send();
    connection.send(chunked('0\r\nX-Sum: 1\r\n\r\n'));
    assert.deepEqual([empty.answer.ended, empty.answer.trailers], [true, 'X-Sum: 1\r\n']);
    assert.equal(counts.reusable, 2);
  });

  it('reads until the end of the connection where there is no length', async () => {
    for (const head of ['HTTP/1.1 200 OK\r\n\r\n', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n']) {
      const { connection, counts, send } = bench();
      const { answer } = send();
      connection.send(`${head}hello`);
      connection.send(' world');
      assert.deepEqual([answer.length, answer.body, answer.ended], [UNKNOWN_LENGTH, 'hello world', false]);
      connection.sendEnd();
      assert.equal(answer.ended, true);
      await settled();
      assert.deepEqual(counts, { reusable: 0, gone: 1 });
    }
    const cut = bench();
    const { answer } = cut.send();
    cut.connection.send('HTTP/1.1 200 OK\r\n\r\nhello');
    cut.connection.break(new Error('reset'));
    assert.deepEqual([answer.body, answer.failure], ['hello', 'reset']);
  });

  it('does not reuse what the backend will close, or HTTP/1.0 without keep-alive', () => {
    for (const [text, reusable] of [
      [ok('hello', 'Connection: close'), 0],
      [ok('hello', 'Connection: x-a, Close'), 0],
      [ok('hello').replace('1.1', '1.0'), 0],
      [ok('hello', 'Connection: keep-alive').replace('1.1', '1.0'), 1],
      [ok('hello', 'Connection: keep-alive'), 1],
    ] as const) {
      const { connection, counts, send } = bench();
      const { answer } = send();
      connection.send(text);
      assert.equal(answer.body, 'hello');
      assert.deepEqual(counts, { reusable, gone: 1 - reusable });
      assert.equal(connection.destroyed, reusable === 0);
    }
  });

  it('does not reuse a connection whose request was not finished', () => {
    const { connection, counts, send } = bench();
    const { answer, stream } = send('POST', 10);
    stream.writeBody(Buffer.from('hello'), 0, 5, false);
    connection.send(ok('early'));
    assert.equal(answer.body, 'early');
    assert.deepEqual(counts, { reusable: 0, gone: 1 });
    assert.equal(connection.destroyed, true);
    assert.equal(stream.writeBody(Buffer.from('world'), 0, 5, false), true);
    stream.endBody(undefined);

    const held = bench();
    const { stream: heldStream } = held.send('POST', 5);
    held.connection.taking = false;
    heldStream.writeBody(Buffer.from('hello'), 0, 5, false);
    heldStream.endBody(undefined);
    held.connection.send(ok('early'));
    assert.deepEqual(held.counts, { reusable: 0, gone: 1 });
  });

  it('swallows 100, passes 103 on, drops others', () => {
    const { connection, send, counts } = bench();
    const { answer } = send();
    connection.send('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n');
    connection.send(`HTTP/1.1 102 Processing\r\n\r\n${ok('hello')}`);
    assert.deepEqual([answer.informed, answer.status, answer.body], [['103 Link: </a>\r\n'], 200, 'hello']);
    assert.equal(counts.reusable, 1);
  });

  it('takes no data for the last chunk that only looks like it', async () => {
    const { connection, send } = bench();
    const { answer } = send();
    const data = `\r\n0\r\n\r\n${'x'.repeat(5000)}`;
    connection.send(chunked(`1\r\na\r\n${data.length.toString(16)}\r\n${data}\r\n0\r\n\r\n`));
    await settled();
    assert.deepEqual([answer.body, answer.ended], [`a${data}`, true]);
  });

  it('pauses, and goes on where it was', async () => {
    for (const bulk of [false, true]) {
      const { connection, send, counts } = bench();
      const { answer, stream } = send();
      const long = 'x'.repeat(bulk ? 100_000 : 10);
      // Too large to be put together.
      const parts = [...'abcdefgh'].map((letter) => letter.repeat(5000));
      const body = parts.map((part) => `1388\r\n${part}\r\n`).join('');
      connection.send(chunked(`${long.length.toString(16)}\r\n`));
      connection.send(`${long}\r\n1\r\n|\r\n`);
      assert.equal(connection.bulk, bulk);
      answer.onBytes = () => stream.pauseResponse();
      connection.send(body);
      connection.send('0\r\nX-T: 1\r\n\r\n');
      connection.sendEnd();
      for (let count = 1; count <= 8; count++) {
        await settled();
        const expected = `|${parts.slice(0, count).join('')}`;
        assert.equal(answer.body.slice(long.length), expected);
        assert.equal(connection.paused, true);
        assert.equal(answer.over, false);
        stream.resumeResponse();
        assert.equal(answer.body.slice(long.length), expected, 'not from within the call');
      }
      await settled();
      assert.deepEqual([answer.ended, answer.trailers], [true, 'X-T: 1\r\n']);
      assert.equal(counts.reusable + counts.gone, 1 + counts.reusable);
    }
  });

  it('ignores late calls for a try that is over', async () => {
    const { connection, send, counts } = bench();
    const first = send();
    connection.send(ok('one'));
    const second = send();
    first.stream.cancel();
    first.stream.pauseResponse();
    first.stream.writeBody(Buffer.from('x'), 0, 1, false);
    first.stream.endBody(undefined);
    assert.equal(connection.received, GET + GET);
    assert.equal(connection.destroyed, false);
    connection.send(ok('two'));
    assert.equal(second.answer.body, 'two');
    assert.deepEqual(counts, { reusable: 2, gone: 0 });
  });
});
