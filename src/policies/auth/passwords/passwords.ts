/**
 * Passwords of a worker: each is checked once, on a thread apart, and known by a keyed digest from then on. One for all
 * policies: the digest covers the hash that the password was checked against, so that a new one is asked about anew.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { PasswordAnswer, PasswordQuestion } from './password-thread.ts';

/** Checks that wait or are under way. Each takes about a tenth of a second: who comes after these would wait too long. */
const MOST_WAITING = 64;
const MOST_KNOWN = 10_000;

export type PasswordResult = 'right' | 'wrong' | 'busy' | 'failed';

interface Waiting {
  readonly key: string;
  readonly listeners: ((result: PasswordResult) => void)[];
}

export class Passwords {
  readonly #key = randomBytes(32);
  /** What passwords came to, the one that was asked for longest ago first. */
  readonly #known = new Map<string, boolean>();
  /** By id. */
  readonly #waiting = new Map<number, Waiting>();
  readonly #byKey = new Map<string, Waiting>();
  readonly #log: (message: string) => void;
  #thread: Worker | undefined;
  #lastId = 0;

  /** @param log hears of a thread that died */
  constructor(log: (message: string) => void) {
    this.#log = log;
  }

  /**
   * @param hash as `parseHtpasswd` lets it through
   * @param tell called later, once, where nothing is returned; `busy`: too many wait already; `failed`: nothing can be told
   */
  check(hash: string, password: string, tell: (result: PasswordResult) => void): PasswordResult | undefined {
    const key = createHmac('sha256', this.#key).update(hash).update('\n').update(password).digest('latin1');
    const known = this.#known.get(key);
    if (known !== undefined) {
      this.#known.delete(key);
      this.#known.set(key, known);
      return known ? 'right' : 'wrong';
    }
    const same = this.#byKey.get(key);
    if (same !== undefined) {
      same.listeners.push(tell);
      return undefined;
    }
    if (this.#waiting.size >= MOST_WAITING) return 'busy';
    const id = ++this.#lastId;
    const waiting = { key, listeners: [tell] };
    this.#waiting.set(id, waiting);
    this.#byKey.set(key, waiting);
    this.#thread ??= this.#start();
    this.#thread.postMessage({ id, hash, password } satisfies PasswordQuestion);
    return undefined;
  }

  #start(): Worker {
    const entry = import.meta.url.endsWith('.ts') ? './password-thread.ts' : './password-thread.js';
    const thread = new Worker(new URL(entry, import.meta.url), { name: 'passwords', resourceLimits: { maxOldGenerationSizeMb: 64 } });
    let cause = '';
    thread.on('error', (error) => {
      cause = error instanceof Error ? error.message : String(error);
    });
    thread.on('message', ({ id, isRight }: PasswordAnswer) => this.#settle(id, isRight));
    thread.on('exit', () => {
      this.#thread = undefined;
      const lost = [...this.#waiting.values()];
      this.#waiting.clear();
      this.#byKey.clear();
      if (cause !== '') this.#log(cause);
      for (const { listeners } of lost) for (const tell of listeners) tell('failed');
    });
    // Listening for messages would keep the process.
    thread.unref();
    return thread;
  }

  #settle(id: number, isRight: boolean): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    this.#byKey.delete(waiting.key);
    this.#known.set(waiting.key, isRight);
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value as string);
    for (const tell of waiting.listeners) tell(isRight ? 'right' : 'wrong');
  }
}
