/** The lines of the access log: one JSON object each. */
import type { CallRecord } from '../exchange/calls.ts';
import { latin1Copy } from '../exchange/latin1-copy.ts';
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
}

/**
 * Makes lines. What comes again and again (routes, endpoints, hosts) is kept with its name and its quotes, so that a line
 * is put together from few pieces.
 */
export class AccessLines {
  readonly #now: () => number;
  #second = -1;
  #begin = '';
  readonly #methods = new Pieces('","method":');
  readonly #hosts = new Pieces(',"host":');
  readonly #protocols = new Pieces(',"protocol":');
  readonly #routes = new Pieces(',"route":');
  readonly #upstreams = new Pieces(',"upstream":');
  readonly #endpoints = new Pieces(',"endpoint":');
  readonly #userAgents = new Pieces(',"userAgent":');

  /** @param now milliseconds since the epoch */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** @returns the line with its newline */
  line(record: AccessRecord): string {
    let line =
      this.#time() +
      record.requestId +
      '","clientIp":"' +
      record.clientIp +
      this.#methods.of(record.method) +
      this.#hosts.of(record.host) +
      ',"path":' +
      quote(redactUrl(record.path)) +
      this.#protocols.of(record.protocol) +
      ',"status":' +
      record.status;
    if (record.reason !== '') line += `,"reason":"${record.reason}"`;
    if (record.shadowRefusals !== '') line += `,"shadowRefusals":${quote(record.shadowRefusals)}`;
    line += `,"requestBytes":${record.requestBytes},"responseBytes":${record.responseBytes},"durationMs":${milliseconds(record.durationMs)}`;
    if (record.route !== '') line += this.#routes.of(record.route);
    if (record.upstream !== '') line += this.#upstreams.of(record.upstream);
    if (record.endpoint !== '') line += this.#endpoints.of(record.endpoint);
    if (record.upstreamStatus !== 0) line += `,"upstreamStatus":${record.upstreamStatus},"upstreamMs":${milliseconds(record.upstreamMs)}`;
    line += `,"attempts":${record.attempts}`;
    if (record.userAgent !== '') line += this.#userAgents.of(record.userAgent);
    if (record.referer !== '') line += `,"referer":${quote(redactUrl(record.referer))}`;
    if (record.traceId !== '') line += `,"traceId":"${record.traceId}"`;
    if (record.consumer !== undefined) line += `,"consumer":${quote(record.consumer)}`;
    if (record.calls !== undefined) line += `,"calls":[${record.calls.map(callOf).join(',')}]`;
    if (record.tlsVersion !== '') line += `,"tlsVersion":"${record.tlsVersion}"`;
    if (record.sni !== '') line += `,"sni":${quote(record.sni)}`;
    return `${line}}\n`;
  }

  /** A line's beginning with the time (RFC 3339, milliseconds), of which only the last digits are made anew within a second. */
  #time(): string {
    const now = this.#now();
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#begin = `{"time":"${new Date(second * 1000).toISOString().slice(0, 19)}`;
    }
    return this.#begin + (THOUSANDTHS[now - second * 1000] as string);
  }
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

const UNSAFE = /[^\x20\x21\x23-\x5b\x5d-\x7e]/;

function quote(text: string): string {
  return UNSAFE.test(text) ? JSON.stringify(text) : `"${text}"`;
}

/** `.000Z","requestId":"` to `.999Z...`: what follows a time's whole seconds. */
const THOUSANDTHS: readonly string[] = Array.from({ length: 1000 }, (_, index) => `.${String(index).padStart(3, '0')}Z","requestId":"`);
/** Decimals without the zeros at their end; empty for none. */
const DECIMALS: readonly string[] = Array.from({ length: 1000 }, (_, index) => (index === 0 ? '' : `.${String(index).padStart(3, '0').replace(/0+$/, '')}`));

/** To the microsecond. Whole numbers are cheap to write; a fraction's shortest form has to be searched for. */
function milliseconds(value: number): string {
  const microseconds = Math.round(value * 1000);
  const whole = Math.floor(microseconds / 1000);
  return whole + (DECIMALS[microseconds - whole * 1000] as string);
}
