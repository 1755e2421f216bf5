/** Cookies of a request. */
import type { Fields } from './fields.ts';

/**
 * Reads Cookie fields as servers do (RFC 6265 section 5.4): pairs parted by semicolons, values as they stand, quotes and
 * escapes included. A piece without `=` names no cookie and is skipped.
 *
 * @param values the values of all Cookie fields, in order
 * @returns by name, case kept; of a repeated name the first counts, being the one with the most specific path
 */
export function parseCookies(values: readonly string[]): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>();
  for (const value of values) {
    let start = 0;
    while (start < value.length) {
      let end = value.indexOf(';', start);
      if (end < 0) end = value.length;
      const equals = value.indexOf('=', start);
      if (equals >= 0 && equals < end) {
        const name = value.slice(start, equals).trim();
        if (name !== '' && !cookies.has(name)) cookies.set(name, value.slice(equals + 1, end).trim());
      }
      start = end + 1;
    }
  }
  return cookies;
}

/** Takes the cookies of that name out of a request's Cookie fields. */
export function withoutCookie(fields: Fields, name: string): void {
  withoutCookies(fields, (one) => one === name);
}

/** Takes cookies out of a request's Cookie fields, which stay as they are where there is nothing to take. @param isTaken by name and value */
export function withoutCookies(fields: Fields, isTaken: (name: string, value: string) => boolean): void {
  const values = fields.getAll('cookie');
  if (values.length === 0) return;
  const pairs = values.flatMap((value) => value.split(';')).map((pair) => pair.trim());
  const kept = pairs.filter((pair) => {
    const equals = Math.max(0, pair.indexOf('='));
    return pair !== '' && !isTaken(pair.slice(0, equals).trim(), pair.slice(equals + 1).trim());
  });
  if (kept.length === 0) fields.remove('cookie');
  else if (kept.length < pairs.length || values.length > 1) fields.set('Cookie', kept.join('; '));
}

/** How often a cookie of that name is there. */
export function countCookies(fields: Fields, name: string): number {
  return fields
    .getAll('cookie')
    .flatMap((value) => value.split(';'))
    .filter((pair) => pair.includes('=') && pair.slice(0, pair.indexOf('=')).trim() === name).length;
}
