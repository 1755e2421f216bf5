/** What a stored answer is found by: the URL, the route, and the request's fields that the answer depends on. */
import type { Exchange } from '../../exchange/exchange.ts';
import { FieldKind, maskOf } from '../../exchange/field-names.ts';
import type { Fields } from '../../exchange/fields.ts';
import { normalizePath } from '../../exchange/path.ts';
import type { CacheSpec } from '../../snapshot/cache.ts';

/** Separates the parts of a key; in none of them. */
const PART = '\n';

const FORWARDED = maskOf(FieldKind.XForwardedHost, FieldKind.XForwardedPort, FieldKind.XForwardedProto, FieldKind.XForwardedOther, FieldKind.Forwarded);

/**
 * The URL as keys have it: scheme, lower-case host, the port where it is not the scheme's own, normalised path. The query is
 * apart, and so is what else keys hold. Purges and invalidations go by it.
 * @param authority as the client wrote it; known to be good
 */
export function originOf(scheme: string, host: string, authority: string): string {
  const colon = authority.lastIndexOf(':');
  const port = colon > authority.lastIndexOf(']') ? authority.slice(colon + 1) : '';
  return port === '' || port === (scheme === 'https' ? '443' : '80') ? `${scheme}://${host}` : `${scheme}://${host}:${Number(port)}`;
}

/**
 * The query's part of the key.
 * @param names parameters that are in it; none: the whole query
 * @returns undefined where nobody can say which parameters a backend would see
 */
export function queryPart(query: string, names: readonly string[]): string | undefined {
  if (names.length === 0 || query === '') return query;
  // Some take a semicolon for an ampersand: what is hidden behind one would not be in the key.
  if (/;|%3b/i.test(query)) return undefined;
  const wanted = new Set(names.map(asBackendsRead));
  const kept: string[] = [];
  for (const pair of query.slice(1).split('&')) {
    const equals = pair.indexOf('=');
    const name = decoded(equals < 0 ? pair : pair.slice(0, equals));
    if (name === undefined) return undefined;
    if (wanted.has(asBackendsRead(name))) kept.push(pair);
  }
  // Backends differ in which of several counts, so their order stays; that of different names says nothing.
  return kept.length === 0 ? '' : `?${kept.sort((one, other) => compare(one.split('=')[0] ?? '', other.split('=')[0] ?? '')).join('&')}`;
}

/**
 * Names that some backend takes for one and the same have the same form here: what would reach it by another way of writing
 * has to be in the key. PHP reads `a[]`, ` a` and `a%00b` as `a`, and dots and blanks as underscores; ASP.NET does not look at case.
 */
function asBackendsRead(name: string): string {
  const end = name.search(/[[\0]/);
  return (end < 0 ? name : name.slice(0, end)).trim().replace(/[. ]/g, '_').toLowerCase();
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function decoded(name: string): string | undefined {
  try {
    return decodeURIComponent(name.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}

export interface RequestKey {
  /** Scheme, host and path; with the query: the URL. */
  readonly url: string;
  /**
   * `url`, the route, what it makes of requests, what a trusted proxy says of where this one came in, and the query that the backend gets where that
   * is another one.
   */
  readonly primary: string;
}

/** @returns undefined where the request has no key */
export function keyOf(exchange: Exchange, { varyOnQuery, asks = '' }: CacheSpec): RequestKey | undefined {
  const { scheme, host, path, query, upstreamQuery, authority, requestFields, peer } = exchange;
  if (host === '' || !path.startsWith('/')) return undefined;
  const part = queryPart(query, varyOnQuery);
  if (part === undefined) return undefined;
  const url = originOf(scheme, host, authority) + path + part;
  // Of an untrusted peer these are the gateway's own words, and follow from what is in the key anyway.
  const via = peer.forwarding === undefined && requestFields.mayHave(FORWARDED) ? forwardedPart(requestFields) : '';
  // Who authenticates may have put something in that says whose request it is, or have taken a credential out.
  const isLess = varyOnQuery.length > 0 && isLeftOf(query, upstreamQuery);
  const sent = upstreamQuery === query || isLess ? '' : `=${upstreamQuery}`;
  // The same host to routes, and another origin to browsers, if a backend makes links of it. Apart: at the end of the URL it would be one of the path's.
  const dot = DOTTED.test(authority) ? '.' : '';
  return { url, primary: `${url}${PART}${dot}${PART}${exchange.routeId}${PART}${asks}${PART}${via}${PART}${sent}` };
}

/** A host that is written with a dot at its end. */
const DOTTED = /\.(?::\d*)?$/;

/** Whether parameters were taken out of a query, and nothing else was done to it. */
function isLeftOf(query: string, upstreamQuery: string): boolean {
  if (upstreamQuery === '') return true;
  const pairs = query.slice(1).split('&');
  let next = 0;
  for (const left of upstreamQuery.slice(1).split('&')) {
    const found = pairs.indexOf(left, next);
    if (found < 0) return false;
    next = found + 1;
  }
  return true;
}

const FORWARDED_NAMES = ['forwarded', 'x-forwarded-host', 'x-forwarded-port', 'x-forwarded-proto', 'x-forwarded-prefix', 'x-forwarded-scheme'] as const;

function forwardedPart(fields: Fields): string {
  return FORWARDED_NAMES.map((name) => fields.getAll(name).join(',')).join('\t');
}

/** Fields whose members may stand in any order, and in any case but for Accept (RFC 9110 section 12.5). */
const LISTS = new Set(['accept', 'accept-charset', 'accept-encoding', 'accept-language']);

/**
 * The key of the answer to one request, of those that a URL has (RFC 9111 section 4.1).
 * @param names lower-case, sorted
 */
export function variantKey(primary: string, names: readonly string[], fields: Fields): string {
  if (names.length === 0) return primary;
  return primary + names.map((name) => `${PART}${name}:${varyValue(name, fields.getAll(name))}`).join('');
}

function varyValue(name: string, values: readonly string[]): string {
  // Absent is another thing than empty.
  if (values.length === 0) return '\0';
  const joined = values.join(', ');
  // As it is: to look for blanks round commas would cost the square of a long row of blanks.
  if (!LISTS.has(name)) return joined;
  const lower = name === 'accept' ? joined : joined.toLowerCase();
  return lower
    .split(',')
    .map((member) => member.replace(/[ \t]+/g, ''))
    .filter((member) => member !== '')
    .map((member) => member.replace(/;q=1(?:\.0*)?$/i, ''))
    .sort()
    .join(',');
}

/**
 * What a purge takes, by URLs as keys have them. The query plays no part.
 * @param host with a port: that one alone; without: whatever the port
 * @param path normalised as a request's; with a `*` at its end: whatever begins so
 */
export function purgeOf({ host, path }: { readonly host: string | undefined; readonly path: string | undefined }): (url: string) => boolean {
  const wanted = host?.toLowerCase();
  const isPrefix = path?.endsWith('*') === true;
  const bare = isPrefix ? path?.slice(0, -1) : path;
  // One that no request can have purges nothing.
  const normal = bare === undefined ? undefined : (normalizePath(bare) ?? '');
  return (url) => {
    const start = url.indexOf('://') + 3;
    const slash = url.indexOf('/', start);
    const authority = url.slice(start, slash);
    if (wanted !== undefined && authority !== wanted && authority.replace(/:\d+$/, '') !== wanted) return false;
    if (normal === undefined) return true;
    const query = url.indexOf('?', slash);
    const found = query < 0 ? url.slice(slash) : url.slice(slash, query);
    return isPrefix ? normal !== '' && found.startsWith(normal) : found === normal;
  };
}
