import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import { NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { settled } from './memory-wire.fixture.ts';
import { bench, get, hello, ok, type Seen } from './server-bench.fixture.ts';

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
