/** Extended CONNECT (RFC 8441) as the sink and the client see it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import { NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { ErrorCode, rstStreamFrame, windowUpdateFrame } from './frames.ts';
import { data, GET, headers, type Pair, RawClient, type Seen } from './raw-client.fixture.ts';

const CONNECT: readonly Pair[] = [
  [':method', 'CONNECT'],
  [':protocol', 'websocket'],
  [':scheme', 'https'],
  [':path', '/chat?room=1'],
  [':authority', 'a.test'],
  ['sec-websocket-version', '13'],
  ['sec-websocket-protocol', 'chat'],
  ['sec-websocket-key', 'of the client'],
];
const without = (name: string) => CONNECT.filter((pair) => pair[0] !== name);

function grant(seen: Seen, first?: string): void {
  const fields = Fields.of([
    ['Sec-WebSocket-Accept', 'x'],
    ['Sec-WebSocket-Protocol', 'chat'],
  ]);
  const bytes = first === undefined ? undefined : Buffer.from(first);
  seen.stream.respond(101, fields, UNKNOWN_LENGTH, bytes, 0, bytes?.length ?? 0, false, false);
  // What the fixture takes for the end of the request was only that of its head.
  seen.ended = false;
}

const say = (seen: Seen, text: string) => seen.stream.writeBody(Buffer.from(text), 0, text.length, false);

/** A tunnel on stream 1. */
async function open(settings?: readonly number[]): Promise<{ client: RawClient; seen: Seen }> {
  const client = new RawClient(settings === undefined ? {} : { settings });
  client.send(headers(1, CONNECT, false));
  await client.settle();
  const seen = client.seen[0]!;
  grant(seen);
  await client.settle();
  return { client, seen };
}

describe('extended CONNECT', () => {
  it('is the GET of a WebSocket handshake for the exchange, with a key of our own', async () => {
    const client = new RawClient();
    client.send(headers(1, CONNECT, false));
    await client.settle();
    const { exchange, ended } = client.seen[0]!;
    assert.deepEqual(
      [exchange.method, exchange.upgrade, exchange.path, exchange.query, exchange.host, exchange.stream.requestBody, ended],
      ['GET', 'websocket', '/chat', '?room=1', 'a.test', NO_BODY, true],
    );
    assert.match(
      exchange.requestFields.serialize(),
      /^host: a\.test\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: chat\r\nsec-websocket-key: [A-Za-z0-9+/]{21}[AQgw]==\r\n$/,
    );
  });

  it('is answered with 200, and DATA carries the tunnel, what came early first', async () => {
    const client = new RawClient();
    client.send(headers(1, CONNECT, false), data(1, 'early '));
    await client.settle();
    const seen = client.seen[0]!;
    assert.equal(seen.body, '');
    seen.stream.setBodyLimit(3);
    grant(seen, 'hello ');
    await client.settle();
    const { head } = client.answer(1);
    assert.deepEqual([head?.[':status'], head?.['sec-websocket-protocol'], head?.['sec-websocket-accept']], ['200', 'chat', undefined]);
    assert.equal(seen.body, '', 'held back until it is wanted');
    seen.stream.resumeRequestBody();
    client.send(data(1, 'and late'));
    await client.settle();
    assert.equal(seen.body, 'early and late');
    say(seen, 'world');
    await client.settle();
    assert.deepEqual([client.answer(1).body, client.answer(1).ended, seen.error], ['hello world', false, '']);
  });

  it('ends each direction by itself, and the stream with the second', async () => {
    for (const first of ['client', 'backend']) {
      const { client, seen } = await open();
      seen.stream.resumeRequestBody();
      const clientEnds = () => client.send(data(1, 'bye', true));
      const backendEnds = () => seen.stream.endBody(undefined);
      if (first === 'client') clientEnds();
      else backendEnds();
      await client.settle();
      assert.deepEqual([seen.ended, client.answer(1).ended, client.answer(1).reset], [first === 'client', first !== 'client', undefined]);
      if (first === 'client') say(seen, 'still');
      else client.send(data(1, 'still '));
      await client.settle();
      if (first === 'client') backendEnds();
      else clientEnds();
      await client.settle();
      assert.deepEqual([seen.ended, client.answer(1).ended, client.answer(1).reset, seen.error, seen.gone], [true, true, undefined, '', 0]);
      assert.deepEqual([seen.body, client.answer(1).body], first === 'client' ? ['bye', 'still'] : ['still bye', '']);
      // The stream is gone: so late a frame is an error, and a new request is served.
      client.send(headers(3, GET));
      await client.settle();
      client.seen[1]!.text(200, 'ok');
      await client.settle();
      assert.equal(client.answer(3).body, 'ok');
    }
  });

  it('holds back what its windows do not take, up to the end', async () => {
    const { client, seen } = await open([4, 5]);
    assert.equal(say(seen, 'hello world'), false);
    seen.stream.endBody(undefined);
    client.send(headers(3, GET));
    await client.settle();
    assert.deepEqual([client.answer(1).body, client.answer(1).ended], ['hello', false]);
    client.send(windowUpdateFrame(1, 100));
    await client.settle();
    assert.deepEqual([client.answer(1).body, client.answer(1).ended, client.answer(1).reset], ['hello world', true, undefined]);
    seen.stream.resumeRequestBody();
    client.send(data(1, 'still', true));
    await client.settle();
    assert.deepEqual([seen.body, seen.ended], ['still', true]);
  });

  it('breaks as a reset, both ways', async () => {
    const aborted = await open();
    aborted.seen.stream.abort();
    await aborted.client.settle();
    assert.equal(aborted.client.answer(1).reset, ErrorCode.Cancel);
    const reset = await open();
    reset.client.send(rstStreamFrame(1, ErrorCode.Cancel));
    await reset.client.settle();
    assert.equal(reset.seen.gone, 1);
  });

  it('has no trailers', async () => {
    const { client, seen } = await open();
    seen.stream.resumeRequestBody();
    client.send(headers(1, [['x-a', '1']]));
    await client.settle();
    assert.deepEqual([client.answer(1).reset, seen.error], [ErrorCode.ProtocolError, '400 malformed_trailers']);
  });

  it('is an ordinary request where the answer is one, and what came early is dropped', async () => {
    const client = new RawClient();
    client.send(headers(1, CONNECT, false), data(1, 'early'));
    await client.settle();
    client.seen[0]!.text(403, 'no');
    await client.settle();
    const { head, body, ended, reset } = client.answer(1);
    assert.deepEqual([head?.[':status'], body, ended, reset], ['403', 'no', true, ErrorCode.NoError]);
    assert.equal(client.seen[0]!.body, '');
  });

  for (const [what, pairs, status] of [
    ['another protocol', [...without(':protocol').slice(0, 1), [':protocol', 'connect-udp'], ...without(':protocol').slice(1)], '501'],
    ['no version', without('sec-websocket-version'), '400'],
    ['another version', [...without('sec-websocket-version'), ['sec-websocket-version', '8']], '400'],
    ['a bad path', [[':path', '/%2f'], ...without(':path')], '400'],
  ] as readonly (readonly [string, readonly Pair[], string])[]) {
    it(`is refused with ${what}`, async () => {
      const client = new RawClient();
      client.send(headers(1, pairs, false));
      await client.settle();
      assert.deepEqual([client.answer(1).head?.[':status'], client.seen.length], [status, 0]);
    });
  }

  for (const [what, pairs] of [
    ['no path', without(':path')],
    ['no scheme', without(':scheme')],
    ['a length', [...CONNECT, ['content-length', '5']]],
    ['another method', [[':method', 'POST'], ...without(':method')]],
  ] as readonly (readonly [string, readonly Pair[]])[]) {
    it(`is reset with ${what}`, async () => {
      const client = new RawClient();
      client.send(headers(1, pairs, false));
      await client.settle();
      assert.deepEqual([client.answer(1).reset, client.seen.length], [ErrorCode.ProtocolError, 0]);
    });
  }
});
