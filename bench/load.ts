/** The loads, and what a run of one came to. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { outputOf } from './processes.ts';

/** The core of the load generators and the backend. */
export const LOAD_CORE = '1';

export const CONNECTIONS = 64;

const folder = import.meta.dirname;
/** The load generator of our own, which serves as the WebSocket backend, too. */
export const loadgen = join(folder, '../.cache/bench/loadgen');

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  /** Failed connections, broken answers, answers that are not 2xx. */
  readonly errors: number;
  /** Microseconds; the open loop's only. */
  readonly latencies?: { readonly p50: number; readonly p99: number; readonly p999: number };
}

/** Where a load goes. */
export interface Addresses {
  readonly http: number;
  readonly https: number;
}

/** Runs for `seconds`. @throws when the generator fails, or when more than one in a thousand requests does */
export type Load = (to: Addresses, seconds: number) => Promise<LoadResult>;

export interface WrkOptions {
  readonly tls?: boolean;
  readonly path?: string;
  readonly headers?: readonly string[];
  /** A file in bench/wrk/ that sets up the requests; it ends with `require 'report'`. */
  readonly script?: string;
}

/** wrk: a closed loop, 64 connections, keep-alive unless a header says otherwise. */
export function wrk(options: WrkOptions = {}): Load {
  return async (to, seconds) => {
    const origin = options.tls === true ? `https://localhost:${to.https}` : `http://localhost:${to.http}`;
    const headers = (options.headers ?? []).flatMap((header) => ['-H', header]);
    const script = join(folder, 'wrk', `${options.script ?? 'report'}.lua`);
    const duration = `${Math.max(1, Math.round(seconds))}s`;
    // The slowest of 64 uploads of 1 MiB may take longer than the 2 s that wrk grants by itself.
    const args = [
      '-c',
      LOAD_CORE,
      'wrk',
      '-t1',
      `-c${CONNECTIONS}`,
      `-d${duration}`,
      '--timeout',
      '10s',
      '-s',
      script,
      ...headers,
      `${origin}${options.path ?? '/'}`,
    ];
    const output = await outputOf('taskset', args);
    return judged(JSON.parse(lastLine(output)) as LoadResult, output);
  };
}

export interface H2loadOptions {
  readonly path?: string;
  readonly headers?: readonly string[];
  /** The body of each request, which then is a POST. */
  readonly body?: Buffer;
}

const H2_CONNECTIONS = 16;
/** Requests of one run on one connection. After 1000, Tidegate and nginx ask for a new connection, which h2load does not make. */
const H2_REQUESTS = 900;

/** h2load over TLS: a closed loop, 64 requests at once, on 16 connections; run after run until the time is up. */
export function h2load(options: H2loadOptions = {}): Load {
  const file = join(folder, '../.cache/bench/h2load-body');
  return async (to, seconds) => {
    const headers = (options.headers ?? []).flatMap((header) => ['-H', header]);
    const body = options.body === undefined ? [] : ['-d', file];
    if (options.body !== undefined) writeFileSync(file, options.body);
    const load = ['-t1', `-c${H2_CONNECTIONS}`, `-m${CONNECTIONS / H2_CONNECTIONS}`, `-n${H2_CONNECTIONS * H2_REQUESTS}`];
    const sum = { requests: 0, seconds: 0, errors: 0 };
    let output = '';
    while (sum.seconds < seconds) {
      output = await outputOf('taskset', ['-c', LOAD_CORE, 'h2load', ...load, ...body, ...headers, `https://localhost:${to.https}${options.path ?? '/'}`]);
      if (!/^Application protocol: h2$/m.test(output)) throw new Error(`no HTTP/2:\n${output}`);
      const [, time = 'NaN', unit = 's'] = /^finished in ([\d.]+)(s|ms)/m.exec(output) ?? [];
      sum.seconds += Number(time) / (unit === 'ms' ? 1000 : 1);
      sum.requests += Number(/status codes: (\d+) 2xx/.exec(output)?.[1] ?? Number.NaN);
      sum.errors += Number(/, (\d+) failed,/.exec(output)?.[1] ?? Number.NaN);
    }
    return judged(sum, output);
  };
}

/** WebSocket messages that come back, one at a time on each of 64 connections. */
export const webSocketMessages: Load = async (to, seconds) => {
  const flags = ['-mode', 'websocket', '-address', `127.0.0.1:${to.http}`, '-connections', String(CONNECTIONS), '-seconds', String(seconds)];
  const output = await outputOf('taskset', ['-c', LOAD_CORE, loadgen, ...flags]);
  return judged(JSON.parse(lastLine(output)) as LoadResult, output);
};

/** Opens TLS connections, has a request answered on each, and holds them while `meanwhile` runs. */
export async function whileIdle<T>(to: Addresses, protocol: 'http/1.1' | 'h2', connections: number, meanwhile: () => Promise<T>): Promise<T> {
  const flags = ['-mode', 'idle', '-address', `127.0.0.1:${to.https}`, '-protocol', protocol, '-connections', String(connections)];
  const child = spawn('taskset', ['-c', LOAD_CORE, loadgen, ...flags], { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [line] = (await Promise.race([once(child.stderr.setEncoding('utf8'), 'data'), closed])) as [string | number];
  if (line !== 'open\n') throw new Error(`the connections could not be opened: ${line}${output}`);
  try {
    return await meanwhile();
  } finally {
    child.stdin.end();
    await closed;
  }
}

/** A new TLS connection for each request: with a full handshake, or resuming the session before. */
export function tlsConnections(mode: 'tls-full' | 'tls-resumed', requests = 0): Load {
  return async (to, seconds) => {
    const flags = ['-mode', mode, '-address', `127.0.0.1:${to.https}`, '-connections', String(CONNECTIONS)];
    const output = await outputOf('taskset', ['-c', LOAD_CORE, loadgen, ...flags, '-seconds', String(seconds), '-requests', String(requests)]);
    const result = JSON.parse(lastLine(output)) as LoadResult & { resumed: number };
    if (mode === 'tls-resumed' && result.resumed < result.requests * 0.99) throw new Error(`only ${result.resumed} of ${result.requests} were resumed`);
    if (mode === 'tls-full' && result.resumed > 0) throw new Error(`${result.resumed} of ${result.requests} were resumed`);
    return judged(result, output);
  };
}

/** An open loop at a constant rate; latencies count from when each request was due. */
export async function constantRate(to: Addresses, seconds: number, rate: number, host = 'localhost'): Promise<LoadResult> {
  const flags = ['-mode', 'rate', '-address', `127.0.0.1:${to.http}`, '-host', host, '-connections', String(CONNECTIONS), '-rate', String(rate)];
  const output = await outputOf('taskset', ['-c', LOAD_CORE, loadgen, ...flags, '-seconds', String(seconds)]);
  return judged(JSON.parse(lastLine(output)) as LoadResult, output);
}

function lastLine(output: string): string {
  return output.trimEnd().split('\n').at(-1) ?? '';
}

function judged(result: LoadResult, output: string): LoadResult {
  if (result.errors > result.requests / 1000) throw new Error(`${result.errors} errors in ${result.requests} requests:\n${output}`);
  return result;
}
