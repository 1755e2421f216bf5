import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import { NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { ErrorCode, Flag, FrameType, PREFACE, pingFrame, rstStreamFrame, Setting, settingsFrame, windowUpdateFrame } from './frames.ts';
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

describe('malformed requests over HTTP/2', () => {
  const without = (name: string): Pair[] => GET.filter(([found]) => found !== name);
  const with_ = (...pairs: readonly Pair[]): Pair[] => [...GET, ...pairs];
  const replaced = (name: string, value: string): Pair[] => GET.map(([found, old]) => [found, found === name ? value : old]);

  const RESET: readonly (readonly [what: string, pairs: readonly Pair[]])[] = [
    ['an upper-case name', with_(['X-A', '1'])],
    ['a name with a colon', with_(['x:a', '1'])],
    ['a name with a blank', with_(['x a', '1'])],
    ['an empty name', with_(['', '1'])],
    ['CR in a value', with_(['x-a', 'a\rb'])],
    ['LF in a value', with_(['x-a', 'a\nb: c'])],
    ['NUL in a value', with_(['x-a', 'a\0b'])],
    ['a blank before a value', with_(['x-a', ' a'])],
    ['a tab behind a value', with_(['x-a', 'a\t'])],
    ['LF in a path', replaced(':path', '/a\nb')],
    ['connection', with_(['connection', 'close'])],
    ['proxy-connection', with_(['proxy-connection', 'close'])],
    ['keep-alive', with_(['keep-alive', '1'])],
    ['transfer-encoding', with_(['transfer-encoding', 'chunked'])],
    ['upgrade', with_(['upgrade', 'h2c'])],
    ['te that says more than trailers', with_(['te', 'trailers, deflate'])],
    ['no method', without(':method')],
    ['no scheme', without(':scheme')],
    ['no path', without(':path')],
    ['an empty path', replaced(':path', '')],
    ['two methods', [...GET, [':method', 'GET']]],
    ['two paths', [[':path', '/x'], ...GET]],
    ['two authorities', [[':authority', 'a.test'], ...GET]],
    ['a status', [...GET, [':status', '200']]],
    ['an unknown pseudo-header', [...GET, [':foo', 'bar']]],
    ['a protocol without CONNECT', [...GET, [':protocol', 'websocket']]],
    ['a pseudo-header behind a field', [['x-a', '1'], ...GET]],
    ['CONNECT with a path', replaced(':method', 'CONNECT')],
    ['content-length without content', with_(['content-length', '1'])],
    ['content-length twice', with_(['content-length', '0'], ['content-length', '0'])],
    ['content-length that is no number', with_(['content-length', '+0'])],
  ];
  for (const [what, pairs] of RESET) {
    it(`are reset: ${what}`, async () => {
      const client = new RawClient({ sink: ok });
      client.send(headers(1, pairs), headers(3, GET));
      await client.settle();
      assert.deepEqual({ reset: client.answer(1).reset, head: client.answer(1).head }, { reset: ErrorCode.ProtocolError, head: undefined });
      assert.equal(client.refusals[0]?.status, 400);
      assert.equal(client.answer(3).body, 'hello', 'other streams go on');
      assert.equal(client.seen.length, 1);
    });
  }

  const ANSWERED: readonly (readonly [what: string, pairs: readonly Pair[], status: number, reason: string])[] = [
    ['a method with a blank', replaced(':method', 'GET /x'), 400, 'unknown_method'],
    ['an unknown method', replaced(':method', 'get'), 400, 'unknown_method'],
    ['TRACE', replaced(':method', 'TRACE'), 405, 'trace_refused'],
    [
      'CONNECT',
      [
        [':method', 'CONNECT'],
        [':authority', 'a.test:443'],
      ],
      405,
      'connect_refused',
    ],
    ['a path with a blank', replaced(':path', '/a b'), 400, 'bad_path'],
    ['a query with a blank', replaced(':path', '/a?b c'), 400, 'bad_target'],
    ['a path with an encoded slash', replaced(':path', '/a%2fb'), 400, 'bad_path'],
    ['a path that is none', replaced(':path', 'http://a.test/'), 400, 'bad_target'],
    ['* for GET', replaced(':path', '*'), 400, 'bad_target'],
    ['a scheme that is not HTTP', replaced(':scheme', 'ftp'), 400, 'bad_target'],
    ['no host at all', without(':authority'), 400, 'bad_host'],
    ['a bad authority', replaced(':authority', 'user@a.test'), 400, 'bad_host'],
    ['an empty authority', replaced(':authority', ''), 400, 'bad_host'],
    ['two hosts', [...without(':authority'), ['host', 'a.test'], ['host', 'b.test']], 400, 'bad_host'],
    ['the same host twice', [...without(':authority'), ['host', 'a.test'], ['host', 'a.test']], 400, 'bad_host'],
    ['a host that differs from :authority', with_(['host', 'b.test']), 400, 'host_mismatch'],
    ['a port that differs from that of :authority', with_(['host', 'a.test:81']), 400, 'host_mismatch'],
    ['an unknown expectation', with_(['expect', 'x']), 417, 'unknown_expectation'],
    ['more than 100 fields', with_(...Array.from({ length: 101 }, (): Pair => ['a', 'b'])), 431, 'too_many_fields'],
    ['more than 16 KiB of fields', with_(['x-a', 'a'.repeat(16_000)], ['x-b', 'b'.repeat(400)]), 431, 'head_too_large'],
    ['a path of more than 16 KiB', replaced(':path', `/${'a'.repeat(16_500)}`), 431, 'head_too_large'],
  ];
  for (const [what, pairs, status, reason] of ANSWERED) {
    it(`get a ${status}: ${what}`, async () => {
      const client = new RawClient({ sink: ok });
      const text = block(pairs);
      const cut = text.slice(0, 16_000);
      const frames =
        text.length === cut.length
          ? headers(1, pairs)
          : frame(FrameType.Headers, Flag.EndStream, 1, cut) + frame(FrameType.Continuation, Flag.EndHeaders, 1, text.slice(cut.length));
      client.send(frames, headers(3, GET));
      await client.settle();
      const { head, body, ended, reset } = client.answer(1);
      assert.equal(head?.[':status'], String(status));
      assert.equal(head?.['content-type'], 'application/problem+json');
      assert.equal(JSON.parse(body).status, status);
      assert.deepEqual({ ended, reset }, { ended: true, reset: undefined });
      assert.deepEqual(
        { status: client.refusals[0]?.status, reason: client.refusals[0]?.reason, protocol: client.refusals[0]?.protocol },
        { status, reason, protocol: 'HTTP/2.0' },
      );
      assert.equal(client.answer(3).body, 'hello', 'other streams go on');
    });
  }

  const LENGTHS: readonly (readonly [what: string, frames: string])[] = [
    ['shorter than announced', data(1, 'ab', true)],
    ['longer than announced', data(1, 'abcd')],
    ['shorter, with trailers', data(1, 'ab') + headers(1, [['x-a', '1']])],
  ];
  for (const [what, frames] of LENGTHS) {
    it(`are reset: content ${what}`, async () => {
      const client = new RawClient({ sink: (seen) => seen.stream.resumeRequestBody() });
      client.send(headers(1, [...POST, ['content-length', '3']], false), frames);
      await client.settle();
      assert.equal(client.answer(1).reset, ErrorCode.ProtocolError);
      assert.equal(client.seen[0]?.error, '400 length_mismatch');
      assert.equal(client.seen[0]?.ended, false);
    });
  }

  for (const [what, trailers, end] of [
    ['a pseudo-header', [[':path', '/']], true],
    ['an upper-case name', [['X-A', '1']], true],
    ['no end of the stream', [['x-a', '1']], false],
    ['a content-length', [['content-length', '0']], true],
    ['a host', [['host', 'a.test']], true],
  ] as const) {
    it(`are reset: trailers with ${what}`, async () => {
      const client = new RawClient({ sink: (seen) => seen.stream.resumeRequestBody() });
      client.send(headers(1, POST, false));
      client.send(headers(1, trailers, end));
      await client.settle();
      assert.equal(client.answer(1).reset, ErrorCode.ProtocolError);
      assert.equal(client.seen[0]?.error, '400 malformed_trailers');
    });
  }

  it('leave the table of the decoder in step', async () => {
    const client = new RawClient({ sink: ok });
    // Both indexed: the second request refers to what the refused one has left in the table.
    const indexed = (name: string, value: string): string => `\x40${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`;
    client.send(frame(FrameType.Headers, Flag.EndHeaders | Flag.EndStream, 1, block(GET) + indexed('x-b', '1') + indexed('X-A', '1')));
    client.send(frame(FrameType.Headers, Flag.EndHeaders | Flag.EndStream, 3, `${block(GET)}\xbf`));
    await client.settle();
    assert.equal(client.answer(1).reset, ErrorCode.ProtocolError);
    assert.equal(client.seen[0]?.exchange.requestFields.serialize(), 'host: a.test\r\nx-b: 1\r\n');
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

describe('flow control', () => {
  it('holds back what the stream takes no more of, and other streams go on', async () => {
    const client = new RawClient({ settings: [Setting.InitialWindowSize, 10] });
    client.send(headers(1, GET), headers(3, GET));
    await client.settle();
    const [slow, fast] = [client.seen[0]!, client.seen[1]!];
    const bytes = Buffer.from('0123456789abcdef');
    assert.equal(slow.stream.respond(200, new Fields(), 32, bytes, 0, 16, false, false), false);
    bytes.fill(0x21);
    fast.text(200, 'short');
    await client.settle();
    assert.deepEqual([client.answer(1).body, client.answer(3).body, client.answer(3).ended], ['0123456789', 'short', true]);
    client.send(windowUpdateFrame(1, 4));
    await client.settle();
    assert.equal(client.answer(1).body, '0123456789abcd');
    assert.equal(slow.writable, 0);
    client.send(windowUpdateFrame(1, 100));
    await client.settle();
    assert.equal(client.answer(1).body, '0123456789abcdef');
    assert.equal(slow.writable, 1);
    slow.stream.writeBody(Buffer.from('0123456789abcdef'), 0, 16, false);
    slow.stream.endBody(undefined);
    await client.settle();
    assert.deepEqual([client.answer(1).body.length, client.answer(1).ended], [32, true]);
  });

  it('follows SETTINGS_INITIAL_WINDOW_SIZE, below zero too', async () => {
    const client = new RawClient({ settings: [Setting.InitialWindowSize, 8] });
    client.send(headers(1, GET));
    await client.settle();
    client.seen[0]!.text(200, '0123456789abcdef');
    client.send(settingsFrame(Setting.InitialWindowSize, 2));
    await client.settle();
    assert.equal(client.answer(1).body, '01234567');
    client.send(windowUpdateFrame(1, 7));
    await client.settle();
    assert.equal(client.answer(1).body, '012345678', 'the window was six below zero');
    client.send(settingsFrame(Setting.InitialWindowSize, 100));
    await client.settle();
    assert.deepEqual([client.answer(1).body, client.answer(1).ended], ['0123456789abcdef', true]);
  });

  it('shares the window of the connection fairly', async () => {
    const client = new RawClient({ settings: [Setting.InitialWindowSize, 1 << 20] });
    client.send(headers(1, GET), headers(3, GET), headers(5, GET));
    await client.settle();
    const bytes = Buffer.alloc(65_535, 'x');
    for (const seen of client.seen) seen.stream.respond(200, new Fields(), 1 << 20, bytes, 0, 40_000, true, false);
    await client.settle();
    assert.deepEqual(
      [1, 3, 5].map((id) => client.answer(id).body.length),
      [40_000, 25_535, 0],
    );
    client.send(windowUpdateFrame(0, 10_000));
    await client.settle();
    client.send(windowUpdateFrame(0, 10_000));
    await client.settle();
    assert.deepEqual(
      [1, 3, 5].map((id) => client.answer(id).body.length),
      [40_000, 35_535, 10_000],
    );
  });

  it('lets the client send as much as was passed on', async () => {
    const client = new RawClient({ sink: (seen) => seen.stream.resumeRequestBody() });
    client.send(headers(1, POST, false));
    for (let sent = 0; sent < 40_000; sent += 10_000) client.send(data(1, 'x'.repeat(10_000)));
    await client.settle();
    assert.equal(client.seen[0]!.body.length, 40_000);
    const updates = client.frames.filter((text) => text.startsWith('8 0 1 '));
    assert.deepEqual(updates, [`8 0 1 ${(40_000).toString(16).padStart(8, '0')}`]);
  });

  it('ends a connection whose client says that it takes nothing more', async () => {
    for (const id of [0, 1]) {
      const client = new RawClient();
      client.send(headers(1, GET));
      client.send(windowUpdateFrame(id, 0));
      await client.settle();
      assert.deepEqual(client.goAways, [{ last: 1, code: ErrorCode.ProtocolError }]);
      assert.equal(client.seen[0]?.gone, 1);
    }
  });

  it('counts padding', async () => {
    const client = new RawClient({ sink: (seen) => seen.stream.resumeRequestBody() });
    client.send(headers(1, POST, false));
    for (let sent = 0; sent < 200; sent++) client.send(frame(FrameType.Data, Flag.Padded, 1, `\xffx${'\0'.repeat(255)}`));
    await client.settle();
    assert.equal(client.seen[0]!.body, 'x'.repeat(200));
    assert.ok(client.frames.some((text) => text.startsWith('8 0 1 ')));
  });

  it('resets a stream of which more comes than its window allows', async () => {
    const client = new RawClient();
    client.send(headers(1, POST, false));
    for (let sent = 0; sent < 5; sent++) client.send(data(1, 'x'.repeat(16_384)));
    await client.settle();
    assert.equal(client.answer(1).reset, ErrorCode.FlowControlError);
    assert.equal(client.seen[0]!.body, '');
  });

  it('ends a connection on which more comes than its window allows', async () => {
    const client = new RawClient();
    for (let id = 1; id <= 35; id += 2) {
      client.send(headers(id, POST, false));
      for (let sent = 0; sent < 4; sent++) client.send(data(id, 'x'.repeat(16_384)));
    }
    await client.settle();
    assert.deepEqual(client.goAways, [{ last: 33, code: ErrorCode.FlowControlError }]);
  });

  it('stops reading a client that takes nothing', async () => {
    const client = new RawClient();
    await client.settle();
    client.connection.taking = false;
    for (let sent = 0; sent < 990; sent++) {
      client.send(pingFrame('12345678', false));
      if (sent % 100 === 0) await client.settle();
    }
    assert.ok(client.connection.paused);
    client.send(headers(1, GET));
    await client.settle();
    assert.equal(client.seen.length, 0);
    client.connection.drain();
    await client.settle();
    assert.equal(client.seen.length, 1);
    assert.equal(client.frames.filter((text) => text.startsWith('6 1')).length, 990);
  });

  it('keeps no more of a client that takes nothing and goes on asking than its streams hold', async () => {
    const client = new RawClient({ sink: ok, server: { maxRequestsPerConnection: 1_000_000 } });
    await client.settle();
    client.connection.taking = false;
    for (let id = 1; id < 10_000; id += 2) {
      client.send(headers(id, GET));
      if (id % 100 === 1) await client.settle();
    }
    assert.ok(client.seen.length < 200, `${client.seen.length} requests were taken`);
    client.connection.drain();
    await client.settle();
    assert.equal(client.goAways[0]?.code, ErrorCode.EnhanceYourCalm);
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
