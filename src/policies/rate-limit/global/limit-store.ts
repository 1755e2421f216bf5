/**
 * The counters that replicas share, as one worker asks them. Questions of one turn of the event loop go out in one call, and
 * calls follow each other without waiting for answers.
 *
 * A request waits for a bounded time. When a server is slow, gone or refuses, the store turns down: from then on no request
 * waits for it, and one small call at a time, further and further apart, finds out when it is back. In a cluster that holds
 * for each slot by itself, so that a server that is gone takes along only the limits that it has.
 */
import type { Script, ScriptConnection } from '../../../redis/script-connection.ts';
import { Lane, type LaneHost, type StoreFailure } from './lane.ts';

/** One request's question about some of its limits, all in one slot. */
export interface StoreQuestion {
  readonly keys: readonly string[];
  /** As limit-script.ts has them. */
  readonly args: readonly string[];
  /** @param answer of the whole call @param from index of the first number of this question */
  onAnswer(answer: readonly number[], from: number): void;
  onFailure(reason: StoreFailure): void;
  /** Numbers that the answer has for this question. */
  readonly size: number;
}

/** What a worker counts of the store. */
export interface StoreMetrics {
  /** A call that was answered, in time or not. */
  observe(seconds: number): void;
  /** Questions without an answer. */
  countFailure(reason: StoreFailure, questions: number): void;
  /** A request that was decided without the store. */
  countFallback(action: 'allow' | 'deny' | 'local'): void;
}

export interface LimitStoreOptions {
  readonly connection: ScriptConnection;
  readonly script: Script;
  readonly metrics: StoreMetrics;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;
  /** How long a request waits at most (ms). */
  readonly timeout: number;
  /** Chance: at least 0, less than 1. */
  readonly random: () => number;
}

/** Where there is no cluster, one lane takes all. */
const ONLY = 0;

export class LimitStore implements LaneHost {
  readonly options: LimitStoreOptions;
  readonly #lanes = new Map<number, Lane>();
  /** Why there is no connection; empty: there is one. */
  #trouble = 'connecting';
  #wasUp = true;
  /** What was told of since it was up. */
  readonly #troubles = new Set<string>();
  readonly #connected: Promise<void>;
  #tellConnected = (): void => {};

  constructor(options: LimitStoreOptions) {
    this.options = options;
    this.#connected = new Promise((resolve) => {
      this.#tellConnected = resolve;
    });
    options.connection.onChange = (detail) => this.#connectionChanged(detail);
  }

  /** Resolves once there has been a connection, or after so many milliseconds: a gateway starts without its store, too. */
  async untilConnected(patience: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([this.#connected, new Promise((resolve) => (timer = setTimeout(resolve, patience)))]);
    clearTimeout(timer);
  }

  /** Limits of different slots can't be asked in one call. */
  get isCluster(): boolean {
    return this.options.connection.isCluster;
  }

  /** Whether a question about that slot would be taken now. */
  takes(slot: number): boolean {
    return this.options.connection.isReady && this.#lane(slot).isUp;
  }

  /**
   * @param tag a text that leads to the slot: what stands in braces in its keys
   * @returns false when the store is down: then nothing is called
   */
  ask(slot: number, tag: string, question: StoreQuestion): boolean {
    if (!this.options.connection.isReady) return false;
    const lane = this.#lane(slot);
    lane.tag = tag;
    return lane.ask(question);
  }

  #lane(slot: number): Lane {
    const key = this.isCluster ? slot : ONLY;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = new Lane(this);
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  #connectionChanged(detail: string): void {
    if (detail === '') {
      this.#trouble = '';
      this.#tellConnected();
      for (const lane of this.#lanes.values()) lane.reconnected();
      // Lanes that are down tell when they are not.
      if (this.#downLanes() === 0) this.#tell(true, '');
      return;
    }
    this.#trouble = detail;
    for (const lane of this.#lanes.values()) lane.lost();
    this.#tell(false, detail);
  }

  /** A lane has turned down or up again. */
  laneTurned(isUp: boolean, detail: string): void {
    if (this.#trouble === '') this.#tell(isUp && this.#downLanes() === 0, detail);
  }

  #downLanes(): number {
    let down = 0;
    for (const lane of this.#lanes.values()) if (!lane.isUp) down++;
    return down;
  }

  /** Once for each change, and once for each trouble until it is over, however often it is tried. */
  #tell(isUp: boolean, detail: string): void {
    const { log } = this.options;
    if (isUp) {
      if (!this.#wasUp) log('info', 'rate limit store is back', {});
      this.#troubles.clear();
    } else if (!this.#troubles.has(detail)) {
      this.#troubles.add(detail);
      const message = this.#wasUp ? 'rate limit store is down: what policies say in onStoreFailure holds' : 'rate limit store is still down';
      log('warn', message, { error: detail });
    }
    this.#wasUp = isUp;
  }

  /** Whether all is well, for the metric. */
  get isUp(): boolean {
    return this.#trouble === '' && this.#downLanes() === 0;
  }

  get metrics(): StoreMetrics {
    return this.options.metrics;
  }
}
