/** Matches, hosts and durations as people would say them, for messages and for `explain`. */
import type { FieldMatch, HostPattern, Match, PathMatch } from './match.ts';

export function describeHost(pattern: HostPattern): string {
  switch (pattern.type) {
    case 'Any':
      return 'any host';
    case 'Exact':
      return pattern.value;
    case 'Suffix':
      return `*.${pattern.value}`;
    case 'OneLabel':
      return `*.${pattern.value} (one label)`;
  }
}

/** Statuses hold several such lines, and users may write values of any length. */
const MOST_CHARACTERS = 300;

/** The whole of a match on one line; cut where it is long. */
export function describeMatch(match: Match): string {
  const [path, ...others] = describeParts(match);
  const line = others.length === 0 ? String(path) : `${path} with ${others.join(', ')}`;
  return line.length <= MOST_CHARACTERS ? line : `${line.slice(0, MOST_CHARACTERS)}...`;
}

/** Each part of a match, the path first. */
export function describeParts(match: Match): readonly string[] {
  return [
    describePath(match.path),
    ...(match.methods === undefined ? [] : [`method ${match.methods.join(' or ')}`]),
    ...match.headers.map((header) => `header ${describeField(header)}`),
    ...match.queryParams.map((param) => `query parameter ${describeField(param)}`),
    ...match.cookies.map((cookie) => `cookie ${describeField(cookie)}`),
    ...(match.clientCIDRs === undefined ? [] : [`client in ${match.clientCIDRs.join(', ')}`]),
    ...(match.scheme === undefined ? [] : [`scheme ${match.scheme}`]),
  ];
}

export function describePath({ type, value }: PathMatch): string {
  return `${type} ${value}`;
}

/** Reads well after "header" and after "expected". */
export function describeField({ name, type, value }: FieldMatch): string {
  switch (type) {
    case 'Present':
      return `${name} present`;
    case 'Exact':
      return `${name} = ${JSON.stringify(value)}`;
    case 'RegularExpression':
      return `${name} matching ${JSON.stringify(value)}`;
  }
}

const UNITS = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const;

/** As Gateway API and manifests write durations: `1m30s`. @param milliseconds a whole number */
export function describeDuration(milliseconds: number): string {
  let rest = milliseconds;
  let text = '';
  for (const [unit, length] of UNITS) {
    const amount = Math.floor(rest / length);
    rest -= amount * length;
    if (amount > 0) text += `${amount}${unit}`;
  }
  return text === '' ? '0s' : text;
}
