/**
 * One of the replicas leads: it alone writes statuses and Events.
 *
 * The leader counts its term from the start of the last call that renewed the Lease, on its own monotonic clock, and stops
 * by itself before anybody may take over. Others count from the moment at which they saw the Lease change, on theirs. So
 * clocks that are set differently do no harm, nor do answers that are late or lost: the Lease's resourceVersion lets one of
 * two writers through.
 */
import { ApiError, oneLine, reasonOf } from '../sources/kubernetes/errors.ts';
import type { StatusLog } from './api-calls.ts';
import type { Clock } from './clock.ts';
import { LEASE_NAME, type Lease, type LeaseSpec, type LeaseStore } from './lease.ts';

/** api.md, "in a cluster". Seconds. */
const LEASE_DURATION = 15;
/** The rest is in milliseconds. After the last renewal, the leader is none any more. */
const RENEW_DEADLINE = 10_000;
/** What the leader began may go on for this long after the last renewal, and no longer. */
const WRITE_DEADLINE = 12_000;
const RENEW_PERIOD = 2_000;
/** How often those who wait look at the Lease. */
const LOOK_PERIOD = 1_000;
/**
 * Those who wait see a renewal up to a look after it happened. They take that off, and some for the call, so that a new
 * leader is there within the Lease's duration. It is still a second after the old one's last write must have ended.
 */
const LOOK_ALLOWANCE = 2_000;
/** After a call that failed. */
const RETRY_PERIOD = 500;
const CALL_TIMEOUT = 5_000;
/** While we stop, there is not much time left. */
const RELEASE_TIMEOUT = 2_000;
const LAST_LOOK_PERIOD = 250;

export interface ElectorOptions {
  readonly store: LeaseStore;
  /** Of this process: no other one ever has it. */
  readonly identity: string;
  readonly clock: Clock;
  /** From 0 to 1, for jitter. */
  readonly random: () => number;
  readonly log: StatusLog;
  /** Called soon after the leadership changed; `leading` is exact at any time. */
  readonly onChange?: (leading: boolean) => void;
}

export class LeaderElector {
  readonly #options: ElectorOptions;
  /** The Lease as we saw or wrote it last; undefined: look before writing. */
  #lease: Lease | undefined;
  /** What the Lease said when it was last seen to change, and when that was. */
  #seen: { readonly spec: string; readonly at: number; readonly duration: number } | undefined;
  /** Start of the last call that gave or renewed us the Lease; undefined: it is not ours. */
  #renewed: number | undefined;
  #loop: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined;
  #toldLeading = false;
  #toldFailure = '';

  constructor(options: ElectorOptions) {
    this.#options = options;
  }

  /** Whether we may begin to write; no more from the moment at which `retire` is called. */
  get leading(): boolean {
    return this.#loop !== undefined && this.#renewed !== undefined && this.#options.clock.now() < this.#renewed + RENEW_DEADLINE;
  }

  /** Whole milliseconds that a write which begins now may take; 0 when none may begin. */
  get writeTime(): number {
    return this.leading ? Math.floor((this.#renewed as number) + WRITE_DEADLINE - this.#options.clock.now()) : 0;
  }

  /** Begins to stand for leader, and stands again after `retire`. */
  start(): void {
    if (this.#loop !== undefined) return;
    const stop = new AbortController();
    this.#loop = { stop, ended: this.#run(stop.signal) };
  }

  /**
   * Stands no more, and gives up the Lease if it is ours, so that the next one can take it at once. Whatever we wrote as the
   * leader must have ended before.
   */
  async retire(): Promise<void> {
    const loop = this.#loop;
    this.#loop = undefined;
    loop?.stop.abort();
    await loop?.ended;
    const ours = this.#renewed !== undefined;
    const lease = this.#lease;
    this.#renewed = undefined;
    this.#lease = undefined;
    this.#tell();
    if (ours) await this.#release(lease);
  }

  /**
   * After `retire`: whether there is nobody else who leads, or comes to lead.
   * @param until time on the clock; it is known sooner where somebody does
   */
  async nobodyFollows(until: number): Promise<boolean> {
    const { clock, store } = this.#options;
    let first: string | undefined;
    for (;;) {
      let free = false;
      try {
        const lease = await store.read(CALL_TIMEOUT);
        this.#see(lease);
        free = this.#isFree(lease);
        first ??= this.#seen?.spec;
      } catch (error) {
        this.#fail(error);
      }
      // Whoever changes the Lease is alive; a holder who does not may have died without a word.
      if (!free && first !== undefined && this.#seen?.spec !== first) return false;
      const left = until - clock.now();
      if (left <= 0) return free;
      await clock.sleep(Math.min(LAST_LOOK_PERIOD, left));
    }
  }

  async #run(stop: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    while (!stop.aborted) {
      const good = await this.#attempt(stop);
      this.#tell();
      const period = good ? (this.leading ? RENEW_PERIOD : LOOK_PERIOD) : RETRY_PERIOD;
      const pause = period * (0.8 + 0.4 * random());
      const expiry = this.#expiry - clock.now();
      await clock.sleep(!this.leading && expiry > 0 ? Math.min(pause, expiry) : pause, stop);
    }
  }

  /** @returns false when a call failed */
  async #attempt(stop: AbortSignal): Promise<boolean> {
    const { store, clock } = this.#options;
    try {
      let lease = this.#lease;
      if (lease === undefined) {
        lease = await store.read(this.#callTimeout());
        this.#see(lease);
        if (!this.#isFree(lease)) {
          this.#renewed = undefined;
          this.#toldFailure = '';
          return true;
        }
        if (stop.aborted) return true;
      }
      const started = clock.now();
      const spec = this.#held(lease?.spec);
      this.#lease = await (lease === undefined ? store.create(spec, this.#callTimeout()) : store.replace(lease, spec, this.#callTimeout()));
      // A term that has ended meanwhile ends before the next begins: what was left unwritten in between is looked for again.
      this.#tell();
      this.#renewed = started;
      this.#toldFailure = '';
      return true;
    } catch (error) {
      // It may have come through all the same, or somebody else was first: look before the next one.
      this.#lease = undefined;
      this.#fail(error);
      return false;
    }
  }

  async #release(known: Lease | undefined): Promise<void> {
    const { store, identity } = this.#options;
    let lease = known;
    for (let tries = 0; tries < 3; tries++) {
      try {
        lease ??= await store.read(RELEASE_TIMEOUT);
        if (lease?.spec?.holderIdentity !== identity) return;
        const now = this.#microTime();
        await store.replace(lease, { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now }, RELEASE_TIMEOUT);
        return;
      } catch (error) {
        lease = undefined;
        this.#fail(error);
      }
    }
  }

  /** Nobody's, our own, or left alone for as long as it was meant to last. */
  #isFree(lease: Lease | undefined): boolean {
    const holder = lease?.spec?.holderIdentity ?? '';
    return holder === '' || holder === this.#options.identity || this.#options.clock.now() >= this.#expiry;
  }

  /** When the Lease that was seen may be taken from its holder, on the clock. */
  get #expiry(): number {
    if (this.#seen === undefined) return 0;
    return this.#seen.at + Math.max(1000, this.#seen.duration * 1000 - LOOK_ALLOWANCE);
  }

  #see(lease: Lease | undefined): void {
    const spec = JSON.stringify(lease?.spec ?? null);
    if (spec === this.#seen?.spec) return;
    this.#seen = { spec, at: this.#options.clock.now(), duration: lease?.spec?.leaseDurationSeconds ?? LEASE_DURATION };
  }

  /** What the Lease says when it is ours. */
  #held(before: LeaseSpec | undefined): LeaseSpec {
    const { identity } = this.#options;
    const now = this.#microTime();
    const same = before?.holderIdentity === identity;
    return {
      ...before,
      holderIdentity: identity,
      leaseDurationSeconds: LEASE_DURATION,
      acquireTime: same ? (before.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: before === undefined ? 0 : (before.leaseTransitions ?? 0) + (same ? 0 : 1),
    };
  }

  /** A MicroTime has six digits below the second. */
  #microTime(): string {
    return new Date(this.#options.clock.wall()).toISOString().replace('Z', '000Z');
  }

  #callTimeout(): number {
    const left = this.leading ? (this.#renewed as number) + RENEW_DEADLINE - this.#options.clock.now() : CALL_TIMEOUT;
    return Math.max(1, Math.min(CALL_TIMEOUT, Math.ceil(left)));
  }

  #tell(): void {
    const { leading } = this;
    if (leading === this.#toldLeading) return;
    this.#toldLeading = leading;
    const { log, identity, onChange } = this.#options;
    log('info', leading ? 'this replica leads' : 'this replica leads no more', { lease: LEASE_NAME, identity });
    onChange?.(leading);
  }

  /** Once for each kind of trouble; of two who write at once, one is refused, and that is none. */
  #fail(error: unknown): void {
    const reason = reasonOf(error);
    if (reason === this.#toldFailure || (error instanceof ApiError && error.status === 409)) return;
    this.#toldFailure = reason;
    this.#options.log('warn', 'the Lease can not be had', { lease: LEASE_NAME, reason, error: oneLine(error) });
  }
}
