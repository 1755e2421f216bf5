/**
 * Brings the statuses of objects to what they should be. It is level-based: what should be is compared with what the objects
 * carry, whenever either changes, and only the leader acts on the difference.
 */
import { ApiError, oneLine, reasonOf } from '../sources/kubernetes/errors.ts';
import type { ApiCalls, StatusLog } from './api-calls.ts';
import type { Clock } from './clock.ts';
import { type DesiredStatus, type ObjectName, objectPath, statusPatch } from './desired-status.ts';
import { EventTeller, type ObjectEvent, TurnMemory, turnOf } from './events.ts';
import type { Observed, ObservedObjects, RawStatusObject, StatusKey } from './observed-objects.ts';
import type { PublishedAddress } from './published-address.ts';
import { Retries } from './retries.ts';
import { TokenBucket } from './token-bucket.ts';
import { WriteQueue } from './write-queue.ts';

/** Writes a second, and at once; of Events likewise. */
const RATE = 20;
const BURST = 50;
const CONCURRENCY = 4;
/** At the last shutdown there is no time to lose, and nothing else to do. */
const CLEARING_CONCURRENCY = 8;
/** Milliseconds. */
const WRITE_TIMEOUT = 10_000;
/** Where we may not write: how soon that is tried again. */
const FORBIDDEN_PERIOD = 30_000;
/** What the server does not take as it is. */
const REFUSED_PERIOD = 300_000;
const IDLE = 60_000;
/** What was begun may end when the process stops. */
const STOP_TIMEOUT = 2000;

export interface StatusWriterOptions {
  readonly api: ApiCalls;
  /** `LeaderElector` is one. */
  readonly leadership: { readonly leading: boolean; readonly writeTime: number };
  readonly observed: ObservedObjects;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Of this process. */
  readonly identity: string;
  readonly log: StatusLog;
  /** @param kind of the object, or `Event` */
  readonly count: (kind: string, result: string) => void;
}

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #bucket: TokenBucket;
  readonly #events: EventTeller;
  readonly #turns: TurnMemory;
  readonly #queue = new WriteQueue();
  readonly #retries: Retries;
  readonly #stop = new AbortController();
  #desired: ReadonlyMap<StatusKey, DesiredStatus> = new Map();
  #addresses: readonly PublishedAddress[] | undefined;
  #wake = new AbortController();
  readonly #inFlight = new Set<Promise<void>>();
  /** Objects that are worked on, so that none is written twice at once; what has come up since, and waits. */
  readonly #busy = new Map<StatusKey, 'nothing' | 'check' | 'other status'>();
  readonly #abandon = new AbortController();
  /** Kinds and namespaces where we may not write, and when to try again. */
  readonly #forbidden = new Map<string, number>();
  /** Objects that are ours no more, and have nothing of us any more: another installation may write there now. */
  readonly #cleared = new Set<StatusKey>();
  readonly #toldTrouble = new Set<string>();
  #running: Promise<void> | undefined;

  constructor(options: StatusWriterOptions) {
    const { clock, random, api, identity, log, count } = options;
    this.#options = options;
    this.#bucket = new TokenBucket(clock, RATE, BURST);
    this.#events = new EventTeller({ api, clock, identity, log, bucket: new TokenBucket(clock, RATE, BURST), count: (result) => count('Event', result) });
    this.#turns = new TurnMemory(clock);
    this.#retries = new Retries(clock, random);
    options.observed.onChange = (key) => this.#check(key);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /**
   * @param desired of every object that may carry a status of ours; read on until the next call
   * @param changes keys of which `desired` has something else than before, or nothing any more, with what it had; only they are looked at again
   * @param addresses where the gateway is reached; undefined: not known at present
   */
  update(
    desired: ReadonlyMap<StatusKey, DesiredStatus>,
    changes: ReadonlyMap<StatusKey, DesiredStatus | undefined>,
    addresses: readonly PublishedAddress[] | undefined,
  ): void {
    const sameAddress = this.#addresses === addresses;
    this.#desired = desired;
    this.#addresses = addresses;
    for (const [key, before] of changes) this.#follow(key, before, desired.get(key));
    if (!sameAddress) for (const [key, { kind }] of desired) if (kind.status === 'loadBalancer') this.#check(key);
    this.#wake.abort();
  }

  #follow(key: StatusKey, before: DesiredStatus | undefined, after: DesiredStatus | undefined): void {
    if (this.#retries.has(key) || this.#busy.has(key)) {
      // Whatever became of what was written before, this need not wait for it.
      const isOther = before === undefined || after === undefined || JSON.stringify(before.status) !== JSON.stringify(after.status);
      if (isOther) this.#retries.forget(key);
      if (isOther && this.#busy.has(key)) this.#busy.set(key, 'other status');
    }
    if (after?.lost !== true) this.#cleared.delete(key);
    if (after === undefined) {
      this.#drop(key);
      return;
    }
    if (after.kind.status === 'loadBalancer') this.#turns.follow(key, after);
    this.#check(key);
  }

  /** The object is gone, and what was remembered of it. */
  #drop(key: StatusKey): void {
    this.#turns.forget(key);
    this.#retries.drop(key);
    this.#toldTrouble.delete(refusal(key));
  }

  /** To be called when the leadership changed. */
  leadershipChanged(): void {
    this.#queue.clear();
    this.#retries.clear();
    if (this.#options.leadership.leading) this.#turns.lead();
    this.#checkAll();
  }

  /** Begins nothing more; resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await Promise.race([Promise.allSettled(this.#inFlight), this.#options.clock.sleep(STOP_TIMEOUT)]);
    this.#abandon.abort(new Error('the gateway stops'));
    await Promise.allSettled(this.#inFlight);
    await this.#running;
  }

  /** Whether an Ingress carries an address of ours. */
  get hasPublished(): boolean {
    return this.#published().length > 0;
  }

  /**
   * After `stop`, for the leader: takes our addresses from all Ingresses.
   * @param until time on the clock
   * @returns how many still have one
   */
  async clearAddresses(until: number): Promise<number> {
    const { observed, clock, leadership } = this.#options;
    const left = this.#published();
    const work = async (): Promise<void> => {
      for (let key = left.pop(); key !== undefined && clock.now() < until && leadership.leading; key = left.pop()) {
        const object = this.#desired.get(key);
        const carried = observed.get(key);
        if (object === undefined || carried === undefined) continue;
        try {
          await this.#write(object, statusPatch(object, carried, [], '') ?? {}, AbortSignal.timeout(WRITE_TIMEOUT));
        } catch (error) {
          const isGone = error instanceof ApiError && error.status === 404;
          if (isGone) observed.gone(object.kind.kind, object.namespace, object.name);
          this.#count(object, isGone ? 'gone' : 'failed');
        }
      }
    };
    await Promise.all(Array.from({ length: CLEARING_CONCURRENCY }, work));
    return this.#published().length;
  }

  #published(): StatusKey[] {
    return [...this.#desired].flatMap(([key, { kind, status }]) => {
      const carried = this.#options.observed.get(key);
      return kind.status === 'loadBalancer' && status !== undefined && carried?.writtenByUs === true && carried.addresses.length > 0 ? [key] : [];
    });
  }

  #checkAll(): void {
    for (const key of this.#desired.keys()) this.#check(key);
    this.#wake.abort();
  }

  #check(key: StatusKey): void {
    if (!this.#options.leadership.leading || this.#retries.has(key)) return;
    if (this.#busy.has(key)) {
      if (this.#busy.get(key) === 'nothing') this.#busy.set(key, 'check');
      return;
    }
    const desired = this.#desired.get(key);
    const observed = this.#options.observed.get(key);
    // What is not there as the watches show it has nothing to be written to.
    if (desired === undefined || observed === undefined) return;
    if (this.#eventOf(key, desired, observed) === undefined && this.#patchOf(key, desired, observed) === undefined) return;
    this.#queue.add(key);
    if (!this.#wake.signal.aborted) this.#wake.abort();
  }

  #eventOf(key: StatusKey, desired: DesiredStatus, observed: Observed): ObjectEvent | undefined {
    if (desired.status === undefined) return undefined;
    return desired.kind.status === 'loadBalancer' ? this.#turns.turnOf(key, desired, observed) : turnOf(desired, observed);
  }

  #patchOf(key: StatusKey, desired: DesiredStatus, observed: Observed): Readonly<Record<string, unknown>> | undefined {
    if (this.#cleared.has(key)) return undefined;
    const now = `${new Date(this.#options.clock.wall()).toISOString().slice(0, 19)}Z`;
    return statusPatch(desired, observed, this.#addresses, now);
  }

  async #run(): Promise<void> {
    const { clock, leadership } = this.#options;
    while (!this.#stop.signal.aborted) {
      this.#wake = new AbortController();
      for (const key of this.#retries.due()) this.#check(key);
      const pause = this.#retries.pause;
      if (this.#inFlight.size >= CONCURRENCY) await Promise.race(this.#inFlight);
      else if (!leadership.leading || this.#queue.size === 0) await clock.sleep(Math.min(IDLE, this.#retries.next), this.#wake.signal);
      else if (pause > 0) await clock.sleep(pause, this.#stop.signal);
      else this.#begin(this.#queue.take() as StatusKey);
    }
  }

  #begin(key: StatusKey): void {
    this.#busy.set(key, 'nothing');
    const work = this.#work(key).finally(() => {
      this.#inFlight.delete(work);
      const since = this.#busy.get(key);
      this.#busy.delete(key);
      if (since === 'other status') this.#retries.forget(key);
      if (!this.#desired.has(key)) this.#drop(key);
      if (since !== 'nothing') this.#check(key);
    });
    this.#inFlight.add(work);
  }

  async #work(key: StatusKey): Promise<void> {
    const desired = this.#desired.get(key);
    let observed = this.#options.observed.get(key);
    if (desired === undefined || observed === undefined) return;
    const content = this.#contentOf(desired);
    const wait = Math.max((this.#forbidden.get(place(desired)) ?? 0) - this.#options.clock.now(), this.#retries.contention(key, content));
    if (wait > 0) return this.#retries.after(key, wait);
    const signal = this.#abandon.signal;
    try {
      const event = this.#eventOf(key, desired, observed);
      // The Event goes first: with the status written, nobody would know that it is still to be told.
      if (event !== undefined) {
        await this.#events.tell(desired, observed, event, () => this.#writeTime, { begin: this.#stop.signal, abandon: signal });
        this.#turns.told(key);
      }
      if (this.#patchOf(key, desired, observed) === undefined) return;
      await this.#bucket.take(this.#stop.signal);
      // What it should be by now is checked when this ends.
      if (this.#desired.get(key) !== desired) return;
      observed = this.#options.observed.get(key);
      if (observed === undefined || this.#writeTime <= 0) return;
      const patch = this.#patchOf(key, desired, observed);
      if (patch === undefined) return;
      await this.#write(desired, patch, signal);
      if (desired.lost && this.#desired.get(key) === desired) this.#cleared.add(key);
      this.#retries.succeeded(key, content);
      this.#succeeded(key, desired);
    } catch (error) {
      if (!signal.aborted) await this.#failed(key, desired, error);
    }
  }

  /** Tells whether two writes are of the same. */
  #contentOf({ kind, status }: DesiredStatus): string {
    return JSON.stringify(kind.status === 'loadBalancer' ? [status !== undefined, this.#addresses] : status);
  }

  /** 0 when nothing may be begun. */
  get #writeTime(): number {
    return this.#stop.signal.aborted ? 0 : Math.min(WRITE_TIMEOUT, this.#options.leadership.writeTime);
  }

  async #write(object: ObjectName, body: object, signal: AbortSignal): Promise<void> {
    const { api, observed, leadership } = this.#options;
    const written = await api.request<RawStatusObject>({
      method: 'PATCH',
      path: `${objectPath(object)}/status`,
      query: { fieldManager: observed.fieldManager, force: true },
      body,
      contentType: 'application/apply-patch+yaml',
      timeout: Math.max(1, Math.min(WRITE_TIMEOUT, leadership.writeTime)),
      signal,
    });
    this.#count(object, 'written');
    observed.answered(object.kind.kind, written);
  }

  async #failed(key: StatusKey, object: ObjectName, error: unknown): Promise<void> {
    const status = error instanceof ApiError ? error.status : 0;
    switch (status) {
      case 404:
        this.#options.observed.gone(object.kind.kind, object.namespace, object.name);
        return this.#count(object, 'gone');
      case 409:
        this.#count(object, 'conflict');
        await this.#look(object);
        return this.#retries.failed(key);
      case 403:
        this.#count(object, 'forbidden');
        this.#tell(`forbidden ${place(object)}`, 'statuses may not be written', object, error);
        this.#forbidden.set(place(object), this.#options.clock.now() + FORBIDDEN_PERIOD);
        return this.#retries.after(key, FORBIDDEN_PERIOD);
      case 429:
        this.#count(object, 'throttled');
        this.#retries.pauseAll((error as ApiError).retryAfter);
        return this.#retries.failed(key);
      default:
        if (status >= 400 && status < 500) {
          this.#count(object, 'refused');
          this.#tell(refusal(key), 'a status was refused', object, error);
          return this.#retries.after(key, REFUSED_PERIOD);
        }
        this.#count(object, 'failed');
        this.#tell('failed', 'statuses can not be written', object, error);
        this.#retries.pauseAll(undefined);
        return this.#retries.failed(key);
    }
  }

  #succeeded(key: StatusKey, object: ObjectName): void {
    this.#toldTrouble.delete(refusal(key));
    this.#forbidden.delete(place(object));
    const told = [`forbidden ${place(object)}`, 'failed'].filter((trouble) => this.#toldTrouble.delete(trouble));
    if (told.length > 0) this.#options.log('info', 'statuses are written again', { kind: object.kind.kind, namespace: object.namespace });
  }

  /** The object as it is: our picture of it was not the newest. */
  async #look(object: ObjectName): Promise<void> {
    const { api, observed } = this.#options;
    try {
      observed.answered(
        object.kind.kind,
        await api.request<RawStatusObject>({ method: 'GET', path: objectPath(object), timeout: WRITE_TIMEOUT, signal: this.#abandon.signal }),
      );
    } catch {
      // The watch will show it.
    }
  }

  /** Once, until it is good again. */
  #tell(trouble: string, message: string, { kind, namespace, name }: ObjectName, error: unknown): void {
    if (this.#toldTrouble.has(trouble)) return;
    this.#toldTrouble.add(trouble);
    this.#options.log('warn', message, { object: `${kind.kind}/${namespace}/${name}`, reason: reasonOf(error), error: oneLine(error) });
  }

  #count(object: ObjectName, result: string): void {
    this.#options.count(object.kind.kind, result);
  }
}

/** What is told of an object whose status the server does not take. */
function refusal(key: StatusKey): string {
  return `refused ${key}`;
}

/** Where permissions are given. */
function place({ kind, namespace }: ObjectName): string {
  return `${kind.kind} ${namespace}`;
}
