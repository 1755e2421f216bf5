/** A world in which time passes by events alone: electors with clocks of their own, a Lease, and a network that may fail. */
import { ApiError, ConnectionError } from '../sources/kubernetes/errors.ts';
import type { StatusLog } from './api-calls.ts';
import type { Clock } from './clock.ts';
import { LeaderElector } from './leader-elector.ts';
import { LEASE_NAME, type Lease, type LeaseSpec, type LeaseStore } from './lease.ts';

/** What happens to one call. Milliseconds. */
export interface Fate {
  readonly request: number;
  readonly answer: number;
  readonly lost: 'nothing' | 'request' | 'answer';
}

export const PROMPT: Fate = { request: 2, answer: 2, lost: 'nothing' };

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class World {
  now = 0;
  /** Fate of the next call, whosever it is. */
  fate: () => Fate = () => PROMPT;
  /** Looked at after every event. */
  check: () => void = () => {};
  readonly log: string[] = [];
  #events: Event[] = [];
  #order = 0;
  #lease: Lease | undefined;
  #version = 0;

  get lease(): LeaseSpec | undefined {
    return this.#lease?.spec;
  }

  set lease(spec: LeaseSpec | undefined) {
    this.#lease = spec === undefined ? undefined : this.#stored(spec);
  }

  at(time: number, run: () => void): void {
    this.#events.push({ at: Math.max(time, this.now), order: this.#order++, run });
  }

  /** Lets so much time pass. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.now + milliseconds;
    await settled();
    for (;;) {
      const next = this.#events.reduce<Event | undefined>((first, event) => (first === undefined || isBefore(event, first) ? event : first), undefined);
      if (next === undefined || next.at > end) break;
      this.#events.splice(this.#events.indexOf(next), 1);
      this.now = next.at;
      next.run();
      await settled();
      this.check();
    }
    this.now = end;
    this.check();
  }

  async until(wanted: () => boolean, atMost: number): Promise<number> {
    const started = this.now;
    while (!wanted()) {
      if (this.now - started > atMost) throw new Error(`not so within ${atMost} ms`);
      await this.pass(10);
    }
    return this.now - started;
  }

  /** The server's side of one call. */
  read(): Lease | undefined {
    return this.#lease;
  }

  write(version: string | undefined, spec: LeaseSpec): Lease {
    if (version !== this.#lease?.metadata.resourceVersion) throw new ApiError(409, 'Conflict', 'the object has been modified');
    this.#lease = this.#stored(spec);
    return this.#lease;
  }

  #stored(spec: LeaseSpec): Lease {
    return { metadata: { name: LEASE_NAME, namespace: 'tidegate-system', resourceVersion: String(++this.#version) }, spec };
  }
}

/** One process. */
export class Replica implements Clock, LeaseStore {
  readonly elector: LeaderElector;
  readonly identity: string;
  readonly #world: World;
  readonly #rate: number;
  readonly #skew: number;
  /** Nothing happens in the process before then, in the world's time. */
  #pausedUntil = 0;

  /**
   * @param rate how fast its clock runs; 1: as the world's
   * @param skew by how much its wall clock is wrong (ms)
   */
  constructor(world: World, identity: string, { rate = 1, skew = 0, random = () => 0.5 }: { rate?: number; skew?: number; random?: () => number } = {}) {
    this.#world = world;
    this.identity = identity;
    this.#rate = rate;
    this.#skew = skew;
    const log: StatusLog = (level, message, fields) => world.log.push(`${identity}: ${level} ${message} ${fields.reason ?? ''}`.trim());
    this.elector = new LeaderElector({ store: this, identity, clock: this, random, log });
  }

  /** Whether it would write at this moment. */
  get writing(): boolean {
    return this.#pausedUntil <= this.#world.now && this.elector.leading;
  }

  /** As SIGSTOP, or SIGKILL where it is for ever. */
  pause(milliseconds: number): void {
    this.#pausedUntil = this.#world.now + milliseconds;
  }

  now(): number {
    return this.#world.now * this.#rate + this.#skew;
  }

  wall(): number {
    return Date.parse('2026-01-01T00:00:00Z') + this.#skew + this.#world.now;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      signal?.addEventListener('abort', () => resolve());
      this.#later(milliseconds / this.#rate, resolve);
    });
  }

  read(timeout: number): Promise<Lease | undefined> {
    return this.#call(timeout, () => this.#world.read());
  }

  create(spec: LeaseSpec, timeout: number): Promise<Lease> {
    return this.#call(timeout, () => this.#world.write(undefined, spec));
  }

  replace(lease: Lease, spec: LeaseSpec, timeout: number): Promise<Lease> {
    return this.#call(timeout, () => this.#world.write(lease.metadata.resourceVersion, spec));
  }

  #call<T>(timeout: number, serve: () => T): Promise<T> {
    const world = this.#world;
    const { request, answer, lost } = world.fate();
    return new Promise((resolve, reject) => {
      this.#later(timeout / this.#rate, () => reject(new ConnectionError('TimedOut', 'no answer')));
      if (lost === 'request') return;
      world.at(world.now + request, () => {
        let outcome: () => void;
        try {
          const result = serve();
          outcome = () => resolve(result);
        } catch (error) {
          outcome = () => reject(error);
        }
        if (lost === 'nothing') this.#later(answer, outcome);
      });
    });
  }

  #later(milliseconds: number, run: () => void): void {
    const due = (): void => (this.#pausedUntil > this.#world.now ? this.#world.at(this.#pausedUntil, due) : run());
    this.#world.at(this.#world.now + milliseconds, due);
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}

/** Every promise that could go on has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
