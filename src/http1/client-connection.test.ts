import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Deadlines } from '../exchange/deadlines.ts';
import { Fields } from '../exchange/fields.ts';
import { type BodyLength, NO_BODY, UNKNOWN_LENGTH, type UpstreamFailure, type UpstreamHandler, type UpstreamStream } from '../exchange/streams.ts';
import { ClientConnection } from './client-connection.ts';
import { type MemoryConnection, MemoryWire, settled } from './memory-wire.fixture.ts';

/** What became of one try. */
class Answer implements UpstreamHandler {
  status = 0;
  fields = '';
  length: BodyLength = 0;
  body = '';
  ended = false;
  /** The whole answer came with one callback. */
  whole = false;
  trailers: string | undefined = undefined;
  informed: string[] = [];
  writable = 0;
  failure: UpstreamFailure | '' = '';
  bytesSent = false;
  reused = false;
  cause: Error | undefined = undefined;
  onBytes: (() => void) | undefined = undefined;
  onEnded: (() => void) | undefined = undefined;
  onWritable: (() => void) | undefined = undefined;

  get over(): boolean {
    return this.ended || this.failure !== '';
  }

  onInformational(status: number, fields: Fields): void {
    assert.ok(!this.over && this.status === 0);
    this.informed.push(`${status} ${fields.serialize()}`);
  }
  onResponse(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, _stable: boolean, last: boolean): void {
    assert.ok(!this.over && this.status === 0);
    this.status = status;
    this.fields = fields.serialize();
    this.length = length;
    if (first !== undefined) this.body = first.toString('latin1', start, end);
    this.ended = last;
    this.whole = last;
    this.onBytes?.();
    if (last) this.onEnded?.();
  }
  onResponseData(bytes: Buffer, start: number, end: number): void {
    assert.ok(!this.over && this.status !== 0);
    this.body += bytes.toString('latin1', start, end);
    this.onBytes?.();
  }
  onResponseEnd(trailers: Fields | undefined): void {
    assert.ok(!this.over && this.status !== 0);
    this.ended = true;
    this.trailers = trailers?.serialize();
    this.onEnded?.();
  }
  onUpstreamWritable(): void {
    this.writable++;
    this.onWritable?.();
  }
  onUpstreamFailure(failure: UpstreamFailure, requestBytesSent: boolean, reusedConnection: boolean, cause: Error | undefined): void {
    assert.ok(!this.over);
    this.failure = failure;
    this.bytesSent = requestBytesSent;
    this.reused = reusedConnection;
    this.cause = cause;
  }
}

function bench(up = true) {
  const wire = new MemoryWire();
  const deadlines = new Deadlines(1_000_000);
  deadlines.sweep(1000);
  const counts = { reusable: 0, gone: 0 };
  const client = new ClientConnection(wire, deadlines, { address: '192.0.2.9', port: 8080 }, 5_000, {
    onReusable: () => counts.reusable++,
    onGone: () => counts.gone++,
  });
  const connection = wire.connections[0] as MemoryConnection;
  const send = (method = 'GET', body: BodyLength = NO_BODY, fields: readonly (readonly [string, string])[] = [['Host', 'a']]) => {
    const answer = new Answer();
    const stream: UpstreamStream = client.request({ method, target: '/x?y', fields: Fields.of(fields), body }, answer);
    return { answer, stream };
  };
  if (up) connection.handler.onConnect?.();
  return { client, connection, counts, deadlines, wire, send };
}

const GET = 'GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n';
const ok = (body: string, ...fields: string[]) =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`;
const chunked = (body: string, ...fields: string[]) =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`;

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
    const { answer, stream } = send();
    assert.equal(stream.reused, false);
    connection.send(ok('hello', 'X-A: 1', 'Connection: x-b', 'X-B: 2', 'Keep-Alive: timeout=5', 'Date: x'));
    assert.deepEqual([answer.status, answer.fields, answer.length, answer.body, answer.whole], [200, 'X-A: 1\r\nDate: x\r\n', 5, 'hello', true]);
    assert.deepEqual(counts, { reusable: 1, gone: 0 });
    assert.equal(client.requests, 1);
    const again = send();
    assert.equal(again.stream.reused, true);
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

  it('pauses, and goes on where it was', async () => {
    for (const bulk of [false, true]) {
      const { connection, send, counts } = bench();
      const { answer, stream } = send();
      const long = 'x'.repeat(bulk ? 100_000 : 10);
      const body = [...'abcdefgh'].map((letter) => `1\r\n${letter}\r\n`).join('');
      connection.send(chunked(`${long.length.toString(16)}\r\n`));
      connection.send(`${long}\r\n1\r\n|\r\n`);
      assert.equal(connection.bulk, bulk);
      answer.onBytes = () => stream.pauseResponse();
      connection.send(body);
      connection.send('0\r\nX-T: 1\r\n\r\n');
      connection.sendEnd();
      for (let count = 1; count <= 8; count++) {
        await settled();
        assert.equal(answer.body.slice(long.length), '|abcdefgh'.slice(0, count + 1));
        assert.equal(connection.paused, true);
        assert.equal(answer.over, false);
        stream.resumeResponse();
        assert.equal(answer.body.slice(long.length), '|abcdefgh'.slice(0, count + 1), 'not from within the call');
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
