/** Names of ExternalName Services, resolved ahead of traffic and looked up again and again. */
import type { NameLookup } from './name-lookup.ts';

/** A name that was resolved is looked up again after this long (ms), give or take a fifth. */
const REFRESH = 30_000;
/** One that was not, after this long at first, and twice as long each time, up to REFRESH. */
const FIRST_RETRY = 1000;
/** A look-up that takes longer counts as failed; an answer that still comes is taken all the same. */
export const LOOKUP_TIMEOUT = 5000;
/** One that takes even longer is not waited for any more. */
const LOOKUP_LOST = 60_000;
/** Look-ups at a time. They take threads of libuv's pool, which gives no more than half of its four to them. */
const MOST_RUNNING = 2;
/** Of those, names that failed when they were last looked up, so that the others never wait for a server that does not answer. */
const MOST_RETRIES = 1;

/** The order in which names are looked up that wait. */
const CLASSES = ['new', 'good', 'failed'] as const;
type NameClass = (typeof CLASSES)[number];

interface KnownName {
  readonly name: string;
  /** Sorted, as last answered. */
  addresses: readonly string[] | undefined;
  /** A look-up has ended, well or not. */
  isSettled: boolean;
  /** In a row. */
  failures: number;
  refresh: NodeJS.Timeout | undefined;
}

/** How many names there are: resolved when last asked; not so, but with addresses of before; without any address. */
export interface NameCounts {
  readonly resolved: number;
  readonly stale: number;
  readonly unresolved: number;
}

export type NameLog = (level: 'info' | 'warn', message: string, fields: { readonly name: string } & Readonly<Record<string, unknown>>) => void;

export interface NameResolverOptions {
  readonly lookup: NameLookup;
  readonly log: NameLog;
  /** From 0 to 1, for jitter. */
  readonly random: () => number;
  /** Other addresses than before, or the first look-up has ended. Never called from within `use`. */
  readonly onChange: (name: string) => void;
}

/**
 * Keeps the addresses of the names in use. A look-up that fails or hangs takes nothing away: the last answer stays for as long
 * as the name is in use.
 */
export class NameResolver {
  readonly #options: NameResolverOptions;
  #known: ReadonlyMap<string, KnownName> = new Map();
  readonly #waiting: Readonly<Record<NameClass, Set<KnownName>>> = { new: new Set(), good: new Set(), failed: new Set() };
  #running = 0;
  #retries = 0;

  constructor(options: NameResolverOptions) {
    this.#options = options;
  }

  /** @param names all that are in use from now on: new ones are looked up at once, others are forgotten */
  use(names: ReadonlySet<string>): void {
    const known = new Map<string, KnownName>();
    for (const name of names) {
      const before = this.#known.get(name);
      known.set(name, before ?? { name, addresses: undefined, isSettled: false, failures: 0, refresh: undefined });
    }
    for (const one of this.#known.values()) if (!known.has(one.name)) this.#forget(one);
    const fresh = [...known.values()].filter(({ name }) => !this.#known.has(name));
    this.#known = known;
    for (const one of fresh) this.#enqueue(one);
  }

  /** The last good answer, sorted; empty where there is none. */
  addressesOf(name: string): readonly string[] {
    return this.#known.get(name)?.addresses ?? [];
  }

  /** Whether its look-ups failed so far: not before the first has ended, nor ever after one that did not. */
  isUnresolved(name: string): boolean {
    const known = this.#known.get(name);
    return known?.isSettled === true && known.addresses === undefined;
  }

  /** Whether the first look-up of some name in use has not ended yet. */
  get isWaiting(): boolean {
    for (const { isSettled } of this.#known.values()) if (!isSettled) return true;
    return false;
  }

  get counts(): NameCounts {
    const counts = { resolved: 0, stale: 0, unresolved: 0 };
    for (const { addresses, failures } of this.#known.values()) counts[addresses === undefined ? 'unresolved' : failures > 0 ? 'stale' : 'resolved']++;
    return counts;
  }

  /** Ends all look-ups; `onChange` is not called any more. */
  close(): void {
    this.use(new Set());
  }

  #forget(known: KnownName): void {
    clearTimeout(known.refresh);
    for (const name of CLASSES) this.#waiting[name].delete(known);
  }

  #enqueue(known: KnownName): void {
    this.#waiting[!known.isSettled ? 'new' : known.failures === 0 ? 'good' : 'failed'].add(known);
    this.#startNext();
  }

  #startNext(): void {
    for (const name of CLASSES) {
      for (const known of this.#waiting[name]) {
        if (this.#running >= MOST_RUNNING || (name === 'failed' && this.#retries >= MOST_RETRIES)) break;
        this.#waiting[name].delete(known);
        this.#start(known, name === 'failed');
      }
    }
  }

  #start(known: KnownName, isRetry: boolean): void {
    this.#running++;
    if (isRetry) this.#retries++;
    let isLate = false;
    let isOver = false;
    const late = setTimeout(() => {
      isLate = true;
      this.#fail(known, `no answer within ${LOOKUP_TIMEOUT / 1000} s`);
    }, LOOKUP_TIMEOUT).unref();
    const end = (outcome: () => void): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(late);
      clearTimeout(lost);
      this.#running--;
      if (isRetry) this.#retries--;
      if (this.#isInUse(known)) {
        outcome();
        known.refresh = setTimeout(() => this.#enqueue(known), this.#delayOf(known)).unref();
      }
      this.#startNext();
    };
    const lost = setTimeout(() => end(() => {}), LOOKUP_LOST).unref();
    this.#lookUp(known.name).then(
      (addresses) => end(() => this.#succeed(known, addresses, isLate)),
      (error) =>
        end(() => {
          if (!isLate) this.#fail(known, messageOf(error));
        }),
    );
  }

  async #lookUp(name: string): Promise<readonly string[]> {
    const addresses = await this.#options.lookup(name);
    if (addresses.length === 0) throw new Error('it has no address');
    return [...new Set(addresses.map((address) => address.toLowerCase()))].sort();
  }

  #isInUse(known: KnownName): boolean {
    return this.#known.get(known.name) === known;
  }

  /** @param isLate the trouble was told of, and is over only with an answer in time */
  #succeed(known: KnownName, addresses: readonly string[], isLate: boolean): void {
    const { name } = known;
    const isNew = known.addresses === undefined || known.addresses.join() !== addresses.join();
    if (!isLate && known.failures > 0) this.#options.log('info', 'a name resolves again', { name, addresses });
    known.addresses = addresses;
    if (!isLate) known.failures = 0;
    known.isSettled = true;
    if (isNew) this.#options.onChange(name);
  }

  #fail(known: KnownName, error: string): void {
    if (!this.#isInUse(known)) return;
    const { name, addresses, isSettled } = known;
    known.failures++;
    known.isSettled = true;
    if (known.failures === 1) {
      const effect = addresses === undefined ? 'its Services have no endpoint' : 'its last addresses stay in use';
      this.#options.log('warn', 'a name can not be resolved', { name, error, effect });
    }
    if (!isSettled) this.#options.onChange(name);
  }

  #delayOf({ failures }: KnownName): number {
    const delay = failures === 0 ? REFRESH : Math.min(REFRESH, FIRST_RETRY * 2 ** (failures - 1));
    return delay * (0.8 + 0.4 * this.#options.random());
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
