import type { CircuitBreaker as Settings } from '../../snapshot/upstream.ts';
import { type BreakerMemory, BUCKETS, begunOf, generationOf, goodOf, Kind, kindOf, MOST_TRIALS, nextGeneration, Permit, stateOf } from './breaker-memory.ts';

/** What a try is let through with, to be given back; never negative. */
export type Ticket = number;

/** Why a try is not let through; always negative. */
export const Refusal = { Open: -1, MaxRequests: -2, MaxPending: -3 } as const;
export type Refusal = (typeof Refusal)[keyof typeof Refusal];

/** A ticket is the generation that it was given in, and whether it is for a trial. */
const TRIAL = 0x100;

export type BreakerState = 'closed' | 'open' | 'half_open';

/**
 * One worker's side of the circuit breaker of one upstream. Closed, it counts failures; from a share of them on it opens, and
 * for `openFor` nothing is let through. Then it is half open: so many trials are let through. When all went well it closes; with
 * the first that did not it is open again. All workers change the one state in shared memory.
 */
export class CircuitBreaker {
  settings: Settings;
  readonly #memory: BreakerMemory;
  readonly #slot: number;
  /** What makes a time of this thread one of all. */
  readonly #offset: number;

  /** @param offset milliseconds that this thread's `performance.now()` is short of the clock of all workers */
  constructor(settings: Settings, memory: BreakerMemory, slot: number, offset: number) {
    this.settings = settings;
    this.#memory = memory;
    this.#slot = slot;
    this.#offset = offset;
  }

  /** @param now of `performance.now()` @returns a ticket; or negative, one of `Refusal` */
  admit(now: number): Ticket | Refusal {
    const { maxRequests, failurePercent } = this.settings;
    const memory = this.#memory;
    let ticket: number = generationOf(memory.state(this.#slot));
    if (failurePercent > 0 && kindOf(memory.state(this.#slot)) !== Kind.Closed) ticket = this.#admitTrial(now);
    if (ticket < 0 || memory.take(this.#slot, Permit.Request, maxRequests)) return ticket;
    this.#withdraw(ticket);
    return Refusal.MaxRequests;
  }

  /** A try's outcome is known; once for each. @param failed no connection, a reset, a time-out, or a status of 500 and up */
  settle(ticket: Ticket, failed: boolean, now: number): void {
    // Trials even while there is no breaker for a moment: with one again, it would wait for them for ever.
    if (ticket >= TRIAL) this.#settleTrial(ticket, failed, now);
    else if (this.settings.failurePercent > 0) this.#count(ticket, 1, failed ? 1 : 0, now);
  }

  /** What was settled as good, at `settledAt`, has failed after all: an answer that was cut. */
  turnBad(ticket: Ticket, settledAt: number, now: number): void {
    if (this.settings.failurePercent === 0) return;
    if (ticket < TRIAL) this.#count(ticket, 0, 1, now);
    else this.#turnTrialBad(ticket, settledAt, now);
  }

  /** A try is over; once for each that was admitted. @param settled false: nobody knows what it would have come to */
  release(ticket: Ticket, settled: boolean): void {
    this.#memory.give(this.#slot, Permit.Request);
    if (!settled) this.#withdraw(ticket);
  }

  /** Milliseconds until it lets a trial through; 0 where it would at once. */
  opensIn(now: number): number {
    if (kindOf(this.#memory.state(this.#slot)) !== Kind.Open) return 0;
    return Math.max(0, this.#memory.openedAt(this.#slot) + this.settings.openFor - (now + this.#offset));
  }

  state(now: number): BreakerState {
    const kind = this.settings.failurePercent === 0 ? Kind.Closed : kindOf(this.#memory.state(this.#slot));
    if (kind === Kind.Closed) return 'closed';
    if (kind === Kind.HalfOpen) return 'half_open';
    return kind === Kind.Opening || this.opensIn(now) > 0 ? 'open' : 'half_open';
  }

  #admitTrial(now: number): Ticket | Refusal {
    const memory = this.#memory;
    const most = Math.min(this.settings.halfOpenRequests, MOST_TRIALS);
    for (;;) {
      const state = memory.state(this.#slot);
      const generation = generationOf(state);
      switch (kindOf(state)) {
        case Kind.Closed:
          return generation;
        case Kind.Opening:
          return Refusal.Open;
        case Kind.Open:
          if (this.opensIn(now) > 0) return Refusal.Open;
          if (memory.change(this.#slot, state, stateOf(Kind.HalfOpen, generation, 1))) return TRIAL | generation;
          break;
        case Kind.HalfOpen:
          if (goodOf(state) >= most) {
            // There were to be more when they went well.
            memory.change(this.#slot, state, stateOf(Kind.Closed, nextGeneration(state)));
            break;
          }
          if (begunOf(state) >= most) return Refusal.Open;
          if (memory.change(this.#slot, state, stateOf(Kind.HalfOpen, generation, begunOf(state) + 1, goodOf(state)))) return TRIAL | generation;
          break;
      }
    }
  }

  #settleTrial(ticket: Ticket, failed: boolean, now: number): void {
    const memory = this.#memory;
    for (;;) {
      const state = memory.state(this.#slot);
      if (!isTrialOf(ticket, state)) return;
      const good = goodOf(state) + 1;
      if (failed) {
        if (memory.open(this.#slot, state, now + this.#offset)) return;
      } else {
        const isClosing = good >= Math.min(this.settings.halfOpenRequests, MOST_TRIALS);
        const next = isClosing ? stateOf(Kind.Closed, nextGeneration(state)) : stateOf(Kind.HalfOpen, generationOf(state), begunOf(state), good);
        if (memory.change(this.#slot, state, next)) return;
      }
    }
  }

  /** It is open again, also where it has closed on the strength of that trial; but an answer that went on for longer than failures count says no more of that. */
  #turnTrialBad(ticket: Ticket, settledAt: number, now: number): void {
    const memory = this.#memory;
    const hasClosed = stateOf(Kind.Closed, nextGeneration(stateOf(Kind.HalfOpen, ticket & 0xff)));
    for (;;) {
      const state = memory.state(this.#slot);
      if (!isTrialOf(ticket, state) && state !== hasClosed) return;
      if (now - settledAt > this.settings.window) {
        if (state === hasClosed) this.#count(generationOf(state), 0, 1, now);
        return;
      }
      if (memory.open(this.#slot, state, now + this.#offset)) return;
    }
  }

  /** Another trial may take its place. */
  #withdraw(ticket: Ticket): void {
    const memory = this.#memory;
    for (;;) {
      const state = memory.state(this.#slot);
      if (ticket < TRIAL || !isTrialOf(ticket, state)) return;
      if (memory.change(this.#slot, state, stateOf(Kind.HalfOpen, generationOf(state), begunOf(state) - 1, goodOf(state)))) return;
    }
  }

  #count(ticket: Ticket, tries: number, failures: number, now: number): void {
    const memory = this.#memory;
    const { window, minRequests, failurePercent } = this.settings;
    const state = memory.state(this.#slot);
    // What began before it opened, or before it closed again, says nothing of how things are since.
    if (kindOf(state) !== Kind.Closed || generationOf(state) !== ticket) return;
    const time = now + this.#offset;
    const epoch = Math.floor((time * BUCKETS) / window) | 0;
    memory.count(this.#slot, ticket, epoch, tries, failures);
    if (failures === 0) return;
    const all = memory.counted(this.#slot, ticket, epoch);
    if (all.tries >= minRequests && all.failures * 100 >= failurePercent * all.tries) memory.open(this.#slot, state, time);
  }
}

function isTrialOf(ticket: Ticket, state: number): boolean {
  return kindOf(state) === Kind.HalfOpen && generationOf(state) === (ticket & 0xff);
}
