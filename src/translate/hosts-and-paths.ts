/** Hosts and paths of manifests in the normal form that requests are compared in. */
import { normalizePath } from '../exchange/path.ts';
import type { HostPattern, PathMatch } from '../snapshot/match.ts';

export const ANY_HOST: HostPattern = { type: 'Any' };

/**
 * @param host lower-case name, or `*.` and one; absent: any host
 * @param wildcard how many labels `*` covers: `OneLabel` in an Ingress, `Suffix` (any number) in an ApiRoute
 */
export function hostPattern(host: string | undefined, wildcard: 'OneLabel' | 'Suffix'): HostPattern {
  if (host === undefined) return ANY_HOST;
  return host.startsWith('*.') ? { type: wildcard, value: host.slice(2) } : { type: 'Exact', value: host };
}

/** Whether some host fits both. */
export function hostsOverlap(one: HostPattern, other: HostPattern): boolean {
  if (one.type === 'Any' || other.type === 'Any') return true;
  if (one.type === 'Exact') return other.type === 'Exact' ? one.value === other.value : isBelow(one.value, other);
  if (other.type === 'Exact') return isBelow(other.value, one);
  if (one.value === other.value) return true;
  // The longer one's labels are among those that the shorter one's wildcard covers; one label covers none of several.
  const [longer, shorter] = one.value.length > other.value.length ? [one, other] : [other, one];
  return shorter.type === 'Suffix' && longer.value.endsWith(`.${shorter.value}`);
}

/** @param wildcard of type OneLabel or Suffix */
function isBelow(host: string, wildcard: Exclude<HostPattern, { readonly type: 'Any' }>): boolean {
  if (!host.endsWith(`.${wildcard.value}`)) return false;
  return wildcard.type === 'Suffix' || !host.slice(0, -wildcard.value.length - 1).includes('.');
}

/** Whether `pattern`, written in a certificate or a list of hosts, covers `host`; `*` there covers one label (RFC 6125 section 6.4.3). */
export function coversHost(pattern: string, host: HostPattern): boolean {
  if (host.type === 'Any') return true;
  const written = host.type === 'Exact' ? host.value : `*.${host.value}`;
  if (pattern === written) return true;
  if (!pattern.startsWith('*.') || host.type !== 'Exact') return false;
  const dot = host.value.indexOf('.');
  return dot > 0 && host.value.slice(dot + 1) === pattern.slice(2);
}

/** As `pathMatch`, but `{name}` in Exact and PathPrefix takes any element; the schema has judged the braces. */
export function namedPathMatch(type: PathMatch['type'], value: string): PathMatch | undefined {
  const path = pathMatch(type, value);
  if (path === undefined || type === 'RegularExpression' || !path.value.includes('{')) return path;
  const names = path.value
    .slice(1)
    .split('/')
    .map((element) => (element.startsWith('{') ? element.slice(1, -1) : ''));
  return { ...path, names };
}

/**
 * @param value as written: characters that a request would percent-encode may stand plainly
 * @returns undefined when no request can have such a path: it has an encoded slash, backslash or NUL, a raw backslash,
 *   `?`, `#`, or a `%` that escapes nothing
 */
export function pathMatch(type: PathMatch['type'], value: string): PathMatch | undefined {
  if (type === 'RegularExpression') return { type, value };
  const normal = normalizePath(value.toWellFormed().replace(/[^\x21-\x7e]+/g, encodeURIComponent));
  if (normal === undefined) return undefined;
  if (type === 'Exact') return { type, value: normal };
  // Whole elements are compared, so that a trailing slash means nothing (Ingress: "/foo/" matches "/foo").
  let end = normal.length;
  while (end > 1 && normal.charCodeAt(end - 1) === 0x2f) end--;
  return { type, value: normal.slice(0, end) };
}
