/** Cache-Control (RFC 9111 section 5.2) and the dates of HTTP (RFC 9110 section 5.6.7). */

/**
 * The directives of a message, by lower-case name: the argument without its quotes, '' where there is none. A directive that
 * is there twice with different arguments says nothing that could be relied on: see `CONFLICT`.
 */
export type Directives = ReadonlyMap<string, string>;

/** Argument of a directive that contradicts itself; no number, and no name of a field. */
export const CONFLICT = '\0';

const NOTHING: Directives = new Map();

/**
 * @param lines values of the fields, in order
 * @returns what could be read; of a directive that is broken only its name, so that what forbids still forbids
 */
export function parseDirectives(lines: readonly string[]): Directives {
  if (lines.length === 0) return NOTHING;
  const directives = new Map<string, string>();
  // A quoted string may hold commas; one that does not end takes the rest.
  for (const match of lines.join(',').matchAll(/([^\s,="]+)[^\S\n]*(?:=[^\S\n]*("(?:[^"\\]|\\.)*"?|[^,"]*))?/g)) {
    const name = (match[1] as string).toLowerCase();
    const written = (match[2] ?? '').trim();
    const argument = written.startsWith('"') ? written.replace(/^"|"$/g, '').replace(/\\(.)/g, '$1') : written;
    const before = directives.get(name);
    directives.set(name, before === undefined || before === argument ? argument : CONFLICT);
  }
  return directives;
}

/** Beyond it a number of seconds is as good as for ever (RFC 9111 section 1.2.2). */
const MAX_SECONDS = 2 ** 31;

/**
 * The seconds that a directive names.
 * @returns undefined where it is not there; NaN where it names no number of seconds
 */
export function secondsOf(directives: Directives, name: string): number | undefined {
  const argument = directives.get(name);
  if (argument === undefined) return undefined;
  return /^\d+$/.test(argument) ? Math.min(Number(argument), MAX_SECONDS) : Number.NaN;
}

/**
 * The fields that `private` or `no-cache` is about.
 * @returns undefined where the directive is not there; empty: the whole message, also where the list can't be read
 */
export function fieldsOf(directives: Directives, name: string): readonly string[] | undefined {
  const argument = directives.get(name);
  if (argument === undefined) return undefined;
  const names = argument.split(',').map((part) => part.trim().toLowerCase());
  return names.every((field) => /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(field)) ? names : [];
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const IMF = /^(?:mon|tue|wed|thu|fri|sat|sun), (\d\d) ([a-z]{3}) (\d{4}) (\d\d):(\d\d):(\d\d) gmt$/i;
const RFC850 = /^(?:mon|tues|wednes|thurs|fri|satur|sun)day, (\d\d)-([a-z]{3})-(\d\d) (\d\d):(\d\d):(\d\d) gmt$/i;
const ASCTIME = /^(?:mon|tue|wed|thu|fri|sat|sun) ([a-z]{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/i;

/** @returns milliseconds since the epoch; undefined where it is none of the three forms of a date */
export function parseHttpDate(text: string, now = Date.now()): number | undefined {
  const imf = IMF.exec(text);
  if (imf !== null) return timeOf(imf[3], imf[2], imf[1], imf[4], imf[5], imf[6]);
  const rfc850 = RFC850.exec(text);
  if (rfc850 !== null) {
    // A year more than 50 years ahead is meant to be in the past.
    const century = Math.floor(new Date(now).getUTCFullYear() / 100) * 100;
    const year = century + Number(rfc850[3]);
    return timeOf(String(year > new Date(now).getUTCFullYear() + 50 ? year - 100 : year), rfc850[2], rfc850[1], rfc850[4], rfc850[5], rfc850[6]);
  }
  const asctime = ASCTIME.exec(text);
  return asctime === null ? undefined : timeOf(asctime[6], asctime[1], asctime[2], asctime[3], asctime[4], asctime[5]);
}

type Part = string | undefined;

function timeOf(year: Part, month: Part, day: Part, hour: Part, minute: Part, second: Part): number | undefined {
  const index = MONTHS.indexOf((month ?? '').toLowerCase());
  // A leap second is there, and as good as the one before it.
  const time = Date.UTC(Number(year), index, Number(day), Number(hour), Number(minute), Math.min(Number(second), 59));
  const date = new Date(time);
  if (index < 0 || date.getUTCDate() !== Number(day) || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined;
  return time;
}
