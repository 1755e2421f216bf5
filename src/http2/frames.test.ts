import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { FrameReader, Read } from './frame-reader.ts';
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

/** What the reader makes of frames that arrive in pieces, a line each; DATA of one frame put together. */
function read(text: string, cuts: readonly number[] = []): string[] {
  const reader = new FrameReader();
  const bytes = Buffer.from(text, 'latin1');
  const lines: string[] = [];
  let data = '';
  let from = 0;
  for (const cut of [...cuts.filter((at) => at < text.length).sort((a, b) => a - b), text.length]) {
    // A buffer that is overwritten afterwards: nothing may be kept of it.
    const piece = Buffer.concat([Buffer.from('..'), bytes.subarray(from, cut)]);
    let position = 2;
    for (;;) {
      const result = reader.next(piece, position, piece.length);
      if (result === Read.Bad) return [...lines, `bad ${reader.error}`];
      position = reader.position;
      if (result === Read.More) break;
      const payload = reader.payload.toString('latin1', reader.payloadStart, reader.payloadEnd);
      if (result === Read.DataHeader) data = '';
      else if (result === Read.Data) data += payload;
      if (result === Read.Frame)
        lines.push(`${reader.type} ${reader.flags} ${reader.streamId} ${JSON.stringify(payload)}${reader.dependsOnItself ? ' self' : ''}`);
      else if (result === Read.Data && reader.frameEnded) lines.push(`data ${reader.flags} ${reader.streamId} ${reader.length} ${JSON.stringify(data)}`);
    }
    piece.fill(0x21);
    from = cut;
  }
  if (!reader.atFrameStart) lines.push('unfinished');
  return lines;
}

function frame(type: number, flags: number, streamId: number, payload: string): string {
  return frameHeader(payload.length, type, flags, streamId) + payload;
}

const BAD: readonly (readonly [what: string, text: string, error: ErrorCode])[] = [
  ['a frame above the maximum', frameHeader(16_385, FrameType.Data, 0, 1), ErrorCode.FrameSizeError],
  ['an unknown frame above the maximum', frameHeader(16_385, 0x77, 0, 1), ErrorCode.FrameSizeError],
  ['DATA on the connection', frame(FrameType.Data, 0, 0, 'x'), ErrorCode.ProtocolError],
  ['DATA of padding beyond its end', frame(FrameType.Data, Flag.Padded, 1, '\x05abcd'), ErrorCode.ProtocolError],
  ['padded DATA without a pad length', frame(FrameType.Data, Flag.Padded, 1, ''), ErrorCode.FrameSizeError],
  ['HEADERS on the connection', frame(FrameType.Headers, 0, 0, 'x'), ErrorCode.ProtocolError],
  ['HEADERS of padding beyond its end', frame(FrameType.Headers, Flag.Padded, 1, '\x05abcd'), ErrorCode.ProtocolError],
  ['HEADERS too short for its priority', frame(FrameType.Headers, Flag.Priority, 1, 'abcd'), ErrorCode.FrameSizeError],
  ['padded HEADERS without a pad length', frame(FrameType.Headers, Flag.Padded, 1, ''), ErrorCode.FrameSizeError],
  ['HEADERS whose padding eats the priority', frame(FrameType.Headers, Flag.Padded | Flag.Priority, 1, '\x05abcdefg'), ErrorCode.ProtocolError],
  ['PRIORITY on the connection', frame(FrameType.Priority, 0, 0, 'abcde'), ErrorCode.ProtocolError],
  ['RST_STREAM on the connection', rstStreamFrame(0, 8), ErrorCode.ProtocolError],
  ['RST_STREAM of three bytes', frame(FrameType.RstStream, 0, 1, 'abc'), ErrorCode.FrameSizeError],
  ['SETTINGS on a stream', frame(FrameType.Settings, 0, 1, ''), ErrorCode.ProtocolError],
  ['SETTINGS of five bytes', frame(FrameType.Settings, 0, 0, 'abcde'), ErrorCode.FrameSizeError],
  ['an acknowledgement with settings', frame(FrameType.Settings, Flag.Ack, 0, 'abcdef'), ErrorCode.FrameSizeError],
  ['PING on a stream', frame(FrameType.Ping, 0, 1, '12345678'), ErrorCode.ProtocolError],
  ['PING of seven bytes', frame(FrameType.Ping, 0, 0, '1234567'), ErrorCode.FrameSizeError],
  ['GOAWAY on a stream', frame(FrameType.GoAway, 0, 1, '12345678'), ErrorCode.ProtocolError],
  ['GOAWAY of seven bytes', frame(FrameType.GoAway, 0, 0, '1234567'), ErrorCode.FrameSizeError],
  ['WINDOW_UPDATE of five bytes', frame(FrameType.WindowUpdate, 0, 1, 'abcde'), ErrorCode.FrameSizeError],
  ['CONTINUATION on the connection', frame(FrameType.Continuation, 0, 0, 'x'), ErrorCode.ProtocolError],
];

describe('frames', () => {
  it('reads what it writes', () => {
    assert.deepEqual(read(settingsFrame(Setting.EnablePush, 0, Setting.InitialWindowSize, 0x7fff_ffff)), [
      `4 0 0 ${JSON.stringify('\x00\x02\x00\x00\x00\x00\x00\x04\x7f\xff\xff\xff')}`,
    ]);
    assert.deepEqual(read(SETTINGS_ACK), ['4 1 0 ""']);
    assert.deepEqual(read(pingFrame('12345678', true)), ['6 1 0 "12345678"']);
    assert.deepEqual(read(rstStreamFrame(0x7fff_ffff, ErrorCode.Cancel)), [`3 0 2147483647 ${JSON.stringify('\x00\x00\x00\x08')}`]);
    assert.deepEqual(read(goAwayFrame(0x7fff_ffff, ErrorCode.EnhanceYourCalm, 'calm')), [`7 0 0 ${JSON.stringify('\x7f\xff\xff\xff\x00\x00\x00\x0bcalm')}`]);
    assert.deepEqual(read(windowUpdateFrame(0, 65_536)), [`8 0 0 ${JSON.stringify('\x00\x01\x00\x00')}`]);
  });

  it('ignores the reserved bit of a stream identifier', () => {
    assert.deepEqual(read(frame(FrameType.Data, 0, 0x8000_0003, 'x')), ['data 0 3 1 "x"']);
  });

  it('cuts a long header block into CONTINUATION frames', () => {
    assert.deepEqual(read(headersFrames(1, 'abcdefghij', true, 4)), ['1 1 1 "abcd"', '9 0 1 "efgh"', '9 4 1 "ij"']);
    assert.deepEqual(read(headersFrames(1, 'abcdefgh', false, 4)), ['1 0 1 "abcd"', '9 4 1 "efgh"']);
    assert.deepEqual(read(headersFrames(1, 'abcd', true, 4)), ['1 5 1 "abcd"']);
  });

  it('takes padding and priority off', () => {
    assert.deepEqual(read(frame(FrameType.Data, Flag.Padded, 1, '\x02ab..')), ['data 8 1 5 "ab"']);
    assert.deepEqual(read(frame(FrameType.Data, Flag.Padded, 1, '\x02..')), ['data 8 1 3 ""']);
    assert.deepEqual(read(frame(FrameType.Headers, Flag.Padded | Flag.Priority, 3, '\x01\x00\x00\x00\x01\x10block.')), ['1 40 3 "block"']);
    assert.deepEqual(read(frame(FrameType.Headers, Flag.Priority, 3, '\x80\x00\x00\x03\x10block')), ['1 32 3 "block" self']);
  });

  it('tells of an unknown frame, and skips its payload', () => {
    assert.deepEqual(read(frame(0x77, 0xff, 9, 'whatever') + SETTINGS_ACK), ['119 255 9 ""', '4 1 0 ""']);
    assert.deepEqual(read(frame(0x77, 0, 0, '') + SETTINGS_ACK), ['119 0 0 ""', '4 1 0 ""']);
  });

  for (const [what, text, error] of BAD) {
    it(`refuses ${what}`, () => {
      assert.deepEqual(read(text), [`bad ${error}`]);
      assert.deepEqual(
        read(
          text,
          Array.from(text, (_, index) => index),
        ),
        [`bad ${error}`],
        'byte by byte',
      );
    });
  }

  it('comes to the same however the bytes arrive', () => {
    const anyFrame = fc
      .record({
        type: fc.integer({ min: 0, max: 11 }),
        flags: fc.constantFrom(0, 1, 4, 5, 8, 0x20, 0x2d),
        streamId: fc.constantFrom(0, 1, 2, 3, 0x7fff_ffff),
        payload: fc.oneof(fc.uint8Array({ maxLength: 12 }), fc.constantFrom(Uint8Array.of(), new Uint8Array(4), new Uint8Array(8))),
      })
      .map(({ type, flags, streamId, payload }) => frame(type, flags, streamId, Buffer.from(payload).toString('latin1')));
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 6 }), fc.array(fc.nat(120), { maxLength: 20 }), (frames, cuts) => {
        const text = frames.join('');
        const whole = read(text);
        assert.deepEqual(read(text, cuts), whole);
        assert.deepEqual(
          read(
            text,
            Array.from(text, (_, index) => index),
          ),
          whole,
        );
      }),
      { numRuns: 300 },
    );
  });
});
