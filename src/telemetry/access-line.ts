/** The lines of the access log: one JSON object each. */
import type { CallRecord } from '../exchange/calls.ts';
import { latin1Copy } from '../exchange/latin1-copy.ts';
import type { LogOpening } from '../exchange/peer.ts';
import { redactUrl } from './redact-url.ts';

/** What the log says of one exchange. Empty texts and zero `upstreamStatus` are left out of the line. */
export interface AccessRecord {
  readonly requestId: string;
  readonly clientIp: string;
  readonly method: string;
  readonly host: string;
  /** With its query; see `redactUrl`. */
  readonly path: string;
  readonly protocol: string;
  readonly status: number;
  readonly reason: string;
  /** Names of rate limits in mode Shadow that would have refused the request, with commas between. */
  readonly shadowRefusals: string;
  /** Body bytes. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly durationMs: number;
  readonly route: string;
  readonly upstream: string;
  readonly endpoint: string;
  readonly upstreamStatus: number;
  readonly upstreamMs: number;
  readonly attempts: number;
  readonly userAgent: string;
  readonly referer: string;
  readonly traceId: string;
  /** Name of the ApiConsumer; absent: none. */
  readonly consumer?: string | undefined;
  /** Calls of the gateway for it; absent: none. */
  readonly calls?: readonly CallRecord[] | undefined;
  readonly tlsVersion: string;
  readonly sni: string;
  /** Keeps what lines of its requests have in common; absent: there is no connection, or it has no further requests. */
  readonly peer?: { logOpening?: LogOpening | undefined } | undefined;
}

/**
 * Makes lines, of ASCII characters alone. What comes again and again (clients, routes, endpoints) is kept with its names and its
 * quotes, so that a line is put together from few pieces.
 */
export class AccessLines {
  readonly #now: () => number;
  #millisecond = -1;
  #second = -1;
  #begin = '';
  #time = '';
  readonly #statuses = new Map<string, string[]>();
  readonly #places = new Places();
  readonly #userAgents = new Pieces(',"userAgent":');
  readonly #consumers = new Pieces(',"consumer":');

  /** @param now milliseconds since the epoch */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** @returns the line with its newline */
  line(record: AccessRecord): string {
    let line = this.#beginning() + record.requestId + opening(record) + inner(redactUrl(record.path)) + this.#status(record);
    if (record.reason !== '') line += `,"reason":"${record.reason}"`;
    if (record.shadowRefusals !== '') line += `,"shadowRefusals":${quote(record.shadowRefusals)}`;
    line += record.requestBytes === 0 ? ',"requestBytes":0,"responseBytes":' : `,"requestBytes":${record.requestBytes},"responseBytes":`;
    // As text from the start: what adds a number to a text asks anew each time what it is given.
    line += `${record.responseBytes},"durationMs":`;
    line += milliseconds(record.durationMs);
    line += this.#places.of(record);
    if (record.upstreamStatus !== 0) {
      line += upstreamStatus(record.upstreamStatus);
      line += milliseconds(record.upstreamMs);
    }
    line += record.attempts === 1 ? ',"attempts":1' : `,"attempts":${record.attempts}`;
    if (record.userAgent !== '') line += this.#userAgents.of(record.userAgent);
    if (record.referer !== '') line += `,"referer":${quote(redactUrl(record.referer))}`;
    if (record.traceId !== '') line += `,"traceId":"${record.traceId}"`;
    if (record.consumer !== undefined) line += this.#consumers.of(record.consumer);
    if (record.calls !== undefined) line += `,"calls":[${record.calls.map(callOf).join(',')}]`;
    if (record.tlsVersion !== '') line += `,"tlsVersion":"${record.tlsVersion}"`;
    if (record.sni !== '') line += `,"sni":${quote(record.sni)}`;
    return `${line}}\n`;
  }

  /** With the time (RFC 3339, milliseconds), up to the request id. */
  #beginning(): string {
    const now = this.#now();
    if (now !== this.#millisecond) {
      this.#millisecond = now;
      const second = Math.floor(now / 1000);
      if (second !== this.#second) {
        this.#second = second;
        this.#begin = `{"time":"${new Date(second * 1000).toISOString().slice(0, 19)}`;
      }
      this.#time = this.#begin + (THOUSANDTHS[now - second * 1000] as string);
    }
    return this.#time;
  }

  /** From behind the path to the status. */
  #status({ protocol, status }: AccessRecord): string {
    let pieces = this.#statuses.get(protocol);
    if (pieces === undefined) {
      pieces = [];
      this.#statuses.set(protocol, pieces);
    }
    pieces[status] ??= latin1Copy(`","protocol":${quote(protocol)},"status":${status}`);
    return pieces[status];
  }
}

/** From behind the request id into the quotes of the path. Most requests of a connection have the same, which is kept with it. */
function opening({ clientIp, method, host, peer }: AccessRecord): string {
  const known = peer?.logOpening;
  if (known === undefined || known.host !== host || known.clientIp !== clientIp || known.method !== method) {
    const text = `","clientIp":"${clientIp}","method":${quote(method)},"host":${quote(host)},"path":"`;
    if (peer !== undefined) peer.logOpening = { clientIp, method, host, text, isFlat: false };
    return text;
  }
  if (!known.isFlat) {
    // In pieces it would be put together anew for each line; a connection with one request has no use for a copy.
    known.text = latin1Copy(known.text);
    known.isFlat = true;
  }
  return known.text;
}

const UPSTREAM_STATUSES: string[] = [];

function upstreamStatus(status: number): string {
  UPSTREAM_STATUSES[status] ??= latin1Copy(`,"upstreamStatus":${status},"upstreamMs":`);
  return UPSTREAM_STATUSES[status];
}

function callOf({ name, status, ms, reason }: CallRecord): string {
  const why = reason === '' ? '' : `,"reason":"${reason}"`;
  return `{"name":${quote(name)},"status":${status},"ms":${milliseconds(ms)}${why}}`;
}

/** How many values are kept of a kind; clients can send as many hosts and user agents as they like. */
const MAX_PIECES = 1000;
/** Longer values are not kept. */
const MAX_LENGTH = 300;

/** Quoted values that come again and again, each with what stands before it. */
class Pieces {
  readonly #before: string;
  readonly #pieces = new Map<string, string>();

  constructor(before: string) {
    this.#before = before;
  }

  of(value: string): string {
    return this.#pieces.get(value) ?? this.#add(value);
  }

  #add(value: string): string {
    const piece = this.#before + quote(value);
    if (value.length > MAX_LENGTH) return piece;
    if (this.#pieces.size >= MAX_PIECES) this.#pieces.clear();
    // They outlive the heads; and what was joined is in one piece then.
    this.#pieces.set(latin1Copy(value), latin1Copy(piece));
    return piece;
  }
}

/** Where a request went: route, upstream and endpoint in one piece, by route and endpoint. */
class Places {
  readonly #byRoute = new Map<string, Map<string, Place>>();
  #count = 0;

  of({ route, upstream, endpoint }: AccessRecord): string {
    const place = this.#byRoute.get(route)?.get(endpoint);
    return place?.upstream === upstream ? place.text : this.#add(route, upstream, endpoint);
  }

  #add(route: string, upstream: string, endpoint: string): string {
    let text = route === '' ? '' : `,"route":${quote(route)}`;
    if (upstream !== '') text += `,"upstream":${quote(upstream)}`;
    if (endpoint !== '') text += `,"endpoint":${quote(endpoint)}`;
    if (this.#count >= MAX_PIECES) {
      this.#byRoute.clear();
      this.#count = 0;
    }
    let places = this.#byRoute.get(route);
    if (places === undefined) {
      places = new Map();
      this.#byRoute.set(route, places);
    }
    if (!places.has(endpoint)) this.#count++;
    places.set(endpoint, { upstream, text: latin1Copy(text) });
    return text;
  }
}

interface Place {
  /** Services may share an endpoint. */
  readonly upstream: string;
  readonly text: string;
}

const UNSAFE = /[^\x20\x21\x23-\x5b\x5d-\x7e]/;
const NOT_ASCII = /[^\x20-\x7e]/g;

function quote(text: string): string {
  return `"${inner(text)}"`;
}

/** What stands within the quotes. */
function inner(text: string): string {
  return UNSAFE.test(text) ? JSON.stringify(text).slice(1, -1).replace(NOT_ASCII, escaped) : text;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** `.000Z","requestId":"` to `.999Z...`: what follows a time's whole seconds. */
const THOUSANDTHS: readonly string[] = Array.from({ length: 1000 }, (_, index) => `.${String(index).padStart(3, '0')}Z","requestId":"`);
/** Decimals without the zeros at their end; empty for none. */
const DECIMALS: readonly string[] = Array.from({ length: 1000 }, (_, index) => (index === 0 ? '' : `.${String(index).padStart(3, '0').replace(/0+$/, '')}`));

/** Most times are below a second, and their texts need not be looked for. */
const WHOLES: readonly string[] = Array.from({ length: 1000 }, (_, index) => String(index));

/** To the microsecond. Whole numbers are cheap to write; a fraction's shortest form has to be searched for. */
function milliseconds(value: number): string {
  const microseconds = Math.round(value * 1000);
  const whole = Math.floor(microseconds / 1000);
  return (WHOLES[whole] ?? String(whole)) + (DECIMALS[microseconds - whole * 1000] as string);
}
