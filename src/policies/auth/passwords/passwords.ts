/**
 * Passwords of a worker: each is checked once, on a thread apart, and known by a keyed digest from then on. One for all
 * policies: the digest covers the hash that the password was checked against, so that a new one is asked about anew.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { PasswordAnswer, PasswordQuestion } from './password-thread.ts';

/** Checks of one policy that wait or are under way. Each takes about a tenth of a second: who comes after these would wait too long. */
const MOST_WAITING = 64;
/** Checks that the thread has at once: one that it does, and one for which it need not wait for us. The others wait here, where policies take turns. */
const UNDER_WAY = 2;
const MOST_KNOWN = 10_000;

export type PasswordResult = 'right' | 'wrong' | 'busy' | 'failed';

interface Waiting {
  readonly key: string;
  readonly owner: Owner;
  readonly question: Omit<PasswordQuestion, 'id'>;
  readonly listeners: ((result: PasswordResult) => void)[];
}

/** A policy with checks that wait or are under way. */
interface Owner {
  readonly name: string;
  readonly queue: Waiting[];
  /** With those that are under way. */
  checks: number;
}

export class Passwords {
  readonly #key = randomBytes(32);
  /** What passwords came to, the one that was asked for longest ago first. */
  readonly #known = new Map<string, boolean>();
  /** Under way, by id. */
  readonly #underWay = new Map<number, Waiting>();
  /** The one whose turn is next first. */
  readonly #owners = new Map<string, Owner>();
  readonly #byKey = new Map<string, Waiting>();
  readonly #log: (message: string) => void;
  #thread: Worker | undefined;
  #lastId = 0;

  /** @param log hears of a thread that died */
  constructor(log: (message: string) => void) {
    this.#log = log;
  }

  /**
   * @param policy whose check it is: one that has many holds up no other's
   * @param hash as `parseHtpasswd` lets it through
   * @param tell called later, once, where nothing is returned; `busy`: too many of the policy wait already; `failed`: nothing can be told
   */
  check(policy: string, hash: string, password: string, tell: (result: PasswordResult) => void): PasswordResult | undefined {
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
    const owner = this.#owners.get(policy) ?? { name: policy, queue: [], checks: 0 };
    if (owner.checks >= MOST_WAITING) return 'busy';
    owner.checks++;
    this.#owners.set(policy, owner);
    const waiting = { key, owner, question: { hash, password }, listeners: [tell] };
    owner.queue.push(waiting);
    this.#byKey.set(key, waiting);
    this.#dispatch();
    return undefined;
  }

  /** Policies take turns, each with the check that it has asked for first. */
  #dispatch(): void {
    for (const owner of this.#owners.values()) {
      if (this.#underWay.size >= UNDER_WAY) return;
      const next = owner.queue.shift();
      if (next === undefined) continue;
      // Its next turn comes after those of all others; the loop comes by there once more.
      this.#owners.delete(owner.name);
      this.#owners.set(owner.name, owner);
      const id = ++this.#lastId;
      this.#underWay.set(id, next);
      this.#thread ??= this.#start();
      this.#thread.postMessage({ id, ...next.question } satisfies PasswordQuestion);
    }
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
      const lost = [...this.#byKey.values()];
      this.#underWay.clear();
      this.#owners.clear();
      this.#byKey.clear();
      if (cause !== '') this.#log(cause);
      for (const { listeners } of lost) for (const tell of listeners) tell('failed');
    });
    // Listening for messages would keep the process.
    thread.unref();
    return thread;
  }

  #settle(id: number, isRight: boolean): void {
    const waiting = this.#underWay.get(id);
    if (waiting === undefined) return;
    this.#underWay.delete(id);
    const { owner } = waiting;
    owner.checks--;
    if (owner.checks === 0) this.#owners.delete(owner.name);
    this.#dispatch();
    this.#byKey.delete(waiting.key);
    this.#known.set(waiting.key, isRight);
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value as string);
    for (const tell of waiting.listeners) tell(isRight ? 'right' : 'wrong');
  }
}
