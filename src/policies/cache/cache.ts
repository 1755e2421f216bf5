import type { Exchange, Reply } from '../../exchange/exchange.ts';
import { FieldKind, maskOf } from '../../exchange/field-names.ts';
import type { Fields } from '../../exchange/fields.ts';
import { normalizePath } from '../../exchange/path.ts';
import { isEmptyBody } from '../../exchange/streams.ts';
import type { CacheSpec } from '../../snapshot/cache.ts';
import { type Filter, FilterSlot, keepState, type Policy, type PolicyContext, Verdict } from '../policy.ts';
import { type Asking, askingOf, mayBeAnother, Use, useOf } from './asking.ts';
import { keyOf, originOf, queryPart, type RequestKey, variantKey } from './cache-key.ts';
import { Claim } from './claims.ts';
import type { StoredEntry } from './entry-blocks.ts';
import { Flight } from './flight.ts';
import type { ResponseCache } from './response-cache.ts';
import { fieldsOfHead, giveWhole, hasNoBody, setAge } from './stored-answer.ts';
import type { Returns, Validated, Waiter } from './waiter.ts';

/**
 * A shared cache (RFC 9111): answers of backends, kept in the pod for those who ask for the same. What comes from memory goes
 * through the response filters as any answer; what is kept is what the backend gave.
 */
export const cache: Policy<'cache'> = {
  name: 'cache',
  compile: (spec, context) => new CacheFilter(spec, context),
};

const OTHER = maskOf(FieldKind.Other);
const NOT_CACHED: Reply = { status: 504, reason: 'only_if_cached', detail: 'There is no stored answer that fits the request.' };
/** Methods that change nothing (RFC 9110 section 9.2.1). */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Of an exchange whose request may change what is stored: see `onResponse`. */
class Unsafe {
  readonly url: string;
  readonly origin: string;

  constructor(url: string, origin: string) {
    this.url = url;
    this.origin = origin;
  }
}

class CacheFilter implements Filter, Returns {
  readonly policy = 'cache';
  readonly #spec: CacheSpec;
  readonly #cache: ResponseCache;

  constructor(spec: CacheSpec, { cache }: PolicyContext) {
    this.#spec = spec;
    this.#cache = cache;
  }

  describe(): string {
    const { maxEntryBytes, defaultTTL, varyOnQuery, staleWhileRevalidate, staleIfError, authorized } = this.#spec;
    const parts = [`answers up to ${maxEntryBytes} bytes`];
    parts.push(defaultTTL === 0 ? 'where the backend says for how long' : `for ${defaultTTL} ms unless the backend says for how long`);
    if (varyOnQuery.length > 0) parts.push(`of the query by ${varyOnQuery.join(', ')} alone`);
    parts.push(`stale for ${staleWhileRevalidate} ms while asked for again, for ${staleIfError} ms when the backend fails`);
    if (authorized === true) parts.push('only what is explicitly for all, since the route asks who calls');
    return parts.join('; ');
  }

  onRequest(exchange: Exchange): Verdict {
    const { method, requestFields } = exchange;
    if (method !== 'GET' && method !== 'HEAD') return this.#passMethod(exchange);
    if (exchange.upgrade !== '' || !isEmptyBody(exchange.stream.requestBody) || mayBeAnother(requestFields)) return this.#pass(exchange, 'fwd=bypass');
    const key = keyOf(exchange, this.#spec);
    if (key === undefined) return this.#pass(exchange, 'fwd=bypass');
    const asking = askingOf(requestFields);
    if (asking.noStore) return this.#pass(exchange, 'fwd=request');
    // Those are for the origin to judge (RFC 9111 section 4.3.2).
    if (asking.isConditional && (requestFields.has('if-match') || requestFields.has('if-unmodified-since'))) return this.#pass(exchange, 'fwd=request');
    return this.#look(exchange, key, asking);
  }

  onResponse(exchange: Exchange, status: number, fields: Fields): void {
    const told = exchange.filterState?.[FilterSlot.cache];
    if (told === undefined) return;
    if (typeof told === 'string') {
      fields.appendLines(`Cache-Status: tidegate; ${told}\r\n`, OTHER);
      return;
    }
    fields.appendLines('Cache-Status: tidegate; fwd=method\r\n', OTHER);
    // RFC 9111 section 4.4: what went well may have changed what is stored.
    if (status >= 200 && status < 400) this.#invalidate(told as Unsafe, fields);
  }

  #invalidate({ url, origin }: Unsafe, fields: Fields): void {
    this.#cache.memory.invalidate(url);
    for (const name of ['location', 'content-location']) {
      const target = fields.get(name);
      const other = target === undefined ? undefined : sameOrigin(target, url, origin, this.#spec.varyOnQuery);
      if (other !== undefined) this.#cache.memory.invalidate(other);
    }
  }

  // --- requests ---

  #pass(exchange: Exchange, why: string): Verdict {
    this.#cache.results(exchange.routeId).bypass++;
    this.tell(exchange, why);
    return Verdict.Continue;
  }

  #passMethod(exchange: Exchange): Verdict {
    if (SAFE.has(exchange.method)) return this.#pass(exchange, 'fwd=method');
    this.#cache.results(exchange.routeId).bypass++;
    const { scheme, host, authority } = exchange;
    const key = keyOf(exchange, this.#spec);
    if (key === undefined) return Verdict.Continue;
    keepState(exchange, FilterSlot.cache, new Unsafe(key.url, originOf(scheme, host, authority)));
    return Verdict.Continue;
  }

  #look(exchange: Exchange, key: RequestKey, asking: Asking): Verdict {
    const { memory } = this.#cache;
    const { requestFields } = exchange;
    let storedKey = key.primary;
    let entry = memory.find(key.url, storedKey);
    let varies = false;
    if (entry?.isIndex === true) {
      varies = true;
      storedKey = variantKey(storedKey, entry.head.split(','), requestFields);
      entry = memory.find(key.url, storedKey);
    }
    let validated: Validated | undefined;
    if (entry !== undefined) {
      const body = memory.body(entry);
      // Gone in this very moment.
      if (body === undefined) entry = undefined;
      else if (this.#serve(exchange, key, storedKey, asking, entry, body)) return Verdict.Answered;
      else validated = { entry, body };
    }
    if (asking.onlyIfCached) {
      this.tell(exchange, 'fwd=request');
      exchange.reply = NOT_CACHED;
      return Verdict.Answered;
    }
    const forwarded = entry === undefined ? (varies ? 'fwd=vary-miss' : 'fwd=uri-miss') : isDemanded(asking) ? 'fwd=request' : 'fwd=stale';
    // A part, or a head alone, is nothing to store; the whole may be much more than anybody wants.
    if (exchange.method === 'HEAD' || (asking.hasRange && entry === undefined)) {
      this.#cache.results(exchange.routeId).miss++;
      this.tell(exchange, forwarded);
      return Verdict.Continue;
    }
    return this.#fetch({ exchange, asking, forwarded }, key, storedKey, validated);
  }

  /** @returns false where the origin has to be asked */
  #serve(exchange: Exchange, key: RequestKey, storedKey: string, asking: Asking, entry: StoredEntry, body: Buffer): boolean {
    const age = entry.initialAge + (this.#cache.now() - entry.storedAt);
    const use = useOf(entry, age, asking);
    if (use === Use.Validate) return false;
    const results = this.#cache.results(exchange.routeId);
    if (use === Use.Fresh) {
      results.hit++;
      this.tell(exchange, 'hit');
    } else {
      results.stale++;
      this.tell(exchange, `hit; ttl=${Math.ceil((entry.lifetime - age) / 1000)}`);
      if (use === Use.StaleMeanwhile) this.#refresh(exchange, key, storedKey, { entry, body });
    }
    const fields = fieldsOfHead(entry);
    setAge(fields, age);
    const reason = use === Use.Fresh ? 'cache_hit' : 'cache_stale';
    giveWhole(exchange, asking, { status: entry.status, fields, receivedAt: entry.receivedAt, reason }, body, hasNoBody(entry));
    return true;
  }

  /** Once in the pod. */
  #refresh(exchange: Exchange, key: RequestKey, storedKey: string, validated: Validated): void {
    if (this.#cache.flights.has(storedKey)) return;
    const claim = this.#cache.memory.claim(key.url, storedKey);
    if (claim >= 0) return;
    if (claim === Claim.Ours && this.#hasChanged(key, storedKey, validated)) this.#cache.release(key.url, storedKey);
    else this.#flight(exchange, key, storedKey, validated).begin(exchange, undefined, true, false, claim === Claim.Ours);
  }

  #hasChanged({ url }: RequestKey, storedKey: string, validated: Validated | undefined): boolean {
    const now = this.#cache.memory.find(url, storedKey);
    const before = validated?.entry;
    return now?.block !== before?.block || now?.generation !== before?.generation;
  }

  #flight(exchange: Exchange, key: RequestKey, storedKey: string, validated: Validated | undefined): Flight {
    return new Flight(this.#cache, this.#spec, key, storedKey, exchange.requestFields, validated, this);
  }

  #fetch(waiter: Waiter, key: RequestKey, storedKey: string, validated: Validated | undefined): Verdict {
    const { exchange, asking } = waiter;
    // What the client has is its own affair, as long as there is nothing here to validate: it gets what the backend makes of it.
    const keepsConditions = asking.isConditional && validated === undefined;
    const found = this.#cache.flights.get(storedKey);
    if (found?.isOpen === true && !keepsConditions && !isDemanded(asking)) {
      queueMicrotask(() => found.joinLate(waiter));
      return Verdict.Waiting;
    }
    const shared = found === undefined && !keepsConditions && this.#cache.isShared(storedKey);
    const claim = shared ? this.#cache.memory.claim(key.url, storedKey) : Claim.None;
    if (claim >= 0 && !isDemanded(asking)) {
      this.#cache.awaitOther(claim, storedKey, waiter, this);
      return Verdict.Waiting;
    }
    // Another worker may have ended its request for the same since this one has looked.
    if (claim === Claim.Ours && this.#hasChanged(key, storedKey, validated)) {
      this.#cache.release(key.url, storedKey);
      return this.#look(exchange, key, asking);
    }
    this.#flight(exchange, key, storedKey, validated).begin(exchange, waiter, shared, keepsConditions, claim === Claim.Ours);
    return Verdict.Waiting;
  }

  // --- what flights do with requests ---

  tell(exchange: Exchange, status: string): void {
    keepState(exchange, FilterSlot.cache, status);
  }

  alone({ exchange, forwarded }: Waiter): void {
    this.#cache.results(exchange.routeId).miss++;
    this.tell(exchange, forwarded);
    exchange.resume();
  }

  again({ exchange, asking }: Waiter): void {
    try {
      const key = keyOf(exchange, this.#spec);
      if (key === undefined || this.#look(exchange, key, asking) !== Verdict.Waiting) exchange.resume();
    } catch (error) {
      exchange.fail(error);
    }
  }
}

/** The client asks for more than that the answer is fresh. */
function isDemanded({ fresh, maxAge, minFresh }: Asking): boolean {
  return fresh || maxAge !== Number.POSITIVE_INFINITY || minFresh > 0;
}

/** The URL that a Location names, as keys have it, if it is of the same origin. */
function sameOrigin(target: string, url: string, origin: string, varyOnQuery: readonly string[]): string | undefined {
  const found = URL.parse(target, url);
  if (found === null || originOf(found.protocol.slice(0, -1), found.hostname, found.host) !== origin) return undefined;
  const path = normalizePath(found.pathname);
  const query = queryPart(found.search, varyOnQuery);
  return path === undefined || query === undefined ? undefined : origin + path + query;
}
