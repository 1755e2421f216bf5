const UNHEALTHY = 1;
const EJECTED = 2;

/** How an endpoint is doing; an endpoint that is both unhealthy and ejected counts as unhealthy. */
export type EndpointHealth = 'healthy' | 'unhealthy' | 'ejected';

/**
 * What the whole pod knows of its endpoints' health, by slot (see workers/endpoint-slots.ts), in shared memory: it outlives
 * any thread and any reload. The thread that checks is the only one that decides; workers read, and count failures in a row;
 * the main thread clears a slot when it gives it away. Times are milliseconds of `monotonicNow`.
 *
 * Slot 0 stands for all endpoints beyond the number of slots, so it is always healthy.
 */
export class SharedHealth {
  readonly #flags: Int32Array;
  readonly #errors: Int32Array;
  readonly #ejections: Int32Array;
  readonly #inUseSince: Float64Array;
  readonly #ejectedUntil: Float64Array;

  /** @param buffer made by `SharedHealth.allocate` */
  constructor(buffer: SharedArrayBuffer) {
    const slots = buffer.byteLength / BYTES_A_SLOT;
    this.#inUseSince = new Float64Array(buffer, 0, slots);
    this.#ejectedUntil = new Float64Array(buffer, slots * 8, slots);
    this.#flags = new Int32Array(buffer, slots * 16, slots);
    this.#errors = new Int32Array(buffer, slots * 20, slots);
    this.#ejections = new Int32Array(buffer, slots * 24, slots);
  }

  static allocate(slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer(slots * BYTES_A_SLOT);
  }

  // --- for everybody ---

  isUsable(slot: number): boolean {
    return Atomics.load(this.#flags, slot) === 0;
  }

  health(slot: number): EndpointHealth {
    const flags = Atomics.load(this.#flags, slot);
    return flags === 0 ? 'healthy' : (flags & UNHEALTHY) !== 0 ? 'unhealthy' : 'ejected';
  }

  /** When it was there for the first time, or came back into use. */
  inUseSince(slot: number): number {
    return this.#inUseSince[slot] as number;
  }

  /** An endpoint that nobody knows anything of. @param inUseSince -Infinity: for long */
  clear(slot: number, inUseSince: number): void {
    if (slot === 0) return;
    this.#inUseSince[slot] = inUseSince;
    this.forget(slot);
  }

  /** What checks and tries have found; not since when it is in use. */
  forget(slot: number): void {
    this.#ejectedUntil[slot] = 0;
    Atomics.store(this.#ejections, slot, 0);
    Atomics.store(this.#errors, slot, 0);
    Atomics.store(this.#flags, slot, 0);
  }

  // --- for workers: tries ---

  /** A try failed. @returns how many have, one after the other, in the whole pod */
  countError(slot: number): number {
    return Atomics.add(this.#errors, slot, 1) + 1;
  }

  /** A try went well. */
  forgetErrors(slot: number): void {
    if (this.#errors[slot] !== 0) Atomics.store(this.#errors, slot, 0);
  }

  // --- for the thread that checks ---

  errors(slot: number): number {
    return Atomics.load(this.#errors, slot);
  }

  isUnhealthy(slot: number): boolean {
    return (Atomics.load(this.#flags, slot) & UNHEALTHY) !== 0;
  }

  isEjected(slot: number): boolean {
    return (Atomics.load(this.#flags, slot) & EJECTED) !== 0;
  }

  ejectedUntil(slot: number): number {
    return this.#ejectedUntil[slot] as number;
  }

  /** How often it has been ejected, less those that are forgiven. */
  ejections(slot: number): number {
    return Atomics.load(this.#ejections, slot);
  }

  setUnhealthy(slot: number): void {
    if (slot !== 0) Atomics.or(this.#flags, slot, UNHEALTHY);
  }

  setHealthy(slot: number, now: number): void {
    this.#inUseSince[slot] = now;
    Atomics.and(this.#flags, slot, ~UNHEALTHY);
  }

  eject(slot: number, until: number, ejections: number): void {
    if (slot === 0) return;
    this.#ejectedUntil[slot] = until;
    Atomics.store(this.#ejections, slot, ejections);
    Atomics.store(this.#errors, slot, 0);
    Atomics.or(this.#flags, slot, EJECTED);
  }

  endEjection(slot: number, now: number): void {
    this.#inUseSince[slot] = now;
    // What failed meanwhile had been picked before.
    Atomics.store(this.#errors, slot, 0);
    Atomics.and(this.#flags, slot, ~EJECTED);
  }
}

const BYTES_A_SLOT = 28;
