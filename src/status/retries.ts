/** When to try again, and when to let be for a while: for one object, and for all. */
import type { Clock } from './clock.ts';

/** Milliseconds. */
const FIRST = 500;
const MOST = 300_000;
const FIRST_PAUSE = 500;
const MOST_PAUSE = 30_000;
/** Somebody else who writes the same status for ever is met less and less often. */
const FIRST_CONTENTION = 1000;
/** An object that was left alone for so long begins anew. */
const PEACE = 600_000;

interface Written {
  readonly content: string;
  readonly at: number;
  readonly times: number;
}

export class Retries {
  readonly #clock: Clock;
  readonly #random: () => number;
  /** When each is to be tried again. */
  readonly #waiting = new Map<string, number>();
  /** None that waits is due before. */
  #soonest = Number.POSITIVE_INFINITY;
  readonly #failures = new Map<string, number>();
  /** What was written within `PEACE`, the oldest first. */
  readonly #written = new Map<string, Written>();
  #pausedUntil = 0;
  #pauses = 0;

  /** @param random from 0 to 1 */
  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  has(key: string): boolean {
    return this.#waiting.has(key);
  }

  /** There is something new about it: it need not wait. */
  forget(key: string): void {
    this.#waiting.delete(key);
    this.#failures.delete(key);
  }

  /** The object is gone: what comes by its name is another one. */
  drop(key: string): void {
    this.forget(key);
    this.#written.delete(key);
  }

  /** Of how many objects something is known. */
  get size(): number {
    return new Set([...this.#waiting.keys(), ...this.#failures.keys(), ...this.#written.keys()]).size;
  }

  clear(): void {
    this.#waiting.clear();
    this.#soonest = Number.POSITIVE_INFINITY;
    this.#failures.clear();
    this.#written.clear();
  }

  after(key: string, milliseconds: number): void {
    const at = this.#clock.now() + milliseconds;
    this.#waiting.set(key, at);
    this.#soonest = Math.min(this.#soonest, at);
  }

  failed(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.after(key, this.#jittered(Math.min(MOST, FIRST * 2 ** failures)));
  }

  /** @param content what was written, so that it shows when somebody overwrites it again and again */
  succeeded(key: string, content: string): void {
    this.#failures.delete(key);
    this.#pauses = 0;
    const last = this.#lastSame(key, content);
    const now = this.#clock.now();
    this.#written.delete(key);
    this.#written.set(key, { content, at: now, times: last === undefined ? 0 : last.times + 1 });
    for (const [old, { at }] of this.#written) {
      if (now - at < PEACE) break;
      this.#written.delete(old);
    }
  }

  /** How long (ms) to wait before the same is written once more. */
  contention(key: string, content: string): number {
    const last = this.#lastSame(key, content);
    return last === undefined ? 0 : Math.max(0, last.at + Math.min(MOST, FIRST_CONTENTION * 2 ** last.times) - this.#clock.now());
  }

  /** Those whose time has come, taken from those that wait. */
  due(): string[] {
    const now = this.#clock.now();
    // A hundred thousand may wait for a permission, and this is asked before each write.
    if (now < this.#soonest) return [];
    const due: string[] = [];
    this.#soonest = Number.POSITIVE_INFINITY;
    for (const [key, at] of this.#waiting) {
      if (at <= now) due.push(key);
      else this.#soonest = Math.min(this.#soonest, at);
    }
    for (const key of due) this.#waiting.delete(key);
    return due;
  }

  /** Milliseconds until the next one may be due; Infinity where none waits. */
  get next(): number {
    return Math.max(1, this.#soonest - this.#clock.now());
  }

  /** How long (ms) nothing at all is to be written. */
  get pause(): number {
    return Math.max(0, this.#pausedUntil - this.#clock.now());
  }

  /** @param milliseconds as the server asks for; undefined: longer each time, until something succeeds */
  pauseAll(milliseconds: number | undefined): void {
    const pause = milliseconds ?? this.#jittered(Math.min(MOST_PAUSE, FIRST_PAUSE * 2 ** this.#pauses));
    this.#pauses++;
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.now() + pause);
  }

  #lastSame(key: string, content: string): Written | undefined {
    const last = this.#written.get(key);
    return last !== undefined && last.content === content && this.#clock.now() - last.at < PEACE ? last : undefined;
  }

  #jittered(milliseconds: number): number {
    return milliseconds * (0.8 + 0.4 * this.#random());
  }
}
