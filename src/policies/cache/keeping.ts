import { FieldKind, maskOf } from '../../exchange/field-names.ts';
import type { Fields } from '../../exchange/fields.ts';
import type { BodyLength } from '../../exchange/streams.ts';
import type { CacheSpec } from '../../snapshot/cache.ts';
import { type RequestKey, variantKey } from './cache-key.ts';
import type { StoredEntry, StoredMeta } from './entry-blocks.ts';
import type { ResponseCache } from './response-cache.ts';
import { freshenedFields, isAbout, type KeptHead, keptHead } from './stored-answer.ts';
import { type Terms, termsOf, varyNames } from './storing.ts';

const AUTHORIZATION = maskOf(FieldKind.Authorization);

/** How an answer of a backend's is taken. */
export interface Verdict {
  readonly terms: Terms;
  readonly kept: KeptHead;
}

/** What becomes of the answer to one request to a backend in memory: whether it may be kept, on which terms, and under which key. */
export class Keeping {
  /** On the clock that all threads read alike, and of the wall: when the answer's head came. */
  arrivedAt = 0;
  receivedAt = 0;
  readonly #cache: ResponseCache;
  readonly #spec: CacheSpec;
  readonly #key: RequestKey;
  readonly #request: Fields;
  /** It names its sender, or the route knows who may. */
  readonly #authorized: boolean;
  readonly #startedAt: number;
  /** Of the URL, before the origin was asked. */
  readonly #epoch: number;
  /** Bytes that it takes of what answers on their way into memory may come to. */
  #reserved = 0;

  /** Made before the origin is asked. @param request its fields */
  constructor(cache: ResponseCache, spec: CacheSpec, key: RequestKey, request: Fields) {
    this.#cache = cache;
    this.#spec = spec;
    this.#key = key;
    this.#request = request;
    this.#authorized = spec.authorized === true || request.mayHave(AUTHORIZATION);
    this.#startedAt = cache.now();
    this.#epoch = cache.memory.epoch(key.url);
  }

  /**
   * The head has come.
   * @param entry whose validator went along @returns undefined where the answer is not to be kept, or is about another one than the entry
   */
  judge(status: number, fields: Fields, length: BodyLength, entry: StoredEntry | undefined): Verdict | undefined {
    this.arrivedAt = this.#cache.now();
    this.receivedAt = Date.now();
    const asked = { authorized: this.#authorized, delay: this.arrivedAt - this.#startedAt, now: this.receivedAt };
    if (status === 304 && entry !== undefined) {
      if (!isAbout(entry, fields)) return undefined;
      const merged = freshenedFields(entry, fields);
      const terms = termsOf(this.#spec, entry.status, merged, asked);
      return terms && { terms: this.#united(terms), kept: keptHead(entry.status, merged, terms.withoutFields) };
    }
    if (length > this.#spec.maxEntryBytes || this.#cache.filling + Math.max(length, 0) > this.#cache.maxFilling) return undefined;
    const terms = termsOf(this.#spec, status, fields, asked);
    return terms && { terms: this.#united(terms), kept: keptHead(status, fields, terms.withoutFields) };
  }

  /** Room for the body as far as it has come. @param length of it so far, or as it will be @returns false: it is too long to be kept */
  reserve(length: number): boolean {
    if (length <= this.#reserved) return true;
    const filling = this.#cache.filling + length - this.#reserved;
    if (length > this.#spec.maxEntryBytes || filling > this.#cache.maxFilling) return false;
    this.#reserved = length;
    this.#cache.filling = filling;
    return true;
  }

  /** Gives that room back. */
  release(): void {
    this.#cache.filling -= this.#reserved;
    this.#reserved = 0;
  }

  /**
   * Answers of one URL may name different fields. Those that others named count for this one as well, so that there is one list
   * for all, and no answer hides those to other requests.
   */
  #united(terms: Terms): Terms {
    const before = this.#cache.memory.find(this.#key.url, this.#key.primary);
    if (before?.isIndex !== true) return terms;
    const vary = varyNames([before.head, ...terms.vary]);
    return vary === undefined ? terms : { ...terms, vary };
  }

  /** Whether that answer to this request is the one to another request as well. */
  isFor(other: Fields, { vary }: Terms): boolean {
    return variantKey(this.#key.primary, vary, other) === this.#variant(vary);
  }

  #variant(vary: readonly string[]): string {
    return variantKey(this.#key.primary, vary, this.#request);
  }

  put({ terms, kept }: Verdict, body: readonly Buffer[]): void {
    const { lifetime, initialAge, staleWhileRevalidate, staleIfError, alwaysValidate, neverStale, vary } = terms;
    const meta: StoredMeta = {
      ...{ status: kept.status, kinds: kept.kinds, storedAt: this.arrivedAt, receivedAt: this.receivedAt, isIndex: false },
      ...{ lifetime, initialAge, staleWhileRevalidate, staleIfError, alwaysValidate, neverStale },
    };
    this.#cache.memory.put(this.#key.url, this.#variant(vary), meta, kept.head, body, this.#epoch);
  }

  /** Where the next request for the URL finds which of its fields to look at. */
  rememberVary({ vary }: Terms): void {
    const { memory } = this.#cache;
    const { url, primary } = this.#key;
    if (vary.length === 0) return;
    const names = vary.join(',');
    const before = memory.find(url, primary);
    if (before?.isIndex === true && before.head === names) return;
    memory.put(url, primary, INDEX, names, []);
  }
}

const INDEX: StoredMeta = {
  ...{ status: 0, kinds: 0, storedAt: 0, receivedAt: 0, initialAge: 0, lifetime: 0, staleWhileRevalidate: 0, staleIfError: 0 },
  ...{ alwaysValidate: false, neverStale: false, isIndex: true },
};
