import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Deadlines } from '../exchange/deadlines.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { Fields } from '../exchange/fields.ts';
import { type ClientHandler, type ExchangeSink, NO_BODY, type Refusal, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { MemoryConnection, settled } from './memory-wire.fixture.ts';
import { ServerConnection, type ServerOptions } from './server-connection.ts';

/** One exchange as the sink sees it; the test answers it by hand, or `answer` does at its end. */
class Seen implements ClientHandler {
  readonly exchange: Exchange;
  body = '';
  ended = false;
  trailers: string | undefined = undefined;
  error = '';
  gone = 0;
  writable = 0;
  onEnded: ((seen: Seen) => void) | undefined = undefined;
  onBytes: ((seen: Seen) => void) | undefined = undefined;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
    this.ended = exchange.stream.requestEnded;
  }

  get stream() {
    return this.exchange.stream;
  }

  text(status: number, body: string, fields: readonly (readonly [string, string])[] = []): void {
    this.stream.respondText(status, Fields.of(fields), body);
  }

  onRequestData(bytes: Buffer, start: number, end: number): void {
    assert.ok(!this.ended && this.error === '', 'data after the end');
    this.body += bytes.toString('latin1', start, end);
    this.onBytes?.(this);
  }
  onRequestEnd(trailers: Fields | undefined): void {
    assert.ok(!this.ended, 'two ends');
    this.ended = true;
    this.trailers = trailers?.serialize();
    this.onEnded?.(this);
  }
  onRequestError(status: number, reason: string): void {
    this.error = `${status} ${reason}`;
  }
  onClientGone(): void {
    this.gone++;
  }
  onClientWritable(): void {
    this.writable++;
  }
}

interface Bench {
  readonly connection: MemoryConnection;
  readonly server: ServerConnection;
  readonly seen: Seen[];
  readonly refused: Refusal[];
  readonly deadlines: Deadlines;
  readonly state: { draining: boolean; closed: number; dropped: number; at: number };
  /** Lets the clock go on. */
  pass(milliseconds: number): void;
  /** What the client has got, dates and ids being stars. */
  output(): string;
}

function bench(onExchange: (seen: Seen) => void = () => {}, options: Partial<ServerOptions> = {}): Bench {
  const connection = new MemoryConnection();
  const seen: Seen[] = [];
  const refused: Refusal[] = [];
  const deadlines = new Deadlines(1_000_000);
  const state = { draining: false, closed: 0, dropped: 0, at: 1000 };
  deadlines.sweep(state.at);
  const sink: ExchangeSink = {
    onExchange(exchange) {
      const handler = new Seen(exchange);
      seen.push(handler);
      onExchange(handler);
      return handler;
    },
    onRefused: (refusal) => refused.push(refusal),
  };
  const server = new ServerConnection(
    connection,
    {
      scheme: 'http',
      deadlines,
      headerTimeout: 10_000,
      keepAliveTimeout: 75_000,
      maxHeaderBytes: 16_384,
      maxFields: 100,
      maxRequestsPerConnection: 1000,
      isDraining: () => state.draining,
      onFieldsDropped: (count) => {
        state.dropped += count;
      },
      ...options,
    },
    sink,
    () => {
      state.closed++;
    },
  );
  const pass = (milliseconds: number) => {
    state.at += milliseconds;
    deadlines.sweep(state.at);
  };
  const output = () => connection.received.replace(/Date: [^\r]*\r\n/g, '').replace(/[0-9a-f]{32}/g, '*');
  return { connection, server, seen, refused, deadlines, state, pass, output };
}

const get = (path = '/', ...fields: string[]) => `GET ${path} HTTP/1.1\r\nHost: a\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
const post = (body: string, ...fields: string[]) => `POST / HTTP/1.1\r\nHost: a\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`;
const ok = (body: string, ...fields: string[]) =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`;
const hello = (seen: Seen) => seen.text(200, 'hello');
/** Reads the body and says what it was. */
const echo = (seen: Seen) => {
  const answer = () => seen.text(200, `${seen.exchange.method} ${seen.exchange.path} [${seen.body}]`);
  if (seen.ended) answer();
  else {
    seen.onEnded = answer;
    seen.stream.resumeRequestBody();
  }
};

describe('ServerConnection: answers', () => {
  it('answers one request after the other on a connection', async () => {
    const { connection, output, seen } = bench(hello);
    connection.send(get('/1'));
    assert.equal(output(), ok('hello'));
    connection.send(get('/2?q'));
    assert.equal(output(), ok('hello').repeat(2));
    assert.deepEqual(
      seen.map(({ exchange }) => [exchange.path, exchange.query, exchange.host, exchange.peerAddress]),
      [
        ['/1', '', 'a', '192.0.2.1'],
        ['/2', '?q', 'a', '192.0.2.1'],
      ],
    );
    await settled();
    assert.equal(connection.ended, false);
  });

  it('writes a small answer at once, and a date with it', () => {
    const { connection } = bench((seen) => seen.stream.respond(200, Fields.of([['X-A', '1']]), 5, Buffer.from('hello'), 0, 5, false, true));
    connection.send(get());
    assert.equal(connection.writes, 1);
    assert.match(
      connection.received,
      /^HTTP\/1\.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\nDate: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n\r\nhello$/,
    );
  });

  it("keeps a backend's own date", () => {
    const { connection } = bench((seen) => seen.text(200, '', [['date', 'yesterday']]));
    connection.send(get());
    assert.equal(connection.received, 'HTTP/1.1 200 OK\r\ndate: yesterday\r\nContent-Length: 0\r\n\r\n');
  });

  it('frames by itself whatever the fields say', () => {
    const { connection, output } = bench((seen) =>
      seen.text(200, 'abc', [
        ['Content-Length', '17'],
        ['Transfer-Encoding', 'chunked'],
        ['Connection', 'close'],
        ['Keep-Alive', 'x'],
        ['Upgrade', 'h2'],
        ['X-A', '1'],
      ]),
    );
    connection.send(get());
    assert.equal(output(), 'HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nabc');
  });

  it('sends no body where there is none', () => {
    const head = bench((seen) => seen.text(200, 'hello'));
    head.connection.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(head.output(), 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');

    const headOfBackend = bench((seen) => seen.stream.respond(200, Fields.of([['Content-Length', '123']]), NO_BODY, undefined, 0, 0, false, true));
    headOfBackend.connection.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(headOfBackend.output(), 'HTTP/1.1 200 OK\r\nContent-Length: 123\r\n\r\n');

    for (const [status, line] of [
      [204, 'No Content'],
      [304, 'Not Modified'],
    ] as const) {
      const { connection, output } = bench((seen) => seen.stream.respond(status, new Fields(), 5, Buffer.from('hello'), 0, 5, false, true));
      connection.send(get());
      assert.equal(output(), `HTTP/1.1 ${status} ${line}\r\n\r\n`);
      connection.send(get());
      assert.equal(output(), `HTTP/1.1 ${status} ${line}\r\n\r\n`.repeat(2));
    }
    const notModified = bench((seen) => seen.stream.respond(304, Fields.of([['Content-Length', '9']]), NO_BODY, undefined, 0, 0, false, true));
    notModified.connection.send(get());
    assert.equal(notModified.output(), 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n');
    const noContent = bench((seen) => seen.stream.respond(204, Fields.of([['Content-Length', '0']]), NO_BODY, undefined, 0, 0, false, true));
    noContent.connection.send(get());
    assert.equal(noContent.output(), 'HTTP/1.1 204 No Content\r\n\r\n');
    const nothing = bench((seen) => seen.stream.respond(200, new Fields(), NO_BODY, undefined, 0, 0, false, true));
    nothing.connection.send(get());
    assert.equal(nothing.output(), ok(''));
  });

  it('chunks a body of unknown length, and passes trailers', () => {
    const { connection, output } = bench(({ stream }) => {
      stream.respond(200, new Fields(), UNKNOWN_LENGTH, Buffer.from('xhellox'), 1, 6, false, false);
      stream.writeBody(Buffer.from('a'.repeat(20)), 0, 20, false);
      stream.writeBody(Buffer.from(''), 0, 0, false);
      stream.writeBody(Buffer.from('z'.repeat(10_000)), 0, 10_000, false);
      stream.endBody(Fields.of([['X-Sum', '1']]));
    });
    connection.send(get() + get());
    const answer = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n14\r\n${'a'.repeat(20)}\r\n2710\r\n${'z'.repeat(10_000)}\r\n0\r\nX-Sum: 1\r\n\r\n`;
    assert.equal(output(), answer + answer);
  });

  it('gives a body of unknown length one where it is complete', () => {
    const { connection, output } = bench(({ stream }) => stream.respond(200, new Fields(), UNKNOWN_LENGTH, Buffer.from('hello'), 0, 5, false, true));
    connection.send(get());
    assert.equal(output(), ok('hello'));
  });

  it('cuts the connection where less or more is written than was announced', async () => {
    const short = bench(({ stream }) => {
      stream.respond(200, new Fields(), 5, Buffer.from('abc'), 0, 3, false, false);
      stream.endBody(undefined);
    });
    short.connection.send(get());
    assert.equal(short.connection.destroyed, true);
    const long = bench(({ stream }) => {
      stream.respond(200, new Fields(), 5, Buffer.from('abc'), 0, 3, false, false);
      stream.writeBody(Buffer.from('defg'), 0, 4, false);
      stream.endBody(undefined);
    });
    long.connection.send(get());
    assert.equal(long.output(), 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde');
  });

  it('passes interim answers on, but not to HTTP/1.0', () => {
    const { connection, output } = bench((seen) => {
      seen.stream.inform(103, Fields.of([['Link', '</a>']]));
      hello(seen);
      seen.stream.inform(103, new Fields());
    });
    connection.send(get());
    assert.equal(output(), `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok('hello')}`);
    const old = bench((seen) => {
      seen.stream.inform(103, new Fields());
      hello(seen);
    });
    old.connection.send('GET / HTTP/1.0\r\n\r\n');
    assert.equal(old.output(), ok('hello', 'Connection: close'));
  });
});

describe('ServerConnection: keep-alive and closing', () => {
  it('closes after an answer where the client asks for it', async () => {
    const { connection, output, state } = bench(hello);
    connection.send(get('/', 'Connection: close') + get());
    assert.equal(output(), ok('hello', 'Connection: close'));
    assert.equal(connection.ended, true);
    connection.sendEnd();
    await settled();
    assert.equal(state.closed, 1);
  });

  it('serves HTTP/1.0 as it is used to', () => {
    const { connection, output } = bench(hello);
    connection.send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    assert.equal(output(), ok('hello', 'Connection: keep-alive'));
    connection.send('GET / HTTP/1.0\r\n\r\n');
    assert.equal(output(), ok('hello', 'Connection: keep-alive') + ok('hello', 'Connection: close'));
    assert.equal(connection.ended, true);
  });

  it('ends a body of unknown length with the connection for HTTP/1.0', () => {
    const { connection, output } = bench(({ stream }) => {
      stream.respond(200, new Fields(), UNKNOWN_LENGTH, Buffer.from('hello'), 0, 5, false, false);
      stream.writeBody(Buffer.from(' world'), 0, 6, false);
      stream.endBody(Fields.of([['X-Sum', '1']]));
    });
    connection.send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    assert.equal(output(), 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world');
    assert.equal(connection.ended, true);
  });

  it('resets where only that tells that such a body is cut', () => {
    const { connection } = bench(({ stream }) => {
      stream.respond(200, new Fields(), UNKNOWN_LENGTH, Buffer.from('hello'), 0, 5, false, false);
      stream.abort();
    });
    connection.send('GET / HTTP/1.0\r\n\r\n');
    assert.equal(connection.wasReset, true);
  });

  it('lingers only where the client may still send', async () => {
    const asked = bench();
    asked.connection.send(get('/', 'Connection: close'));
    hello(asked.seen[0] as Seen);
    assert.equal(asked.connection.finished, true);
    await settled();
    assert.equal(asked.state.closed, 1);
    const asking = bench();
    asking.connection.send(get('/', 'Connection: close') + get());
    hello(asking.seen[0] as Seen);
    const telling = bench();
    telling.connection.send(get());
    telling.state.draining = true;
    hello(telling.seen[0] as Seen);
    for (const { connection } of [asking, telling]) assert.deepEqual([connection.ended, connection.finished], [true, false]);
  });

  it('closes after so many requests', () => {
    const { connection, output } = bench(hello, { maxRequestsPerConnection: 2 });
    connection.send(get() + get() + get());
    assert.equal(output(), ok('hello') + ok('hello', 'Connection: close'));
  });

  it('drains: every answer is the last, idle connections close when told', async () => {
    const busy = bench();
    busy.connection.send(get());
    busy.state.draining = true;
    busy.server.closeIfIdle();
    assert.equal(busy.connection.ended, false);
    hello(busy.seen[0] as Seen);
    assert.equal(busy.output(), ok('hello', 'Connection: close'));
    assert.equal(busy.connection.ended, true);

    const idle = bench(hello);
    idle.connection.send(get());
    assert.equal(idle.server.idle, true);
    idle.server.closeIfIdle();
    assert.equal(idle.connection.ended, true);

    const begun = bench(hello);
    begun.connection.send('GET / HT');
    begun.server.closeIfIdle();
    assert.equal(begun.connection.ended, false);
    begun.state.draining = true;
    begun.connection.send('TP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(begun.output(), ok('hello', 'Connection: close'));

    // Told before the answer's head could say so, and after it went out.
    const late = bench(({ stream }) => stream.respond(200, new Fields(), 5, undefined, 0, 0, false, false));
    late.connection.send(get());
    late.server.closeIfIdle();
    late.seen[0]?.stream.writeBody(Buffer.from('hello'), 0, 5, false);
    late.seen[0]?.stream.endBody(undefined);
    assert.equal(late.output(), ok('hello'));
    assert.equal(late.connection.ended, true);
  });

  it('reads on after the last answer, so that it is not reset, but not for ever', async () => {
    const { connection, output, pass, state } = bench();
    connection.send('BAD\r\n\r\n');
    const answer = output();
    for (let second = 0; second < 29; second += 4) {
      connection.send('x'.repeat(10_000));
      assert.equal(connection.destroyed, false);
      pass(4_000);
    }
    connection.send('x');
    pass(5_100);
    await settled();
    assert.equal(connection.destroyed, true);
    assert.equal(state.closed, 1);
    assert.equal(output(), answer);
  });
});

describe('ServerConnection: pipelining', () => {
  it('answers in order, one at a time', async () => {
    const { connection, output, seen } = bench();
    connection.send(get('/1') + get('/2') + get('/3'));
    assert.equal(seen.length, 1);
    seen[0]?.text(200, 'one');
    assert.equal(seen.length, 1, 'not from within the answer to the first');
    await settled();
    assert.equal(seen.length, 2);
    connection.send(get('/4'));
    seen[1]?.text(200, 'two');
    await settled();
    seen[2]?.text(200, 'three');
    await settled();
    seen[3]?.text(200, 'four');
    await settled();
    assert.deepEqual(
      seen.map((item) => item.exchange.path),
      ['/1', '/2', '/3', '/4'],
    );
    assert.equal(output(), ok('one') + ok('two') + ok('three') + ok('four'));
  });

  it('does not nest, however many requests there are', () => {
    const { connection, seen } = bench(hello, { maxRequestsPerConnection: 1e6 });
    connection.send(get().repeat(3000));
    assert.equal(seen.length, 3000);
  });

  it('keeps a bounded number of bytes, and stops reading beyond', async () => {
    const { connection, seen } = bench();
    for (let index = 0; index < 1000; index++) connection.send(get(`/${index}`, `X-Fill: ${'x'.repeat(100)}`));
    assert.equal(connection.paused, true);
    assert.ok(connection.bytesRead < 20_000, `${connection.bytesRead}`);
    for (let index = 0; index < 1000; index++) {
      assert.equal(seen[index]?.exchange.path, `/${index}`);
      seen[index]?.text(200, `${index}`);
      await settled();
    }
    assert.equal(connection.paused, false);
  });

  it('goes on only when the client has taken the answer', async () => {
    const { connection, seen } = bench(hello);
    connection.taking = false;
    connection.send(get('/1') + get('/2'));
    assert.equal(seen.length, 1);
    await settled();
    assert.equal(seen.length, 1);
    connection.drain();
    await settled();
    assert.equal(seen.length, 2);
  });

  it('ignores late calls for an exchange that is over', async () => {
    const { connection, output, seen } = bench();
    connection.send(get('/1') + get('/2'));
    const first = (seen[0] as Seen).stream;
    seen[0]?.text(200, 'one');
    await settled();
    first.respondText(500, new Fields(), 'late');
    first.writeBody(Buffer.from('late'), 0, 4, false);
    first.endBody(undefined);
    first.inform(103, new Fields());
    first.abort();
    first.pauseRequestBody();
    first.resumeRequestBody();
    assert.equal(first.respond(500, new Fields(), 4, Buffer.from('late'), 0, 4, false, true), true);
    seen[1]?.text(200, 'two');
    assert.equal(output(), ok('one') + ok('two'));
    assert.equal(connection.destroyed, false);
  });
});

describe('ServerConnection: request bodies', () => {
  it('hands bodies over, whatever their framing, and what follows is the next request', async () => {
    const { connection, output, seen } = bench(echo);
    connection.send(
      post('hello', 'Content-Length: 5') +
        post('3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n', 'Transfer-Encoding: chunked') +
        post('', 'Content-Length: 0') +
        post('') +
        get(),
    );
    await settled();
    assert.deepEqual(
      seen.map((item) => [item.body, item.trailers, item.stream.requestBody]),
      [
        ['hello', undefined, 5],
        ['abcde', 'X-Sum: 1\r\n', UNKNOWN_LENGTH],
        ['', undefined, 0],
        ['', undefined, NO_BODY],
        ['', undefined, NO_BODY],
      ],
    );
    assert.equal(output(), ok('POST / [hello]') + ok('POST / [abcde]') + ok('POST / []').repeat(2) + ok('GET / []'));
  });

  it('holds the body back until it is wanted', async () => {
    const { connection, seen } = bench();
    connection.send(post('hello', 'Content-Length: 10'));
    connection.send(' more');
    const [first] = seen as [Seen];
    assert.equal(first.body, '');
    assert.equal(connection.paused, true);
    first.stream.resumeRequestBody();
    assert.equal(first.body, '', 'not from within the call');
    await settled();
    assert.equal(first.body, 'hello more');
    assert.equal(first.ended, true);
  });

  it('pauses within a read', async () => {
    const { connection, seen } = bench((item) => {
      item.onBytes = ({ stream }) => stream.pauseRequestBody();
      item.stream.resumeRequestBody();
    });
    connection.send(post('1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n', 'Transfer-Encoding: chunked') + get('/next'));
    const [first] = seen as [Seen];
    for (const body of ['a', 'ab', 'abc']) {
      await settled();
      assert.equal(first.body, body);
      assert.equal(first.ended, false);
      assert.equal(connection.paused, true);
      first.stream.resumeRequestBody();
    }
    await settled();
    assert.equal(first.ended, true);
    first.text(200, 'done');
    await settled();
    assert.equal(seen[1]?.exchange.path, '/next');
  });

  it('sends 100 only when the body is wanted', async () => {
    const { connection, seen, output } = bench();
    connection.send(post('', 'Content-Length: 5', 'Expect: 100-continue'));
    assert.equal(output(), '');
    seen[0]?.stream.resumeRequestBody();
    assert.equal(output(), 'HTTP/1.1 100 Continue\r\n\r\n');
    connection.send('hello');
    assert.equal(seen[0]?.ended, true);
    hello(seen[0] as Seen);
    assert.equal(output(), `HTTP/1.1 100 Continue\r\n\r\n${ok('hello')}`);
    assert.equal(seen[0]?.exchange.requestFields.has('expect'), false);
  });

  it('closes after an answer in place of 100: nobody knows whether the body comes', () => {
    const { connection, output, seen } = bench(hello);
    connection.send(post('', 'Content-Length: 5', 'Expect: 100-continue'));
    assert.equal(output(), ok('hello', 'Connection: close'));
    connection.send(get('/5'));
    assert.equal(seen.length, 1);
  });

  it('drops a small body that nobody read, and never takes it for a request', async () => {
    const { connection, output, seen } = bench(hello);
    const smuggled = get('/smuggled');
    connection.send(post(smuggled.slice(0, 10), `Content-Length: ${smuggled.length}`));
    assert.equal(output(), ok('hello'));
    connection.send(smuggled.slice(10) + get('/next'));
    await settled();
    assert.deepEqual(
      seen.map((item) => item.exchange.path),
      ['/', '/next'],
    );
    assert.equal(seen[0]?.ended, false);
  });

  it('closes where the body that nobody read is large or of unknown length', () => {
    for (const request of [post('', 'Content-Length: 70000'), post('', 'Transfer-Encoding: chunked')]) {
      const { connection, output, seen } = bench(hello);
      connection.send(request + get('/5'));
      assert.equal(output(), ok('hello', 'Connection: close'));
      assert.equal(connection.ended, true);
      assert.equal(seen.length, 1);
    }
  });

  it('drops what is left of a body after an answer that was under way, within limits', async () => {
    const start = ({ stream }: Seen) => stream.respond(200, new Fields(), UNKNOWN_LENGTH, undefined, 0, 0, false, false);
    const { connection, seen } = bench(start);
    connection.send(post('5\r\nhello\r\n', 'Transfer-Encoding: chunked'));
    seen[0]?.stream.endBody(undefined);
    connection.send('5\r\nhello\r\n0\r\n\r\n');
    await settled();
    connection.send(get('/next'));
    assert.equal(seen[1]?.exchange.path, '/next');

    const endless = bench(start);
    endless.connection.send(post('', 'Transfer-Encoding: chunked'));
    endless.seen[0]?.stream.endBody(undefined);
    for (let count = 0; count < 10; count++) endless.connection.send(`4000\r\n${'x'.repeat(0x4000)}\r\n`);
    assert.equal(endless.connection.ended, true);

    const slow = bench(start);
    slow.connection.send(post('', 'Transfer-Encoding: chunked'));
    slow.seen[0]?.stream.endBody(undefined);
    slow.pass(5_100);
    assert.equal(slow.connection.destroyed, true);

    const broken = bench(start);
    broken.connection.send(post('', 'Transfer-Encoding: chunked'));
    broken.seen[0]?.stream.endBody(undefined);
    broken.connection.send('zz\r\n');
    assert.equal(broken.connection.ended, true);
  });

  it('refuses bodies above the limit with 413', async () => {
    const limited = (seen: Seen) => {
      seen.stream.setBodyLimit(10);
      seen.stream.resumeRequestBody();
    };
    for (const [text, error] of [
      [post('x', 'Content-Length: 11'), '413 body_too_large'],
      [post('x', 'Content-Length: 11', 'Expect: 100-continue'), '413 body_too_large'],
      [post('6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n', 'Transfer-Encoding: chunked'), '413 body_too_large'],
      [post('6\r\n123456\r\n4\r\n1234\r\n0\r\n\r\n', 'Transfer-Encoding: chunked'), ''],
      [post('1234567890', 'Content-Length: 10'), ''],
    ] as const) {
      const { connection, seen, output } = bench(limited);
      connection.send(text);
      await settled();
      assert.equal(seen[0]?.error, error);
      assert.equal(seen[0]?.ended, error === '');
      if (error === '') continue;
      assert.match(output(), /^HTTP\/1\.1 413 Content Too Large\r\nContent-Type: application\/problem\+json\r\n.*Connection: close\r\n\r\n\{.*"status":413/s);
      assert.equal(connection.ended, true);
      assert.equal(seen[0]?.gone, 0);
    }
  });

  it('refuses a broken body with 400, or cuts an answer that has begun', async () => {
    for (const body of ['zz\r\n', '5\r\nhelloX', '5\nhello', '0\r\nX : 1\r\n\r\n']) {
      const fresh = bench(({ stream }) => stream.resumeRequestBody());
      fresh.connection.send(post(body, 'Transfer-Encoding: chunked') + get('/smuggled'));
      assert.match(fresh.output(), /^HTTP\/1\.1 400 Bad Request\r\n/);
      assert.match(fresh.seen[0]?.error ?? '', /^400 bad_(chunk|trailer)$/);
      assert.equal(fresh.seen.length, 1);
      assert.equal(fresh.connection.ended, true);

      const begun = bench(({ stream }) => {
        stream.respond(200, new Fields(), UNKNOWN_LENGTH, undefined, 0, 0, false, false);
        stream.resumeRequestBody();
      });
      begun.connection.send(post(body, 'Transfer-Encoding: chunked') + get('/smuggled'));
      assert.equal(begun.output(), 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      assert.equal(begun.connection.destroyed, true);
      assert.match(begun.seen[0]?.error ?? '', /^400 bad_(chunk|trailer)$/);
    }
  });

  it('reads large bodies in bulk, and small ones not', () => {
    const { connection, seen } = bench(({ stream }) => stream.resumeRequestBody());
    connection.send(post('x', 'Content-Length: 65537'));
    assert.equal(connection.bulk, false);
    connection.send(post('x'.repeat(65_536)).slice(-65_536));
    assert.equal(seen[0]?.ended, true);
    seen[0]?.text(200, '');

    connection.send(post('x', 'Content-Length: 200000'));
    assert.equal(connection.bulk, true);
    for (let sent = 1; sent < 200_000; sent += 50_000) connection.send('x'.repeat(Math.min(50_000, 200_000 - sent)));
    assert.equal(seen[1]?.body.length, 200_000);
    assert.equal(connection.bulk, false);
    seen[1]?.text(200, '');

    connection.send(post(`10000\r\n${'x'.repeat(0x10000)}\r\n`, 'Transfer-Encoding: chunked'));
    assert.equal(connection.bulk, false);
    connection.send(`1\r\nx\r\n`);
    assert.equal(connection.bulk, true);
    connection.send(`0\r\n\r\n${get('/held')}`);
    assert.equal(connection.bulk, false);
    assert.equal(seen[2]?.body.length, 0x10001);
  });

  it('keeps what is paused in bulk mode without a copy, and whole', async () => {
    const { connection, seen } = bench((item) => {
      item.onBytes = ({ stream }) => stream.pauseRequestBody();
      item.stream.resumeRequestBody();
    });
    connection.send(post('x', 'Content-Length: 200000'));
    const [first] = seen as [Seen];
    let sent = 1;
    for (let count = 0; sent < 200_000; count++) {
      const piece = String.fromCharCode(97 + (count % 26)).repeat(Math.min(30_000, 200_000 - sent));
      sent += piece.length;
      connection.send(piece);
    }
    while (!first.ended) {
      first.stream.resumeRequestBody();
      await settled();
    }
    assert.equal(first.body.replace(/(.)\1*/g, '$1'), 'xabcdefg');
    assert.equal(first.body.length, 200_000);
  });
});

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
