import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ReadBuffers } from './read-buffers.ts';

const SLOW_READER = 64 * 1024;

describe('ReadBuffers', () => {
  it('lends a slow reader less than 64 KiB', () => {
    const buffers = new ReadBuffers();
    const buffer = buffers.take();
    assert.ok(buffer.length < SLOW_READER);
    assert.equal(buffers.fitting(buffer), buffer);
  });

  it('lends more where the last write was to a fast side, and less again where it was not', () => {
    const buffers = new ReadBuffers();
    const small = buffers.take();
    buffers.written(small, true);
    const large = buffers.fitting(small);
    assert.ok(large.length > SLOW_READER);
    assert.equal(buffers.fitting(large), large);
    buffers.written(large, false);
    assert.ok(buffers.fitting(large).length < SLOW_READER);
  });

  it('lends a bounded number of large buffers', () => {
    const buffers = new ReadBuffers();
    const lent = Array.from({ length: 500 }, () => {
      const small = buffers.take();
      buffers.written(small, true);
      return buffers.fitting(small);
    });
    const large = lent.filter((buffer) => buffer.length > SLOW_READER);
    assert.equal(large.length * (large[0]?.length ?? 0), 8 * 1024 * 1024);
    // One that comes back can go out again.
    buffers.giveBack(large[0]!);
    const small = lent.find((buffer) => buffer.length < SLOW_READER)!;
    assert.ok(buffers.fitting(small).length > SLOW_READER);
  });

  it('keeps a buffer back while a write refers to it', () => {
    const buffers = new ReadBuffers();
    const buffer = buffers.take();
    buffers.hold(buffer);
    buffers.hold(buffer);
    buffers.giveBack(buffer);
    assert.notEqual(buffers.take(), buffer);
    buffers.release(buffer);
    assert.notEqual(buffers.take(), buffer);
    buffers.release(buffer);
    assert.equal(buffers.take(), buffer);
  });

  it('has nothing to do with buffers that are not its own', () => {
    const buffers = new ReadBuffers();
    const foreign = Buffer.alloc(10);
    buffers.hold(foreign);
    buffers.written(foreign, true);
    assert.equal(buffers.fitting(foreign), foreign);
    buffers.giveBack(foreign);
    buffers.release(foreign);
    assert.notEqual(buffers.take(), foreign);
  });

  it('never lends a buffer that is lent, or that a write refers to', () => {
    const action = fc.record({ what: fc.constantFrom('take', 'fit', 'hold', 'release', 'giveBack'), which: fc.nat(20), fast: fc.boolean() });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const buffers = new ReadBuffers();
        const lent: Buffer[] = [];
        const held: Buffer[] = [];
        const taken = (buffer: Buffer): void => {
          assert.ok(!lent.includes(buffer) && !held.includes(buffer));
          lent.push(buffer);
        };
        for (const { what, which, fast } of actions) {
          const at = which % Math.max(1, what === 'release' ? held.length : lent.length);
          const buffer = (what === 'release' ? held : lent)[at];
          if (what === 'take') taken(buffers.take());
          else if (buffer === undefined) continue;
          else if (what === 'hold') {
            buffers.hold(buffer);
            held.push(buffer);
          } else if (what === 'release') {
            held.splice(at, 1);
            buffers.release(buffer);
          } else if (what === 'giveBack') {
            lent.splice(at, 1);
            buffers.giveBack(buffer);
          } else {
            buffers.written(buffer, fast);
            const next = buffers.fitting(buffer);
            if (next === buffer) continue;
            lent.splice(at, 1);
            taken(next);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
