import type { Exchange } from '../../exchange/exchange.ts';
import { ExpressionError } from '../../expressions/expression-error.ts';
import type { Limit } from '../../snapshot/rate-limit.ts';
import { Bucket } from './bucket.ts';
import { Departures } from './departures.ts';
import { FixedWindow } from './fixed-window.ts';
import { KeyedHash } from './keyed-hash.ts';
import { LimitKey } from './limit-key.ts';
import { DEFAULT_SIZE, INTS, LimiterMemory, type MemorySize, makeMemory, ZERO_STATE } from './memory.ts';
import type { Meter } from './meter.ts';
import { SetLocks } from './set-locks.ts';
import { SlidingWindow } from './sliding-window.ts';
import { Place } from './slot-table.ts';
import { LimiterClock, systemTime, type TimeSource } from './time.ts';

export interface LimiterOptions extends Partial<MemorySize> {
  readonly time?: TimeSource;
}

/** The limits of one route, as one worker runs them. */
export interface LimitSet {
  readonly meters: readonly Meter[];
  /** A key for each meter. */
  readonly keys: readonly LimitKey[];
  /** The meters in the order in which their sets are locked, which is that of addresses; sorted anew for each request. */
  readonly order: Meter[];
  /** Whether each request is one of each limit. */
  readonly isPlain: boolean;
}

/** What a request holds while it waits in the queue of a leaky bucket. */
export interface QueuePlace {
  readonly bucket: Bucket;
  readonly first: number;
  readonly second: number;
  readonly leavesAt: number;
  readonly cost: number;
}

/**
 * Decides whether requests pass, exactly over all workers: each decision happens under the locks of the slots that it
 * reads, and a limit's state is in shared memory, under its id, so that a reload leaves it alone.
 */
export class RateLimiter {
  readonly departures: Departures;
  readonly #memory: LimiterMemory;
  readonly #locks: SetLocks;
  readonly #clock: LimiterClock;
  readonly #hash: KeyedHash;
  #decidedAt = 0;

  /** The memory for all workers; for the main thread. */
  static allocate(options: LimiterOptions = {}): SharedArrayBuffer {
    const buffer = makeMemory({ ...DEFAULT_SIZE, ...options });
    LimiterClock.initialise(new Float64Array(buffer), options.time ?? systemTime);
    return buffer;
  }

  /** Frees what a worker held that died; for the main thread. @returns the number of locks it held */
  static releaseWorker(buffer: SharedArrayBuffer, worker: number): number {
    return new LimiterMemory(buffer).releaseWorker(worker);
  }

  /** Requests so far, of all workers, that were judged by a slot shared with other keys, because the memory was full there. */
  static overflows(buffer: SharedArrayBuffer): number {
    return Atomics.load(new Int32Array(buffer), INTS.overflows) >>> 0;
  }

  /**
   * @param buffer made by `allocate`
   * @param worker this thread's number; no two live threads may have the same
   */
  constructor(buffer: SharedArrayBuffer, worker: number, time: TimeSource = systemTime) {
    this.#memory = new LimiterMemory(buffer);
    this.#locks = new SetLocks(this.#memory.ints, worker);
    this.#clock = new LimiterClock(time, this.#memory.floats, this.#locks);
    this.#hash = this.#newHash();
    this.departures = new Departures(() => this.#clock.now());
  }

  /** Milliseconds on the limiter's clock. */
  now(): number {
    return this.#clock.now();
  }

  /** When the last decision was made, in milliseconds on the limiter's clock. */
  get decidedAt(): number {
    return this.#decidedAt;
  }

  /** Makes limits ready to be asked about. Of several with the same id the first counts. */
  compile(limits: readonly Limit[]): LimitSet {
    const distinct = limits.filter((limit, index) => limits.findIndex((other) => other.id === limit.id) === index);
    const compiled = distinct.map((limit) => this.#compile(limit));
    const meters = compiled.map(({ meter }) => meter);
    return { meters, keys: compiled.map(({ key }) => key), order: [...meters], isPlain: meters.every(({ demand }) => demand.isPlain) };
  }

  #compile(limit: Limit): { readonly meter: Meter; readonly key: LimitKey } {
    const prefix = this.#newHash();
    prefix.addText(limit.id);
    this.#hash.resetTo(prefix);
    // No key ends in this word: it is their number of parts.
    this.#hash.finish(-1);
    const { counters, logs, floats, ints } = this.#memory;
    const place = new Place(limit.algorithm === 'SlidingWindow' ? logs : counters, this.#hash.first, this.#hash.second);
    return { meter: this.#meter(limit, place, floats, ints), key: new LimitKey(limit.key, prefix, this.#hash) };
  }

  #meter(limit: Limit, place: Place, floats: Float64Array, ints: Int32Array): Meter {
    switch (limit.algorithm) {
      case 'TokenBucket':
      case 'LeakyBucket':
        return new Bucket(limit, place, floats);
      case 'FixedWindow':
        return new FixedWindow(limit, place, floats, this.#clock);
      case 'SlidingWindow':
        return new SlidingWindow(limit, place, ints);
    }
  }

  #newHash(): KeyedHash {
    const { ints } = this.#memory;
    return new KeyedHash(ints[INTS.hashKey0] as number, ints[INTS.hashKey1] as number);
  }

  /**
   * Asks all limits of a set about a request. If every enforced one allows it, it is counted by each limit that does;
   * otherwise by none. What came of it is in the meters until the next call.
   * @returns whether the request passes (or waits, see `Meter.waits`)
   * @throws ExpressionError by an enforced limit that can't tell; then nothing is counted
   */
  admit(set: LimitSet, exchange: Exchange): boolean {
    return this.#decide(set, exchange, true);
  }

  /** As `admit`, but counts nothing. @returns whether the request would pass */
  peek(set: LimitSet, exchange: Exchange): boolean {
    return this.#decide(set, exchange, false);
  }

  #decide({ meters, keys, order, isPlain }: LimitSet, exchange: Exchange, count: boolean): boolean {
    for (let index = 0; index < meters.length; index++) ask(meters[index] as Meter, keys[index] as LimitKey, exchange);
    // Sorted again by those that are asked: the others take no lock.
    if (!isPlain) order = meters.filter(({ isAsked }) => isAsked);
    this.#lockAll(order);
    try {
      // Read under the locks, so that the times in a slot are in order whoever had to wait.
      const now = this.#clock.now();
      this.#decidedAt = now;
      let passes = true;
      for (let index = 0; index < meters.length; index++) {
        const meter = meters[index] as Meter;
        const { place } = meter;
        meter.isTaken = false;
        if (!meter.isAsked) continue;
        if (place.table.locate(place, now, ZERO_STATE, meters, index)) meter.look(now);
        else meter.refuse(Math.max(1, place.table.nextFree(place) - now));
        if (place.isShared || place.slot < 0) Atomics.add(this.#memory.ints, INTS.overflows, 1);
        if (!meter.isAllowed && meter.isEnforced) passes = false;
      }
      if (!passes || !count) return passes;
      for (let index = 0; index < meters.length; index++) {
        const meter = meters[index] as Meter;
        if (!meter.isAsked || !meter.isAllowed) continue;
        meter.isTaken = true;
        if (meter.demand.cost === 0) continue;
        const { place } = meter;
        place.table.open(place);
        place.table.settle(place, meter.take(now));
      }
      return true;
    } finally {
      this.#unlockAll(order);
    }
  }

  /** Locks in the order of addresses, so that no two threads ever wait for each other; sets that are the same, once. */
  #lockAll(order: Meter[]): void {
    for (let index = 1; index < order.length; index++) {
      const meter = order[index] as Meter;
      let at = index;
      while (at > 0 && lockOf(order[at - 1] as Meter) > lockOf(meter)) {
        order[at] = order[at - 1] as Meter;
        at--;
      }
      order[at] = meter;
    }
    let last = -1;
    for (let index = 0; index < order.length; index++) {
      const lock = lockOf(order[index] as Meter);
      if (lock !== last) this.#locks.acquire(lock);
      last = lock;
    }
  }

  #unlockAll(order: readonly Meter[]): void {
    let last = -1;
    for (let index = 0; index < order.length; index++) {
      const lock = lockOf(order[index] as Meter);
      if (lock !== last) this.#locks.release(lock);
      last = lock;
    }
  }

  /** Right after an `admit` that made the request wait: its places in queues, to be given back should it not go on. */
  queuePlaces({ meters }: LimitSet): QueuePlace[] {
    const places: QueuePlace[] = [];
    for (const meter of meters) {
      if (!(meter instanceof Bucket) || !meter.isTaken || meter.waits === 0) continue;
      places.push({ bucket: meter, first: meter.place.first, second: meter.place.second, leavesAt: this.#decidedAt + meter.waits, cost: meter.demand.cost });
    }
    return places;
  }

  /** For a request that waited and went away: gives back the places that nobody queues behind. */
  giveBack(places: readonly QueuePlace[]): void {
    for (const { bucket, first, second, leavesAt, cost } of places) {
      const place = new Place(bucket.place.table, bucket.place.limitFirst, bucket.place.limitSecond);
      place.first = first;
      place.second = second;
      place.set = place.table.setOf(first);
      const lock = place.table.lockOf(place.set);
      this.#locks.acquire(lock);
      try {
        const now = this.#clock.now();
        if (!place.table.locate(place, now, ZERO_STATE, [], 0) || place.readAt !== place.writeAt) continue;
        const recoversAt = bucket.giveBack(now, leavesAt, cost, place.writeAt);
        if (recoversAt !== undefined) place.table.settle(place, recoversAt);
      } finally {
        this.#locks.release(lock);
      }
    }
  }
}

/** A limit that nobody enforces never stands in the way, not even by failing: then it is not asked. */
function ask(meter: Meter, key: LimitKey, exchange: Exchange): void {
  const { demand, place } = meter;
  try {
    demand.read(exchange);
    meter.isAsked = demand.isAsked;
    if (meter.isAsked) {
      key.hash(exchange, place);
      place.set = place.table.setOf(place.first);
      return;
    }
  } catch (error) {
    if (meter.isEnforced || !(error instanceof ExpressionError)) throw error;
    meter.isAsked = false;
  }
  // No other limit of this request takes it for a slot that is in use.
  place.slot = -1;
}

function lockOf(meter: Meter): number {
  return meter.place.table.lockOf(meter.place.set);
}
