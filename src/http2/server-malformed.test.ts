import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ErrorCode, Flag, FrameType } from './frames.ts';
import { block, data, frame, GET, headers, type Pair, POST, RawClient } from './raw-client.fixture.ts';

const ok = (seen: { text(status: number, body: string): void }): void => seen.text(200, 'hello');

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
