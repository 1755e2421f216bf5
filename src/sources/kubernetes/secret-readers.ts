/**
 * Secrets, as few as there can be. Where permissions allow, those of type kubernetes.io/tls are watched together, and for one
 * that a route names and that is not among them, another type is watched for, so that the route can be told why. Those whose
 * values are used, and elsewhere each Secret that a route names, are watched by their names: 64 of them. Those beyond are fetched one by one, again
 * when a watch of metadata tells that they have changed, or, where there may be none, in turns. What any other holds is never read.
 */
import { AUTHORITIES_KEY, REVOCATIONS_KEY } from '../../resources/trust-anchors.ts';
import type { ApiClient } from './api-client.ts';
import { Backoff, classOf } from './backoff.ts';
import { collectionOf, pathsOf } from './collections.ts';
import { ApiError } from './errors.ts';
import type { KeptSink, ObjectStore } from './object-store.ts';
import { keyOf, type RawObject, Reflector, type ReflectorCounts, summedCounts, type Timings } from './reflector.ts';
import { SecretChanges } from './secret-changes.ts';
import type { Reading } from './trouble-log.ts';

const TLS = 'kubernetes.io/tls';
/** Named Secrets that are not there, and are watched for: each takes a connection. The others are looked up now and then. */
const MOST_AWAITED = 16;
/** Secrets that are watched by name where they can't be watched together: each takes a connection. The others are looked up in turns. */
export const MOST_SINGLE = 64;
/** Between rounds of looking up (ms), where nothing else is said; up to half of it more. */
const LOOKUP_INTERVAL = 30_000;
/** Secrets that are fetched at the same time. */
const LOOKUPS_AT_ONCE = 8;

export interface SecretReadersOptions {
  readonly client: ApiClient;
  readonly store: ObjectStore;
  /** Undefined: all of them. */
  readonly namespaces: readonly string[] | undefined;
  readonly onChange: (reading: Reading, failure?: unknown) => void;
  /** A round of looking up is over: `isReading` may be another. */
  readonly onLookedUp: () => void;
  readonly timings?: Partial<Timings> | undefined;
  /** Between rounds of looking up (ms); up to half of it more. */
  readonly lookupInterval?: number | undefined;
  readonly random: () => number;
}

interface Failure {
  readonly backoff: Backoff;
  /** When it is looked at again (ms, on `performance.now`'s clock). */
  readonly at: number;
}

interface Reader extends Reading {
  readonly sink: KeptSink;
}

export class SecretReaders {
  readonly #options: SecretReadersOptions;
  /** Of all TLS Secrets; by namespace, '' for all of them. */
  readonly #together = new Map<string, Reader>();
  /** By `namespace/name`. */
  readonly #single = new Map<string, Reader>();
  /** Of named Secrets that are not among those of `#together`, should they come with another type; by `namespace/name`. */
  readonly #awaited = new Map<string, Reader>();
  readonly #lookups: KeptSink;
  readonly #stop = new AbortController();
  #wanted: ReadonlySet<string> = new Set();
  /** Of `#wanted`, those whose values are used. */
  #valued: ReadonlySet<string> = new Set();
  #lookup: NodeJS.Timeout | undefined;
  #isLooking = false;
  /** Named, and beyond those that are watched by their names; by `namespace/name`. */
  #overflow: ReadonlySet<string> = new Set();
  /** Of `#overflow`, those that were answered for, with their versions; undefined: it is not there; '': it was not told what it is. */
  #looked = new Map<string, string | undefined>();
  /** Of `#overflow`, those that were not. */
  #unlooked = new Set<string>();
  /** Of `#overflow`, those whose last look told neither what they are nor that they are not there. */
  readonly #failed = new Map<string, Failure>();
  /** When all are looked up again that nobody tells of (ms, on `performance.now`'s clock). */
  #roundAt = 0;
  /** Those that are being fetched. */
  readonly #fetching = new Set<string>();
  /** Those that have changed since they were looked at, with what they have become. */
  readonly #due = new Map<string, string | undefined>();
  readonly #changes: SecretChanges;
  #past: ReflectorCounts = summedCounts([]);

  constructor(options: SecretReadersOptions) {
    this.#options = options;
    const { kind } = collectionOf('Secret');
    this.#lookups = options.store.sink(kind);
    const { client, timings, random, onChange } = options;
    this.#changes = new SecretChanges({
      ...{ client, timings, random, onChange },
      announce: (key, version) => this.#announce(key, version),
      retain: (scope, keys) => this.#retain(scope, keys),
    });
    for (const namespace of options.namespaces ?? ['']) {
      this.#together.set(namespace, this.#reader(namespace, undefined));
    }
  }

  /** Of reflectors that are there no more: what was counted stays counted. */
  get past(): ReflectorCounts {
    return summedCounts([this.#past, this.#changes.past]);
  }

  get reflectors(): Reflector[] {
    const readers = [...this.#together.values(), ...this.#single.values(), ...this.#awaited.values()];
    return [...readers.map(({ reflector }) => reflector), ...this.#changes.reflectors];
  }

  /** Those that are watched together are settled once it is known whether they may be; by name, once each is read. */
  get isSettled(): boolean {
    const together = [...this.#together.values()].every(({ reflector }) => reflector.state === 'synced' || reflector.state === 'denied');
    return together && !this.isReading;
  }

  /** A Secret that is newly named is on its way. */
  get isReading(): boolean {
    return [...this.#single.values()].some(({ reflector }) => reflector.state === 'waiting') || this.#unlooked.size > 0;
  }

  start(): void {
    for (const { reflector } of this.#together.values()) reflector.start();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#lookup);
    await this.#changes.stop();
    await Promise.all(this.reflectors.map((reflector) => reflector.stop()));
  }

  /**
   * To be called again when `reflectors` change state.
   * @param wanted `namespace/name` of each Secret that is named by an object of ours
   * @param valued those among them whose values are used, passwords and keys of APIs: each is read by its name
   */
  want(wanted: ReadonlySet<string>, valued: ReadonlySet<string>): void {
    this.#wanted = wanted;
    this.#valued = valued;
    for (const [key, reader] of this.#single) {
      const heir = this.#readerFor(key);
      if (wanted.has(key) && heir === undefined) continue;
      this.#single.delete(key);
      this.#end(reader, heir?.sink);
    }
    for (const key of wanted) {
      if (this.#single.size >= MOST_SINGLE) break;
      if (this.#single.has(key) || this.#readerFor(key) !== undefined) continue;
      this.#begin(this.#single, key, (name) => `metadata.name=${name}`);
    }
    // A look-up of before may have seen what is gone.
    for (const [key, { reflector }] of this.#single) if (reflector.hasSynced) this.#lookups.remove(placeholderOf(key));
    this.#setOverflow();
    this.#await();
    if (this.#isLooking) return;
    if (this.#lookup === undefined) {
      if (this.#missing().length === 0) return;
      this.#roundAt = 0;
      this.#lookUpIn(0);
    } else if ([...this.#unlooked].some((key) => !this.#failed.has(key))) this.#lookUpIn(0);
  }

  #await(): void {
    const missing = new Set(this.#absent());
    for (const [key, reader] of this.#awaited) {
      // A look-up of before may have seen what is gone.
      if (reader.reflector.hasSynced) this.#lookups.remove(placeholderOf(key));
      if (missing.has(key)) continue;
      this.#awaited.delete(key);
      this.#end(reader, undefined);
    }
    for (const key of missing) {
      if (this.#awaited.size >= MOST_AWAITED) break;
      if (!this.#awaited.has(key)) this.#begin(this.#awaited, key, (name) => `metadata.name=${name},type!=${TLS}`);
    }
  }

  #begin(readers: Map<string, Reader>, key: string, selector: (name: string) => string): void {
    const [namespace = '', name = ''] = key.split('/');
    const reader = this.#reader(namespace, name, selector(name));
    readers.set(key, reader);
    reader.reflector.start();
  }

  /** @param heir who reads its objects from now on */
  #end(reader: Reader, heir: KeptSink | undefined): void {
    void reader.reflector.stop();
    this.#past = { ...summedCounts([this.#past, reader.reflector.counts]), lastSync: undefined, lastHeard: undefined };
    reader.sink.release(heir);
    this.#options.onChange(reader);
  }

  /** Who watches the Secret among others; undefined where nobody may, and where it is of another type most likely. */
  #readerFor(key: string): Reader | undefined {
    if (this.#valued.has(key)) return undefined;
    const reader = this.#together.get('') ?? this.#together.get(key.slice(0, key.indexOf('/')));
    if (reader === undefined) return undefined;
    const { state, failure } = reader.reflector;
    return state === 'denied' || (failure !== undefined && classOf(failure) === 'denied') ? undefined : reader;
  }

  /** Those that are to be looked up: what is told of when it changes, only once. */
  #missing(): string[] {
    const scopes = new Map<string, boolean>();
    const isCovered = (key: string): boolean => {
      const scope = this.#scopeOf(key);
      const known = scopes.get(scope) ?? this.#changes.covers(scope);
      scopes.set(scope, known);
      return known;
    };
    return [
      ...[...this.#overflow].filter((key) => this.#unlooked.has(key) || this.#failed.has(key) || !isCovered(key)),
      ...this.#absent().filter((key) => !this.#awaited.has(key)),
    ];
  }

  #setOverflow(): void {
    const isFull = this.#single.size >= MOST_SINGLE;
    this.#overflow = new Set(isFull ? [...this.#wanted].filter((key) => !this.#single.has(key) && this.#readerFor(key) === undefined) : []);
    for (const key of this.#failed.keys()) if (!this.#overflow.has(key)) this.#failed.delete(key);
    for (const key of this.#looked.keys()) if (!this.#overflow.has(key)) this.#looked.delete(key);
    this.#unlooked = new Set([...this.#overflow].filter((key) => !this.#looked.has(key)));
    const scopes = new Set([...this.#overflow].map((key) => this.#scopeOf(key)));
    // Who may watch some of them together may watch the metadata of all.
    this.#changes.want(new Set([...scopes].filter((scope) => this.#together.get(scope)?.reflector.state === 'synced')));
  }

  /** The namespace in which it is watched for, '' for all of them. */
  #scopeOf(key: string): string {
    return this.#together.has('') ? '' : key.slice(0, key.indexOf('/'));
  }

  /** Of one that was not looked at yet nothing need be known. */
  #announce(key: string, version: string | undefined): void {
    const isKnown = this.#looked.has(key);
    if (!this.#overflow.has(key) || (!isKnown && !this.#fetching.has(key))) return;
    if (isKnown && this.#looked.get(key) === version) return;
    this.#due.set(key, version);
    if (!this.#isLooking) this.#lookUpIn(0);
  }

  #retain(scope: string, keys: ReadonlySet<string>): void {
    for (const [key, version] of [...this.#looked]) {
      if (version !== undefined && !keys.has(key) && this.#scopeOf(key) === scope) this.#announce(key, undefined);
    }
  }

  /** Named, and not among those that are watched together. */
  #absent(): string[] {
    return [...this.#wanted].filter((key) => {
      const reader = this.#readerFor(key);
      return reader?.reflector.hasSynced === true && !reader.sink.owns(key);
    });
  }

  /** A few at a time: there may be thousands. Those that have changed come first. */
  async #lookUp(): Promise<void> {
    this.#lookup = undefined;
    this.#isLooking = true;
    const now = performance.now();
    const isRound = now >= this.#roundAt;
    const queue = (isRound ? this.#missing() : this.#pressing(now)).values();
    const next = (): string | undefined => {
      for (const due of this.#due.keys()) {
        // What is on its way may be the new one already.
        if (this.#fetching.has(due)) continue;
        this.#due.delete(due);
        return due;
      }
      return queue.next().value;
    };
    const look = async (): Promise<void> => {
      for (let key = next(); key !== undefined && !this.#stop.signal.aborted; key = next()) await this.#lookAt(key);
    };
    await Promise.all(Array.from({ length: LOOKUPS_AT_ONCE }, look));
    if (this.#stop.signal.aborted) return;
    this.#isLooking = false;
    this.#lookups.retain(this.#wanted);
    this.#options.onLookedUp();
    const then = performance.now();
    const { lookupInterval = LOOKUP_INTERVAL, random } = this.#options;
    if (isRound) this.#roundAt = then + lookupInterval * (1 + random() / 2);
    const soonest = Math.min(this.#missing().length > 0 ? this.#roundAt : Infinity, ...[...this.#failed.values()].map(({ at }) => at));
    if (this.#due.size > 0) this.#lookUpIn(0);
    else if (soonest < Infinity) this.#lookUpIn(Math.max(0, Math.ceil(soonest - then)));
  }

  #lookUpIn(milliseconds: number): void {
    clearTimeout(this.#lookup);
    this.#lookup = setTimeout(() => void this.#lookUp(), milliseconds);
  }

  /** Those that do not wait for the next round: not looked at yet, or in vain. */
  #pressing(now: number): string[] {
    const isPressing = (key: string): boolean => (this.#failed.get(key)?.at ?? 0) <= now;
    return [...new Set([...this.#unlooked, ...this.#failed.keys()])].filter(isPressing);
  }

  async #lookAt(key: string): Promise<void> {
    const [namespace, name] = key.split('/');
    const path = `${pathsOf(collectionOf('Secret'), namespace)[0]}/${name}`;
    this.#fetching.add(key);
    const found = await this.#options.client.request<RawSecret>({ method: 'GET', path, signal: this.#stop.signal }).catch((error: unknown) => error);
    this.#fetching.delete(key);
    if (this.#stop.signal.aborted) return;
    if (this.#readerFor(key)?.sink.owns(key) === true || this.#awaited.has(key) || this.#single.has(key)) return;
    if (this.#readerFor(key) === undefined) this.#takeLookedUp(key, found);
    else if (isSecret(found) && found.type !== TLS) this.#lookups.put(this.#kept(found));
    // One of type TLS is for the watch to show. Any other error says nothing of the Secret.
    else if (isSecret(found) || isMissing(found)) this.#lookups.remove(placeholderOf(key));
  }

  /** One that nobody watches. As with a watch, only an answer that it is not there takes it away. */
  #takeLookedUp(key: string, found: unknown): void {
    if (isSecret(found)) this.#lookups.put(this.#kept(found));
    else if (isMissing(found)) this.#lookups.remove(placeholderOf(key));
    if (!this.#overflow.has(key)) return;
    if (!isSecret(found) && !isMissing(found)) {
      this.#lookAgain(key, found);
      return;
    }
    this.#failed.delete(key);
    this.#unlooked.delete(key);
    const version = isSecret(found) ? found.metadata?.resourceVersion : undefined;
    this.#looked.set(key, version);
    if (this.#due.get(key) === version) this.#due.delete(key);
  }

  /** Soon: a key that was revoked works until then. */
  #lookAgain(key: string, error: unknown): void {
    const backoff = this.#failed.get(key)?.backoff ?? new Backoff(this.#options.random);
    const asked = error instanceof ApiError ? error.retryAfter : undefined;
    this.#failed.set(key, { backoff, at: performance.now() + backoff.next(classOf(error), asked) });
    if (!(error instanceof ApiError)) return;
    // A server that answers so may do it for long, and others are not held up by it.
    this.#unlooked.delete(key);
    if (!this.#looked.has(key)) this.#looked.set(key, '');
  }

  #kept(secret: RawSecret): RawObject {
    return this.#valued.has(keyOf(secret)) ? secret : emptied(secret);
  }

  /** @param name with `fieldSelector`, of one Secret */
  #reader(namespace: string, name: string | undefined, fieldSelector = `type=${TLS}`): Reader {
    const { client, store, onChange, timings, random } = this.#options;
    const collection = collectionOf('Secret');
    const sink = store.sink(collection.kind);
    const reflector = new Reflector({
      client,
      paths: pathsOf(collection, namespace === '' ? undefined : namespace),
      query: { fieldSelector },
      sink: { ...sink, put: (object) => sink.put(this.#kept(object)) },
      onChange: (failure) => onChange(reader, failure),
      random,
      ...(timings === undefined ? {} : { timings }),
    });
    const reader: Reader = { collection, namespace: namespace === '' ? undefined : namespace, name, reflector, sink };
    return reader;
  }
}

function isSecret(found: unknown): found is RawSecret {
  return !(found instanceof Error) && (found as RawSecret | undefined)?.metadata !== undefined;
}

function isMissing(found: unknown): boolean {
  return found instanceof ApiError && found.status === 404;
}

function placeholderOf(key: string): RawObject {
  const [namespace = '', name = ''] = key.split('/');
  return { metadata: { namespace, name } };
}

/** What a Secret of another type holds is no business of ours, but for what others are verified by, which is no secret. */
function emptied(secret: RawSecret): RawObject {
  if (secret.type === TLS) return secret;
  const { metadata, type, data } = secret;
  const kept = [AUTHORITIES_KEY, REVOCATIONS_KEY].flatMap((key) => (data !== undefined && Object.hasOwn(data, key) ? [[key, data[key]] as const] : []));
  return {
    // The same version may come again, with all that it holds.
    ...(metadata === undefined ? {} : { metadata: withoutVersion(metadata) }),
    ...(type === undefined ? {} : { type }),
    ...(kept.length === 0 ? {} : { data: Object.fromEntries(kept) }),
  } as RawObject;
}

function withoutVersion({ resourceVersion: _version, ...metadata }: NonNullable<RawObject['metadata']>): NonNullable<RawObject['metadata']> {
  return metadata;
}

interface RawSecret extends RawObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}
