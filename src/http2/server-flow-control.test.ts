import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import { ErrorCode, Flag, FrameType, pingFrame, Setting, settingsFrame, windowUpdateFrame } from './frames.ts';
import { data, frame, GET, headers, POST, RawClient } from './raw-client.fixture.ts';

const ok = (seen: { text(status: number, body: string): void }): void => seen.text(200, 'hello');

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
