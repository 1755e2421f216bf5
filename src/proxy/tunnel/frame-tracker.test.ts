import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { closeFrame } from './close-frame.ts';
import { FrameTracker } from './frame-tracker.ts';

/** A frame as RFC 6455 section 5.2 has it. */
function frame(opcode: number, length: number, masked: boolean): Buffer {
  const size = length < 126 ? Buffer.of(length) : length < 65_536 ? Buffer.of(126, length >> 8, length & 0xff) : Buffer.alloc(9);
  if (length >= 65_536) {
    size[0] = 127;
    size.writeBigUInt64BE(BigInt(length), 1);
  }
  if (masked) size[0] = (size[0] as number) | 0x80;
  return Buffer.concat([Buffer.of(0x80 | opcode), size, masked ? Buffer.of(8, 8, 8, 8) : Buffer.alloc(0), Buffer.alloc(length, 0x88)]);
}

const frames = fc.array(
  fc.record({
    opcode: fc.constantFrom(0, 1, 2, 9, 10),
    length: fc.oneof(fc.nat(10), fc.constantFrom(125, 126, 127, 128, 65_535, 65_536), fc.nat(70_000)),
    masked: fc.boolean(),
  }),
  { minLength: 1, maxLength: 5 },
);

/** Feeds the bytes in pieces; `visit` sees the tracker after each. */
function feed(bytes: Buffer, cuts: readonly number[], visit: (tracker: FrameTracker, position: number) => void): void {
  const tracker = new FrameTracker();
  let position = 0;
  for (const cut of [...cuts.map((at) => at % bytes.length).sort((a, b) => a - b), bytes.length]) {
    tracker.pass(bytes, position, cut);
    position = cut;
    visit(tracker, position);
  }
}

describe('frame tracker', () => {
  it('is at a boundary exactly behind each frame, however the bytes are cut', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(), { maxLength: 20 }), (list, cuts) => {
        const parts = list.map(({ opcode, length, masked }) => frame(opcode, length, masked));
        const boundaries = new Set([0]);
        let end = 0;
        for (const part of parts) {
          end += part.length;
          boundaries.add(end);
        }
        const around = [...boundaries].flatMap((at) => [at, at + 1, at + 2, Math.max(0, at - 1)]);
        feed(Buffer.concat(parts), [...cuts, ...around], (tracker, position) => {
          assert.equal(tracker.atBoundary, boundaries.has(position), `at ${position}`);
          assert.equal(tracker.closeSeen, false);
        });
      }),
      { numRuns: 50 },
    );
  });

  it('finds where the frame under way ends, or the next one', () => {
    fc.assert(
      fc.property(frames, fc.nat(), fc.nat(), (list, one, two) => {
        const parts = list.map(({ opcode, length, masked }) => frame(opcode, length, masked));
        const bytes = Buffer.concat(parts);
        const first = Math.min(one % bytes.length, two % bytes.length);
        const second = Math.max(one % bytes.length, two % bytes.length);
        let end = 0;
        for (const part of parts) if (end <= first) end += part.length;
        const tracker = new FrameTracker();
        tracker.pass(bytes, 0, first);
        let found = tracker.toBoundary(bytes, first, second);
        if (found < 0) {
          assert.equal(tracker.atBoundary && second > first, false);
          found = tracker.toBoundary(bytes, second, bytes.length);
        }
        assert.equal(found, end);
        assert.equal(tracker.atBoundary, true);
      }),
      { numRuns: 200 },
    );
  });

  it('knows a Close frame from its first byte on', () => {
    for (const masked of [false, true]) {
      const close = closeFrame(1001, masked);
      const tracker = new FrameTracker();
      tracker.pass(frame(1, 300, masked), 0, 300);
      assert.equal(tracker.closeSeen, false);
      tracker.pass(frame(1, 300, masked), 300, frame(1, 300, masked).length);
      tracker.pass(close, 0, 1);
      assert.deepEqual([tracker.closeSeen, tracker.atBoundary], [true, false]);
      tracker.pass(close, 1, close.length);
      assert.deepEqual([tracker.closeSeen, tracker.atBoundary], [true, true]);
    }
  });

  it('takes the length that no frame comes to the end of for what it is', () => {
    const tracker = new FrameTracker();
    const endless = Buffer.concat([Buffer.of(0x82, 127), Buffer.alloc(8, 0xff), Buffer.alloc(100_000)]);
    tracker.pass(endless, 0, endless.length);
    assert.deepEqual([tracker.atBoundary, tracker.toBoundary(endless, 10, endless.length)], [false, -1]);
  });
});

describe('Close frame', () => {
  it('has the code, and towards a server a mask', () => {
    assert.deepEqual([...closeFrame(1001, false)], [0x88, 2, 0x03, 0xe9]);
    const masked = closeFrame(1001, true);
    assert.deepEqual([masked[0], masked[1], masked.length], [0x88, 0x82, 8]);
    const payload = [6, 7].map((at) => (masked[at] as number) ^ (masked[at - 4] as number));
    assert.deepEqual(payload, [0x03, 0xe9]);
  });
});
