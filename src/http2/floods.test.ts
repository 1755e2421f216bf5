/** What a hostile client does over and over: each ends its connection, and nothing else. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import { UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { ErrorCode, Flag, FrameType, pingFrame, rstStreamFrame, SETTINGS_ACK, Setting, settingsFrame, windowUpdateFrame } from './frames.ts';
import { block, data, frame, GET, headers, POST, RawClient } from './raw-client.fixture.ts';

/** Frames that bring nothing on: a connection may carry 1,000 of them in ten seconds. */
const CONTROL: readonly (readonly [what: string, before: string, repeated: (index: number) => string])[] = [
  ['PING', '', () => pingFrame('12345678', false)],
  ['acknowledged PING', '', () => pingFrame('12345678', true)],
  ['SETTINGS', '', () => settingsFrame()],
  ['SETTINGS that change windows', '', (index) => settingsFrame(Setting.InitialWindowSize, index)],
  ['acknowledged SETTINGS', '', () => SETTINGS_ACK],
  ['PRIORITY', '', (index) => frame(FrameType.Priority, 0, index * 2 + 1, '\0\0\0\0\x10')],
  ['GOAWAY', '', () => frame(FrameType.GoAway, 0, 0, '\0\0\0\0\0\0\0\0')],
  ['frames of an unknown type', '', () => frame(0x42, 0, 0, 'whatever')],
  ['empty DATA', headers(1, POST, false), () => data(1, '')],
  ['padding alone', headers(1, POST, false), () => frame(FrameType.Data, Flag.Padded, 1, '\0')],
  ['WINDOW_UPDATE of the connection, nothing sent', '', () => windowUpdateFrame(0, 1)],
  ['WINDOW_UPDATE of a stream, nothing sent', headers(1, GET), () => windowUpdateFrame(1, 1)],
  ['WINDOW_UPDATE of a stream that is over', headers(1, GET) + rstStreamFrame(1, ErrorCode.Cancel), () => windowUpdateFrame(1, 1)],
  ['empty CONTINUATION', frame(FrameType.Headers, 0, 1, block(GET)), () => frame(FrameType.Continuation, 0, 1, '')],
  ['CONTINUATION of a byte', frame(FrameType.Headers, 0, 1, block(GET)), () => frame(FrameType.Continuation, 0, 1, '\0')],
];

/** Ways to make a stream be reset: its own RST_STREAM, and errors that make us send one. */
const RESETS: readonly (readonly [what: string, frames: (id: number) => string])[] = [
  ['rapid reset', (id) => headers(id, GET) + rstStreamFrame(id, ErrorCode.Cancel)],
  ['reset of requests with a body', (id) => headers(id, POST, false) + data(id, 'x') + rstStreamFrame(id, ErrorCode.Cancel)],
  ['WINDOW_UPDATE beyond the largest window', (id) => headers(id, GET) + windowUpdateFrame(id, 0x7fff_ffff)],
  ['DATA behind the end', (id) => headers(id, GET) + data(id, 'x')],
  ['HEADERS behind the end', (id) => headers(id, GET) + headers(id, GET)],
  ['a second head', (id) => headers(id, POST, false) + headers(id, [['x-a', '1']], false)],
  ['content beyond its length', (id) => headers(id, [...POST, ['content-length', '0']], false) + data(id, 'x')],
  ['malformed requests', (id) => headers(id, [...GET, ['X-A', '1']])],
  ['a stream that depends on itself', (id) => frame(FrameType.Headers, 0x25, id, `\0\0${String.fromCharCode(id >> 8, id & 0xff)}\x10${block(GET)}`)],
];

describe('requests that are reset as soon as they are there', () => {
  for (const [what, frames] of RESETS.filter(([name]) => !/body|length|depends|malformed|second/.test(name))) {
    it(`begin no exchange, so that no backend hears of them, and are told of: ${what}`, async () => {
      const client = new RawClient({ sink: (seen) => seen.text(200, 'hello') });
      client.send(frames(1), headers(3, GET), frames(5));
      await client.settle();
      assert.deepEqual(
        client.seen.map(({ exchange }) => exchange.path),
        ['/'],
      );
      assert.equal(client.refusals.length, 2);
      assert.ok(client.refusals.every(({ status, reason }) => status === (what === 'rapid reset' ? 499 : 400) && reason !== ''));
      assert.equal(client.answer(3).body, 'hello', 'others of the same connection are served');
    });
  }
});

describe('floods', () => {
  for (const [what, before, repeated] of CONTROL) {
    it(`of ${what} end the connection with ENHANCE_YOUR_CALM`, async () => {
      const client = new RawClient();
      const other = new RawClient({ sink: (seen) => seen.text(200, 'hello') });
      client.send(before);
      for (let index = 0; index < 900; index++) client.send(repeated(index));
      await client.settle();
      assert.equal(client.goAways.length, 0, 'not yet');
      for (let index = 0; index < 200; index++) client.send(repeated(index));
      await client.settle();
      assert.equal(client.goAways[0]?.code, ErrorCode.EnhanceYourCalm);
      assert.equal(client.connection.ended, true);
      assert.ok(
        client.seen.every((seen) => seen.gone === 1),
        'what was under way is cancelled',
      );
      assert.equal(client.refusals.at(-1)?.reason, 'http2_enhance_your_calm');
      other.send(headers(1, GET));
      await other.settle();
      assert.equal(other.answer(1).body, 'hello');
    });
  }

  it('are counted over ten seconds', async () => {
    const client = new RawClient();
    for (let burst = 0; burst < 5; burst++) {
      for (let index = 0; index < 450; index++) client.send(pingFrame('12345678', false));
      client.pass(5_000);
    }
    await client.settle();
    assert.deepEqual(client.goAways, []);
    assert.equal(client.frames.filter((text) => text.startsWith('6 1')).length, 5 * 450);
  });

  for (const [what, frames] of RESETS) {
    it(`by ${what} end the connection with ENHANCE_YOUR_CALM, and every exchange with it`, async () => {
      const client = new RawClient();
      for (let index = 0; index < 200; index++) client.send(frames(index * 2 + 1));
      await client.settle();
      assert.equal(client.goAways.length, 0, 'not yet');
      client.send(frames(401));
      await client.settle();
      assert.deepEqual(client.goAways, [{ last: 401, code: ErrorCode.EnhanceYourCalm }]);
      assert.equal(client.connection.ended, true);
      for (const seen of client.seen) assert.ok(seen.gone === 1 || seen.error !== '', 'its exchange is over');
    });
  }

  it('do not mean those who cancel now and then', async () => {
    const client = new RawClient();
    for (let index = 0; index < 600; index++) {
      client.send(headers(index * 2 + 1, GET) + rstStreamFrame(index * 2 + 1, ErrorCode.Cancel));
      client.pass(100);
    }
    await client.settle();
    assert.deepEqual(client.goAways, []);
  });

  it('nor those who say after each answer that they take more', async () => {
    const client = new RawClient({ sink: (seen) => seen.text(200, 'hello'), server: { maxRequestsPerConnection: 1_000_000 } });
    for (let index = 0; index < 3_000; index++) {
      const id = index * 2 + 1;
      client.send(headers(id, GET) + windowUpdateFrame(id, 5) + windowUpdateFrame(0, 5));
      if (index % 50 === 0) await client.settle();
    }
    await client.settle();
    assert.deepEqual(client.goAways, []);
  });

  it('of CONTINUATION without an end are cut at four times the size of a header section', async () => {
    const client = new RawClient();
    client.send(frame(FrameType.Headers, 0, 1, block(GET)));
    let sent = 0;
    for (; sent < 1_000 && !client.connection.ended; sent++) client.send(frame(FrameType.Continuation, 0, 1, 'x'.repeat(1_024)));
    await client.settle();
    assert.equal(sent, 64);
    assert.equal(client.goAways[0]?.code, ErrorCode.EnhanceYourCalm);
  });

  it('by what a small block stands for when it is decoded get a 431, and the connection goes on', async () => {
    const client = new RawClient({ sink: (seen) => seen.text(200, 'hello') });
    // One entry of nearly all the table's size, named 16,000 times by a byte each: 64 MB.
    const bomb = `${block(GET)}\x40\x03x-a\x7f${String.fromCharCode(((3_900 - 127) & 0x7f) | 0x80, (3_900 - 127) >> 7)}${'y'.repeat(3_900)}`;
    client.send(frame(FrameType.Headers, Flag.EndStream, 1, bomb) + frame(FrameType.Continuation, Flag.EndHeaders, 1, '\xbe'.repeat(16_000)));
    client.send(headers(3, GET));
    await client.settle();
    assert.equal(client.answer(1).head?.[':status'], '431');
    assert.equal(client.answer(3).body, 'hello');
    assert.equal(client.seen.length, 1);
  });

  it('of streams whose client takes nothing hold no more than a read of the backend each', async () => {
    const client = new RawClient({ settings: [Setting.InitialWindowSize, 0] });
    for (let id = 1; id <= 201; id += 2) client.send(headers(id, GET));
    await client.settle();
    assert.equal(client.seen.length, 100);
    assert.equal(client.answer(201).reset, ErrorCode.RefusedStream);
    const bytes = Buffer.alloc(48 * 1024, 'x');
    for (const { stream } of client.seen) assert.equal(stream.respond(200, new Fields(), UNKNOWN_LENGTH, bytes, 0, bytes.length, true, false), false);
    await client.settle();
    assert.equal(client.dataBytes, 0);
    assert.ok(
      client.seen.every((seen) => seen.writable === 0),
      'nobody is asked for more',
    );
    client.send(settingsFrame(Setting.InitialWindowSize, 100));
    await client.settle();
    assert.equal(client.dataBytes, 100 * 100);
  });
});
