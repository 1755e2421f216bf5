import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { ReadBuffers } from './read-buffers.ts';

const SLOW_READER = 64 * 1024;

describe('ReadBuffers', () => {
  it('lends a slow reader less than 64 KiB', () => {
    const buffers = new ReadBuffers();
    assert.ok(buffers.take().length < SLOW_READER);
    assert.ok(buffers.shared.length < SLOW_READER);
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
    buffers.giveBack(foreign);
    buffers.release(foreign);
    assert.notEqual(buffers.take(), foreign);
  });

  it('never lends a buffer that is lent, or that a write refers to', () => {
    const action = fc.record({ what: fc.constantFrom('take', 'hold', 'release', 'giveBack'), which: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const buffers = new ReadBuffers();
        const lent: Buffer[] = [];
        const held: Buffer[] = [];
        const taken = (buffer: Buffer): void => {
          assert.ok(!lent.includes(buffer) && !held.includes(buffer));
          lent.push(buffer);
        };
        for (const { what, which } of actions) {
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
          } else {
            lent.splice(at, 1);
            buffers.giveBack(buffer);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
