import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import { NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { ErrorCode, Flag, FrameType, PREFACE, pingFrame, rstStreamFrame, Setting, windowUpdateFrame } from './frames.ts';
import { block, data, frame, GET, headers, type Pair, POST, RawClient } from './raw-client.fixture.ts';

const ok = (seen: { text(status: number, body: string): void }): void => seen.text(200, 'hello');

describe('requests over HTTP/2', () => {
  it('reach the sink as those of HTTP/1.1 do', async () => {
    const client = new RawClient();
    client.send(
      headers(1, [
        ...GET.slice(0, 2),
        [':path', '/a/../b?x=1'],
        [':authority', 'A.test:8080'],
        ['x-a', '1'],
        ['cookie', 'a=1'],
        ['cookie', 'b=2'],
        ['te', 'trailers'],
        ['under_score', 'x'],
      ]),
    );
    await client.settle();
    const { exchange } = client.seen[0]!;
    assert.deepEqual(
      {
        method: exchange.method,
        path: exchange.path,
        query: exchange.query,
        host: exchange.host,
        authority: exchange.authority,
        protocol: exchange.protocol,
        body: exchange.stream.requestBody,
      },
      { method: 'GET', path: '/b', query: '?x=1', host: 'a.test', authority: 'A.test:8080', protocol: 'HTTP/2.0', body: NO_BODY },
    );
    assert.equal(exchange.requestFields.serialize(), 'host: A.test:8080\r\nx-a: 1\r\ncookie: a=1; b=2\r\n');
  });

  it('are each their own where the same comes again and again', async () => {
    const client = new RawClient({
      sink: (seen) => {
        seen.exchange.requestFields.append('x-mine', String(client.seen.length));
        seen.exchange.requestFields.remove('x-a');
        seen.text(200, 'hello');
      },
    });
    // None of these is added to the table, so that the same bytes mean the same.
    const head = (id: number, endsStream: boolean, path = '04032f612f') =>
      frame(
        FrameType.Headers,
        endsStream ? Flag.EndStream | Flag.EndHeaders : Flag.EndHeaders,
        id,
        Buffer.from(`8287${path}0106612e746573740003782d610131`, 'hex').toString('latin1'),
      );
    const other = '04032f622f';
    client.send(
      head(1, true),
      head(3, true),
      head(5, true),
      head(7, true),
      head(9, false),
      head(11, false),
      head(13, true),
      head(15, true, other),
      head(17, true),
    );
    await client.settle();
    assert.deepEqual(
      client.seen.map(({ exchange }) => [exchange.path, exchange.host, exchange.stream.requestBody, exchange.requestFields.serialize()]),
      ['/a/', '/a/', '/a/', '/a/', '/a/', '/a/', '/a/', '/b/', '/a/'].map((path, index) => [
        path,
        'a.test',
        index === 4 || index === 5 ? UNKNOWN_LENGTH : NO_BODY,
        `host: a.test\r\nx-mine: ${index + 1}\r\n`,
      ]),
    );
  });

  it('are answered with head and body in one write', async () => {
    const client = new RawClient({ sink: ok });
    await client.settle();
    const { writes } = client.connection;
    client.send(headers(1, GET), headers(3, GET), headers(5, GET));
    await client.settle();
    assert.equal(client.connection.writes, writes + 1);
    for (const id of [1, 3, 5]) {
      const { head, body, ended } = client.answer(id);
      assert.equal(head?.[':status'], '200');
      assert.equal(head?.['content-length'], '5');
      assert.ok(head?.date?.endsWith('GMT'));
      assert.deepEqual({ body, ended }, { body: 'hello', ended: true });
    }
  });

  it('take a body, with backpressure, and trailers', async () => {
    const client = new RawClient();
    client.send(headers(1, [...POST, ['content-length', '6']], false), data(1, 'abc'));
    await client.settle();
    const seen = client.seen[0]!;
    assert.equal(seen.stream.requestBody, 6);
    assert.equal(seen.body, '', 'held back until it is wanted');
    seen.stream.resumeRequestBody();
    assert.equal(seen.body, '', 'not from within the call');
    await client.settle();
    assert.equal(seen.body, 'abc');
    seen.stream.pauseRequestBody();
    client.send(
      data(1, 'def'),
      headers(1, [
        ['x-checksum', '1'],
        ['authorization', 'x'],
      ]),
    );
    await client.settle();
    assert.deepEqual({ body: seen.body, ended: seen.ended }, { body: 'abc', ended: false });
    seen.stream.resumeRequestBody();
    await client.settle();
    assert.deepEqual({ body: seen.body, ended: seen.ended, trailers: seen.trailers }, { body: 'abcdef', ended: true, trailers: 'x-checksum: 1\r\n' });
  });

  it('get a 100 where they wait for it, once the body is wanted', async () => {
    const client = new RawClient();
    client.send(headers(1, [...POST, ['expect', '100-continue']], false));
    await client.settle();
    assert.deepEqual(client.answer(1).informational, []);
    client.seen[0]!.stream.resumeRequestBody();
    await client.settle();
    assert.deepEqual(client.answer(1).informational, [{ ':status': '100' }]);
  });

  it('take a host for a missing :authority, and one that is the same', async () => {
    const client = new RawClient();
    client.send(headers(1, [...GET.slice(0, 3), ['host', 'a.test']]), headers(3, [...GET, ['host', 'A.test:80']]));
    await client.settle();
    assert.deepEqual(
      client.seen.map(({ exchange }) => exchange.requestFields.serialize()),
      ['host: a.test\r\n', 'host: a.test\r\n'],
    );
  });
});

describe('answers over HTTP/2', () => {
  async function asked(pairs: readonly Pair[] = GET, settings: readonly number[] = []) {
    const client = new RawClient({ settings });
    client.send(headers(1, pairs));
    await client.settle();
    return { client, seen: client.seen[0]!, stream: client.seen[0]!.stream };
  }

  it('lose what concerns an HTTP/1 connection', async () => {
    const { client, stream } = await asked();
    const fields = Fields.of([
      ['Connection', 'close'],
      ['Keep-Alive', '1'],
      ['Transfer-Encoding', 'chunked'],
      ['Upgrade', 'x'],
      ['X-Thing', '1'],
    ]);
    stream.respond(200, fields, UNKNOWN_LENGTH, Buffer.from('abc'), 0, 3, false, false);
    stream.endBody(undefined);
    await client.settle();
    const { date, ...rest } = client.answer(1).head!;
    assert.deepEqual(rest, { ':status': '200', 'x-thing': '1' });
    assert.deepEqual([client.answer(1).body, client.answer(1).ended], ['abc', true]);
  });

  it('bring trailers and informational heads', async () => {
    const { client, stream } = await asked();
    stream.inform(103, Fields.of([['link', '</a>; rel=preload']]));
    stream.respond(200, new Fields(), UNKNOWN_LENGTH, undefined, 0, 0, false, false);
    stream.writeBody(Buffer.from('abc'), 0, 3, false);
    stream.endBody(Fields.of([['x-checksum', '1']]));
    await client.settle();
    const { informational, body, trailers, ended } = client.answer(1);
    assert.deepEqual(informational, [{ ':status': '103', link: '</a>; rel=preload' }]);
    assert.deepEqual({ body, trailers, ended }, { body: 'abc', trailers: { 'x-checksum': '1' }, ended: true });
  });

  for (const [what, method, status, length, expected] of [
    ['HEAD', 'HEAD', 200, 5, '5'],
    ['204', 'GET', 204, NO_BODY, undefined],
    ['304', 'GET', 304, NO_BODY, '7'],
  ] as const) {
    it(`have no body: ${what}`, async () => {
      const { client, stream } = await asked([[':method', method], ...GET.slice(1)]);
      const fields = status === 200 ? new Fields() : Fields.of([['content-length', '7']]);
      stream.respond(status, fields, length, Buffer.from('hello'), 0, 5, false, true);
      await client.settle();
      const { head, body, ended } = client.answer(1);
      assert.deepEqual({ length: head?.['content-length'], body, ended }, { length: expected, body: '', ended: true });
    });
  }

  it('that are cut reset their stream', async () => {
    const { client, stream } = await asked();
    stream.respond(200, new Fields(), 10, Buffer.from('abc'), 0, 3, false, false);
    stream.abort();
    await client.settle();
    assert.deepEqual([client.answer(1).body, client.answer(1).ended, client.answer(1).reset], ['abc', false, ErrorCode.InternalError]);
    assert.equal(client.seen[0]!.gone, 0, 'whoever cuts it knows');
  });

  it('that are shorter than announced are cut, and never longer', async () => {
    const { client, stream } = await asked();
    stream.respond(200, new Fields(), 10, Buffer.from('abc'), 0, 3, false, false);
    stream.endBody(undefined);
    client.send(headers(3, GET));
    await client.settle();
    assert.deepEqual([client.answer(1).ended, client.answer(1).reset], [false, ErrorCode.InternalError]);
    const second = client.seen[1]!.stream;
    second.respond(200, new Fields(), 2, Buffer.from('abc'), 0, 3, false, false);
    second.writeBody(Buffer.from('d'), 0, 1, false);
    second.endBody(undefined);
    await client.settle();
    assert.deepEqual([client.answer(3).body, client.answer(3).ended], ['ab', true]);
  });

  it('that end before their request tell the client to stop', async () => {
    const client = new RawClient({ sink: ok });
    client.send(headers(1, POST, false), data(1, 'abc'), data(1, 'def', true));
    await client.settle();
    assert.deepEqual([client.answer(1).body, client.answer(1).ended, client.answer(1).reset], ['hello', true, ErrorCode.NoError]);
    assert.deepEqual(client.goAways, [], 'what was on its way is no mistake');
  });

  it('413 where the body is larger than allowed, announced or not', async () => {
    const client = new RawClient({
      sink: (seen) => {
        seen.stream.setBodyLimit(4);
        seen.stream.resumeRequestBody();
      },
    });
    client.send(headers(1, [...POST, ['content-length', '5']], false), headers(3, POST, false), data(3, 'abc'), data(3, 'de'));
    await client.settle();
    for (const [index, id] of [1, 3].entries()) {
      assert.equal(client.answer(id).head?.[':status'], '413');
      assert.equal(client.answer(id).reset, ErrorCode.NoError);
      assert.equal(client.seen[index]!.error, '413 body_too_large');
    }
  });
});

describe('the end of HTTP/2 connections', () => {
  it('a client that goes away takes its exchanges along', async () => {
    const client = new RawClient();
    client.send(headers(1, GET), headers(3, GET), headers(5, GET));
    client.send(rstStreamFrame(3, ErrorCode.Cancel));
    await client.settle();
    assert.deepEqual(
      client.seen.map((seen) => seen.gone),
      [0, 1, 0],
    );
    client.connection.break();
    assert.deepEqual(
      client.seen.map((seen) => seen.gone),
      [1, 1, 1],
    );
    assert.equal(client.closed, 1);
    client.seen[0]!.text(200, 'late');
  });

  it('leaves in two steps: the highest stream first, then the last one that is served', async () => {
    const client = new RawClient();
    client.send(headers(1, GET));
    await client.settle();
    client.draining = true;
    client.seen[0]!.text(200, 'hello');
    await client.settle();
    assert.deepEqual(client.goAways, [{ last: 0x7fff_ffff, code: 0 }]);
    assert.equal(client.answer(1).body, 'hello');
    // On its way before the client knew.
    client.send(headers(3, GET), pingFrame('goingawy', true), headers(5, GET));
    await client.settle();
    assert.deepEqual(client.goAways[1], { last: 3, code: 0 });
    assert.equal(client.seen.length, 2, 'nothing above the last one is served');
    assert.equal(client.connection.ended, false);
    client.seen[1]!.text(200, 'bye');
    await client.settle();
    assert.equal(client.answer(3).body, 'bye');
    assert.equal(client.connection.ended, true);
  });

  it('never names a higher last stream than it has named before', async () => {
    const client = new RawClient();
    client.send(headers(1, GET));
    client.server.closeIfIdle();
    client.send(pingFrame('goingawy', true), headers(3, GET), windowUpdateFrame(0, 0));
    await client.settle();
    assert.deepEqual(client.goAways, [
      { last: 0x7fff_ffff, code: 0 },
      { last: 1, code: 0 },
      { last: 1, code: ErrorCode.ProtocolError },
    ]);
  });

  it('names the last stream by itself where the client does not answer', async () => {
    const client = new RawClient();
    client.server.closeIfIdle();
    await client.settle();
    assert.deepEqual(client.goAways, [{ last: 0x7fff_ffff, code: 0 }]);
    client.pass(1_500);
    await client.settle();
    assert.deepEqual(client.goAways[1], { last: 0, code: 0 });
    assert.equal(client.connection.ended, true);
  });

  it('leaves after as many requests as a connection may have', async () => {
    const client = new RawClient({ sink: ok, server: { maxRequestsPerConnection: 3 } });
    client.send(headers(1, GET), headers(3, GET));
    await client.settle();
    assert.deepEqual(client.goAways, []);
    client.send(headers(5, GET));
    await client.settle();
    assert.deepEqual(client.goAways, [{ last: 0x7fff_ffff, code: 0 }]);
    assert.equal(client.answer(5).body, 'hello');
  });

  it('closes what is idle for too long, and nothing that is at work', async () => {
    const client = new RawClient();
    client.send(headers(1, GET));
    await client.settle();
    client.pass(80_000);
    client.seen[0]!.text(200, 'hello');
    client.pass(70_000);
    client.send(pingFrame('12345678', false));
    await client.settle();
    assert.deepEqual(client.goAways, []);
    client.pass(6_000);
    await client.settle();
    assert.deepEqual(client.goAways, [{ last: 1, code: 0 }]);
    assert.equal(client.connection.ended, true);
  });

  it('answers a header section that does not get whole in time with 408', async () => {
    const client = new RawClient();
    client.send(frame(FrameType.Headers, 0, 1, block(GET)));
    await client.settle();
    client.pass(9_000);
    client.pass(2_000);
    await client.settle();
    assert.equal(client.answer(1).head?.[':status'], '408');
    assert.deepEqual(client.goAways, [{ last: 1, code: ErrorCode.EnhanceYourCalm }]);
    assert.equal(client.refusals[0]?.reason, 'head_timeout');
  });

  it('counts that time from where a header section began, however busy the connection is', async () => {
    const client = new RawClient({ sink: ok });
    let cut = '';
    for (let id = 1; id < 20; id += 2) {
      // Every read ends within a frame.
      const next = headers(id, GET);
      client.send(cut + next.slice(0, 12));
      cut = next.slice(12);
      await client.settle();
      client.pass(2_000);
    }
    client.send(cut);
    await client.settle();
    assert.deepEqual([client.goAways, client.refusals], [[], []]);
    assert.equal(client.answer(19).body, 'hello');
  });

  it('gives an answer up whose end the client does not take', async () => {
    const client = new RawClient({ settings: [Setting.InitialWindowSize, 2], sink: ok });
    client.send(headers(1, GET));
    await client.settle();
    assert.equal(client.answer(1).body, 'he');
    for (let passed = 0; passed < 70_000; passed += 5_000) client.pass(5_000);
    await client.settle();
    assert.equal(client.answer(1).reset, ErrorCode.Cancel);
    assert.deepEqual(client.goAways, []);
  });

  it('wants the preface, and SETTINGS first', async () => {
    for (const text of [`${PREFACE.slice(0, -1)}x`, PREFACE + pingFrame('12345678', false), PREFACE + frame(FrameType.Settings, Flag.Ack, 0)]) {
      const client = new RawClient({ beginning: text });
      await client.settle();
      assert.equal(client.goAways[0]?.code, ErrorCode.ProtocolError);
      assert.equal(client.connection.ended, true);
    }
  });
});
