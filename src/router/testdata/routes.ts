/** Routes and requests for tests, with defaults for what a test does not care about. */
import { parseCookies } from '../../exchange/cookies.ts';
import { parseQuery } from '../../exchange/query.ts';
import type { FieldMatch, HostPattern, Match, PathMatch } from '../../snapshot/match.ts';
import type { Route } from '../../snapshot/route.ts';
import type { Routable } from '../router.ts';

/** `*` any host, `*.x` any labels, `+.x` one label, else exact. */
export function host(text: string): HostPattern {
  if (text === '*') return { type: 'Any' };
  if (text.startsWith('*.')) return { type: 'Suffix', value: text.slice(2) };
  if (text.startsWith('+.')) return { type: 'OneLabel', value: text.slice(2) };
  return { type: 'Exact', value: text };
}

/** `=/a` exact, `~/a.*` regular expression, else prefix; of exact and prefix `{a}` names a segment. */
export function path(text: string): PathMatch {
  if (text.startsWith('=')) return named({ type: 'Exact', value: text.slice(1) });
  if (text.startsWith('~')) return { type: 'RegularExpression', value: text.slice(1) };
  return named({ type: 'PathPrefix', value: text });
}

function named(match: PathMatch): PathMatch {
  if (!match.value.includes('{')) return match;
  const elements = match.value.slice(1).split('/');
  return { ...match, names: elements.map((element) => (element.startsWith('{') ? element.slice(1, -1) : '')) };
}

/** `name` present, `name=value` exact, `name~pattern` regular expression. */
export function field(text: string): FieldMatch {
  const [, name, sign, value] = /^([^=~]*)([=~]?)(.*)$/s.exec(text) as unknown as [string, string, string, string];
  return { name, type: sign === '' ? 'Present' : sign === '=' ? 'Exact' : 'RegularExpression', value };
}

export interface MatchText {
  readonly path?: string;
  readonly methods?: readonly string[];
  readonly headers?: readonly string[];
  readonly query?: readonly string[];
  readonly cookies?: readonly string[];
  readonly cidrs?: readonly string[];
  readonly scheme?: 'http' | 'https';
}

export function match(text: MatchText): Match {
  return {
    path: path(text.path ?? '/'),
    ...(text.methods === undefined ? {} : { methods: text.methods }),
    headers: (text.headers ?? []).map(field),
    queryParams: (text.query ?? []).map(field),
    cookies: (text.cookies ?? []).map(field),
    ...(text.cidrs === undefined ? {} : { clientCIDRs: text.cidrs }),
    ...(text.scheme === undefined ? {} : { scheme: text.scheme }),
  };
}

export interface RouteText {
  readonly hosts?: readonly string[];
  readonly matches?: readonly MatchText[];
  readonly isDefaultBackend?: boolean;
}

/** @param rank smaller wins among equals */
export function route(name: string, rank: number, text: RouteText, more: Partial<Route> = {}): Route {
  return {
    id: `ApiRoute/default/${name}/0`,
    kind: 'ApiRoute',
    namespace: 'default',
    name,
    rule: '0',
    hosts: (text.hosts ?? ['*']).map(host),
    matches: (text.matches ?? [{}]).map(match),
    rank,
    isDefaultBackend: text.isDefaultBackend ?? false,
    httpsRedirect: false,
    filters: {},
    timeouts: { request: 300_000, backendRequest: 60_000, idle: 60_000 },
    backends: [{ upstream: `default/${name}/80`, weight: 1, backup: false }],
    ...more,
  };
}

export interface RequestText {
  readonly host?: string;
  readonly path?: string;
  /** With its `?`. */
  readonly query?: string;
  readonly method?: string;
  readonly scheme?: 'http' | 'https';
  readonly client?: string;
  /** Name (lower-case) and value. */
  readonly headers?: readonly (readonly [string, string])[];
}

export function request(text: RequestText): Routable {
  const headers = text.headers ?? [];
  const headerValues = (name: string): readonly string[] => headers.filter(([other]) => other === name).map(([, value]) => value);
  const params = parseQuery(text.query ?? '');
  const cookies = parseCookies(headerValues('cookie'));
  return {
    host: text.host ?? 'example.com',
    path: text.path ?? '/',
    method: text.method ?? 'GET',
    scheme: text.scheme ?? 'http',
    clientAddress: text.client ?? '192.0.2.1',
    headerValues,
    queryParam: (name) => params.get(name),
    cookie: (name) => cookies.get(name),
  };
}
