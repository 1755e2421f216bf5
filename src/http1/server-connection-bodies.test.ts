import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import { NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { settled } from './memory-wire.fixture.ts';
import { bench, echo, get, hello, ok, post, type Seen } from './server-bench.fixture.ts';

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
    // Too large to be put together.
    const parts = [...'abc'].map((letter) => letter.repeat(5000));
    const chunks = parts.map((part) => `1388\r\n${part}\r\n`).join('');
    connection.send(post(`${chunks}0\r\n\r\n`, 'Transfer-Encoding: chunked') + get('/next'));
    const [first] = seen as [Seen];
    for (let count = 1; count <= parts.length; count++) {
      await settled();
      assert.equal(first.body, parts.slice(0, count).join(''));
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

  it('hands on what came in many small chunks in one piece', async () => {
    const pieces: string[] = [];
    const { connection, seen } = bench((item) => {
      item.onBytes = ({ body }) => pieces.push(body.slice(pieces.join('').length));
      item.stream.resumeRequestBody();
    });
    connection.send(post(`${'1\r\nx\r\n'.repeat(3000)}0\r\n\r\n`, 'Transfer-Encoding: chunked'));
    await settled();
    assert.deepEqual([pieces, seen[0]?.ended], [['x'.repeat(3000)], true]);
  });

  it('closes after a 408 to a request whose rest may come or not, and after no other', async () => {
    for (const [body, closes] of [
      ['abc', true],
      ['abcde', false],
    ] as const) {
      const { connection, seen, output } = bench((item) => item.stream.resumeRequestBody());
      connection.send(post(body, 'Content-Length: 5'));
      await settled();
      seen[0]?.text(408, 'slow');
      await settled();
      assert.match(output(), /^HTTP\/1\.1 408 /);
      assert.equal(output().includes('Connection: close'), closes);
    }
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
