import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { StreamConnection } from '../stream/stream-connection.ts';
import type { Wire } from '../wire.ts';
import { dial, finish, type Make, Recorder, serve, until, upgrade } from './peers.ts';

/** What one side does, in this order, each when the one before is done and the loop has turned. */
type Step =
  | { readonly do: 'write'; readonly length: number; readonly way: 'text' | 'bytes' | 'stable' | 'head' }
  | { readonly do: 'pause' | 'resume' | 'bulk' | 'plain' | 'wait' | 'drain' };

type Ending = 'end' | 'finish' | 'destroy' | 'reset' | 'destroy in onData' | 'end in onEnd';

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      length: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 40_000 }), fc.integer({ min: 100_000, max: 3_000_000 })),
      way: fc.constantFrom('text' as const, 'bytes' as const, 'stable' as const, 'head' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('pause' as const, 'resume' as const, 'bulk' as const, 'plain' as const, 'wait' as const, 'drain' as const) }),
  },
);
const side = fc.record({
  steps: fc.array(step, { maxLength: 12 }),
  ending: fc.constantFrom<Ending>('end', 'end', 'end in onEnd', 'finish', 'destroy', 'reset', 'destroy in onData'),
});

/** The endless text that each side sends a part of; its period shares no factor with the sizes of buffers. */
const PERIOD = 251;
const pattern = Buffer.alloc(PERIOD * 13_000, Buffer.from(Array.from({ length: PERIOD }, (_, index) => index)));

class Actor extends Recorder {
  wrong = false;
  private readonly ending: Ending;
  constructor(ending: Ending) {
    super();
    this.ending = ending;
  }
  /** Writes after an end do not count. */
  get sent(): number {
    return this.connection.bytesWritten;
  }
  override onData(bytes: Buffer, start: number, end: number): void {
    assert.ok(!this.ended && !this.closed, 'onData after the end');
    const at = this.length % PERIOD;
    if (!bytes.subarray(start, end).equals(pattern.subarray(at, at + end - start))) this.wrong = true;
    this.length += end - start;
    if (this.ending === 'destroy in onData') this.connection.destroy();
  }
  override onEnd(): void {
    super.onEnd();
    if (this.ending === 'end in onEnd') this.connection.end();
  }

  async act(steps: readonly Step[]): Promise<void> {
    for (const action of steps) {
      if (action.do === 'write') this.send(action.length, action.way);
      else if (action.do === 'pause') this.connection.pauseReading();
      else if (action.do === 'resume') this.connection.resumeReading();
      else if (action.do === 'bulk') this.connection.setBulk(true);
      else if (action.do === 'plain') this.connection.setBulk(false);
      else if (action.do === 'drain') await new Promise((resolve) => setTimeout(resolve, 5));
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (this.ending === 'end') this.connection.end();
    else if (this.ending === 'finish') this.connection.finish();
    else if (this.ending === 'destroy') this.connection.destroy();
    else if (this.ending === 'reset') this.connection.reset();
    this.connection.resumeReading();
  }

  private send(length: number, way: 'text' | 'bytes' | 'stable' | 'head'): void {
    const at = this.sent % PERIOD;
    const end = at + length;
    const scratch = Buffer.from(pattern.subarray(at, end));
    if (way === 'text') this.connection.writeLatin1(scratch.toString('latin1'));
    else if (way === 'bytes') this.connection.write(scratch, 0, length, false);
    else if (way === 'stable') this.connection.write(pattern, at, end, true);
    else {
      const head = Math.min(length, 20);
      this.connection.writeHeadAndBytes(scratch.toString('latin1', 0, head), scratch, head, length, false);
    }
    // What was not said to be stable may change at once.
    scratch.fill(0xff);
  }
}

/** Any commotion on both sides: the order of callbacks holds, what arrives is what was sent, and orderly ends are orderly. */
export function commotionSuite(make: Make, secure: boolean): void {
  let wire: Wire;
  before(async () => {
    wire = await make();
  });

  it('keeps bytes and callbacks in order, whatever both sides do', { timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(side, side, async (one, two) => {
        const served = await serve(wire, secure, () => new Actor(one.ending));
        const other = new Actor(two.ending);
        if (secure) {
          const raw = await dial(served.listener.port, false, { allowHalfOpen: true } as object);
          const socket = await upgrade(raw);
          const connection = new StreamConnection(socket, raw, other, { address: '', port: 0, localAddress: undefined, localPort: 0 }, 0, undefined);
          other.connection = connection;
          socket.on('data', (bytes: Buffer) => connection.received(bytes, 0, bytes.length));
        } else {
          other.connection = wire.connect({ host: '127.0.0.1', port: served.listener.port, handler: other });
        }
        await until(() => served.accepted.length === 1, 'accepted');
        const actor = served.accepted[0] as Actor;
        await Promise.all([actor.act(one.steps), other.act(two.steps)]);
        const orderly = [one.ending, two.ending].every((ending) => ending === 'end' || ending === 'end in onEnd') && [one.ending, two.ending].includes('end');
        if (orderly) {
          await until(() => actor.closed && other.closed, 'orderly close');
          assert.equal(actor.length, other.sent);
          assert.equal(other.length, actor.sent);
          assert.equal(actor.error, undefined);
          assert.equal(other.error, undefined);
        } else {
          actor.connection.destroy();
          other.connection.destroy();
          await until(() => actor.closed && other.closed, 'close');
        }
        assert.ok(!actor.wrong && !other.wrong, 'bytes changed on the way');
        assert.ok(actor.length <= other.sent && other.length <= actor.sent);
        await finish(served);
      }),
      { numRuns: 60, endOnFailure: false },
    );
  });
}
