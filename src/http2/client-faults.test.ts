import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { settled } from '../http1/memory-wire.fixture.ts';
import { clientBench, ready } from './client.fixture.ts';
import {
  ErrorCode,
  Flag,
  FrameType,
  frameHeader,
  goAwayFrame,
  headersFrames,
  pingFrame,
  rstStreamFrame,
  SETTINGS_ACK,
  Setting,
  settingsFrame,
  windowUpdateFrame,
} from './frames.ts';

describe('HTTP/2 to backends: what breaks the protocol', () => {
  it('knows a backend that speaks something else', async () => {
    for (const text of ['HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n', 'SSH-2.0-x\r\n', `${goAwayFrame(0, 0)}`, '\0'.repeat(64)]) {
      const { connection, counts, send } = clientBench(true, false);
      const [one, waits] = [send(), send()];
      connection.send(text);
      assert.deepEqual(
        [one.answer.failure, one.answer.cause?.message, waits.answer.failure, counts.gone],
        ['malformed', 'the backend does not speak HTTP/2', 'malformed', 1],
      );
    }
  });

  const connectionErrors: readonly (readonly [string, ErrorCode, (...args: never[]) => string])[] = [
    ['a frame on a stream that never was', ErrorCode.ProtocolError, () => rstStreamFrame(99, 0)],
    ['a stream of its own', ErrorCode.ProtocolError, () => rstStreamFrame(2, 0)],
    ['a push', ErrorCode.ProtocolError, () => `${frameHeader(5, FrameType.PushPromise, Flag.EndHeaders, 1)}\0\0\0\x02\x88`],
    ['more acknowledgements than we have sent SETTINGS', ErrorCode.ProtocolError, () => SETTINGS_ACK.repeat(2)],
    ['SETTINGS_ENABLE_PUSH', ErrorCode.ProtocolError, () => settingsFrame(Setting.EnablePush, 1)],
    ['a window beyond the largest', ErrorCode.FlowControlError, () => settingsFrame(Setting.InitialWindowSize, 0x8000_0000)],
    ['a frame size below the least', ErrorCode.ProtocolError, () => settingsFrame(Setting.MaxFrameSize, 100)],
    ['a frame that is too large', ErrorCode.FrameSizeError, () => frameHeader(16_385, FrameType.Data, 0, 1)],
    ['an update of nothing', ErrorCode.ProtocolError, () => windowUpdateFrame(0, 0)],
    ['an update beyond the largest window', ErrorCode.FlowControlError, () => windowUpdateFrame(0, 0x7fff_ffff)],
    ['GOAWAY that takes back what was given up', ErrorCode.ProtocolError, () => goAwayFrame(3, 0) + goAwayFrame(5, 0)],
    ['a priority of another length', ErrorCode.FrameSizeError, () => `${frameHeader(2, FrameType.Priority, 0, 1)}ab`],
    ['a priority on itself', ErrorCode.ProtocolError, () => `${frameHeader(5, FrameType.Priority, 0, 1)}\0\0\0\x01\x10`],
    ['GOAWAY with a stream of its own', ErrorCode.ProtocolError, () => goAwayFrame(2, 0)],
    ['no HPACK', ErrorCode.CompressionError, () => headersFrames(1, '\x80', true, 16_384)],
    ['a frame within a header block', ErrorCode.ProtocolError, () => `${frameHeader(1, FrameType.Headers, 0, 1)}\x88${pingFrame('12345678', false)}`],
    ['CONTINUATION of nothing', ErrorCode.ProtocolError, () => `${frameHeader(1, FrameType.Continuation, 0, 1)}\x88`],
    [
      'CONTINUATION of another stream',
      ErrorCode.ProtocolError,
      () => `${frameHeader(1, FrameType.Headers, 0, 1)}\x88${frameHeader(0, FrameType.Continuation, 4, 3)}`,
    ],
    [
      'CONTINUATION without end',
      ErrorCode.EnhanceYourCalm,
      () => frameHeader(0, FrameType.Headers, 0, 1) + frameHeader(0, FrameType.Continuation, 0, 1).repeat(10),
    ],
    [
      'a header block without end',
      ErrorCode.EnhanceYourCalm,
      () => `${frameHeader(0, FrameType.Headers, 0, 1)}${(frameHeader(16_384, FrameType.Continuation, 0, 1) + '\x88'.repeat(16_384)).repeat(17)}`,
    ],
  ];
  for (const [name, code, frames] of connectionErrors) {
    it(`ends the connection for ${name}`, async () => {
      const { backend, connection, counts, send } = await ready();
      const [one, other] = [send(), send()];
      connection.send(frames());
      await settled();
      assert.deepEqual([one.answer.failure, other.answer.failure, counts.gone, connection.destroyed], ['malformed', 'malformed', 1, true]);
      assert.equal(backend.lines().at(-1), `GoAway 0 0 ${code}`);
    });
  }

  it('ends the connection where more comes than the windows allow', async () => {
    const { backend, counts, send } = await ready();
    const { answer, stream } = send();
    stream.pauseResponse();
    backend.send(backend.head(1, [[':status', '200']]));
    for (let number = 0; number < 5; number++) backend.send(backend.data(1, 'x'.repeat(16_000)));
    await settled();
    assert.deepEqual([answer.failure, counts.gone], ['malformed', 1]);
    assert.equal(backend.lines().at(-1), `GoAway 0 0 ${ErrorCode.FlowControlError}`);
  });

  type Bench = Awaited<ReturnType<typeof ready>>['backend'];
  const streamErrors: readonly (readonly [string, (backend: Bench) => string])[] = [
    ['no status', (backend) => backend.head(1, [['x-a', '1']], true)],
    ['a status that is none', (backend) => backend.head(1, [[':status', '20']], true)],
    ['a status with a sign', (backend) => backend.head(1, [[':status', '+200']], true)],
    [
      'two statuses',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            [':status', '200'],
          ],
          true,
        ),
    ],
    ['a length among trailers', (backend) => backend.head(1, [[':status', '200']]) + backend.head(1, [['content-length', '0']], true)],
    ['a status above 599', (backend) => backend.head(1, [[':status', '600']], true)],
    ['101', (backend) => backend.head(1, [[':status', '101']], true)],
    [
      'a pseudo-header field of requests',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            [':path', '/'],
          ],
          true,
        ),
    ],
    [
      'a status behind a field',
      (backend) =>
        backend.head(
          1,
          [
            ['x-a', '1'],
            [':status', '200'],
          ],
          true,
        ),
    ],
    [
      'an upper-case name',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            ['x-\x80', '1'],
          ],
          true,
        ),
    ],
    [
      'a line feed in a value',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            ['x-a', '1\nx-b: 2'],
          ],
          true,
        ),
    ],
    [
      'Transfer-Encoding',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            ['transfer-encoding', 'chunked'],
          ],
          true,
        ),
    ],
    [
      'two lengths',
      (backend) =>
        backend.head(1, [
          [':status', '200'],
          ['content-length', '1'],
          ['content-length', '1'],
        ]) + backend.data(1, 'x', true),
    ],
    [
      'a length that is none',
      (backend) =>
        backend.head(1, [
          [':status', '200'],
          ['content-length', '+1'],
        ]) + backend.data(1, 'x', true),
    ],
    [
      'less than announced',
      (backend) =>
        backend.head(1, [
          [':status', '200'],
          ['content-length', '2'],
        ]) + backend.data(1, 'x', true),
    ],
    [
      'nothing where something was announced',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            ['content-length', '2'],
          ],
          true,
        ),
    ],
    [
      'more than announced',
      (backend) =>
        backend.head(1, [
          [':status', '200'],
          ['content-length', '2'],
        ]) + backend.data(1, 'xyz', true),
    ],
    ['content of a 204', (backend) => backend.head(1, [[':status', '204']]) + backend.data(1, 'x', true)],
    [
      'a length of a 204',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '204'],
            ['content-length', '1'],
          ],
          true,
        ),
    ],
    ['an interim answer that ends the stream', (backend) => backend.head(1, [[':status', '100']], true)],
    ['too many interim answers', (backend) => Array.from({ length: 17 }, () => backend.head(1, [[':status', '100']])).join('')],
    ['content before the head', (backend) => backend.data(1, 'x')],
    ['content behind an interim answer', (backend) => backend.head(1, [[':status', '100']]) + backend.data(1, 'x')],
    ['too many fields', (backend) => backend.head(1, [[':status', '200'], ...Array.from({ length: 1001 }, () => ['a', ''] as const)], true)],
    ['an update of nothing', () => windowUpdateFrame(1, 0)],
    ['an update beyond the largest window', () => windowUpdateFrame(1, 0x7fff_ffff)],
  ];
  for (const [name, frames] of streamErrors) {
    it(`ends the stream for ${name}`, async () => {
      const { backend, connection, counts, send } = await ready();
      const [one, other] = [send(), send()];
      connection.send(frames(backend));
      await settled();
      assert.deepEqual([one.answer.failure, one.answer.status, other.answer.failure, counts.gone], ['malformed', 0, '', 0]);
      assert.match(backend.lines().at(-1) ?? '', /^RstStream 1 [13]$/);
      backend.send(backend.ok(3, 'x'));
      assert.equal(other.answer.body, 'x');
    });
  }

  const lateErrors: readonly (readonly [string, (backend: Bench) => string])[] = [
    ['trailers that do not end the stream', (backend) => backend.head(1, [['x-a', '1']])],
    ['trailers with a pseudo-header field', (backend) => backend.head(1, [[':status', '200']], true)],
    ['trailers before the announced end', (backend) => backend.head(1, [['x-a', '1']], true)],
    ['less than announced', (backend) => backend.data(1, 'x', true)],
  ];
  for (const [name, frames] of lateErrors) {
    it(`ends an answer that has begun for ${name}`, async () => {
      const { backend, connection, send } = await ready();
      const { answer } = send();
      backend.send(
        backend.head(1, [
          [':status', '200'],
          ['content-length', '5'],
        ]),
      );
      connection.send(frames(backend));
      await settled();
      assert.deepEqual([answer.status, answer.failure], [200, 'malformed']);
      assert.equal(backend.lines().at(-1), `RstStream 1 ${ErrorCode.ProtocolError}`);
    });
  }
});
