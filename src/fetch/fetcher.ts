/**
 * The gateway's own HTTP calls to URLs that manifests name: key sets, introspection, identity providers, external authorization.
 * Whoever writes a manifest must not reach through them what only the gateway can reach, nor keep it busy: no redirects,
 * bounds on time and size, and an address is judged after it was resolved, by whoever connects to it.
 */
import { lookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import type { Agent, Dispatcher } from 'undici';
import { forbiddenAddress } from '../exchange/forbidden-address.ts';

/** For the whole of a call, name resolution to the last byte (ms). */
export const FETCH_TIMEOUT = 5000;
/** Of an answer's body. */
export const MAX_FETCHED_BYTES = 1024 * 1024;
/** Of an answer's head. */
const MAX_HEAD_BYTES = 64 * 1024;
/** To one server from one thread; more calls wait for their turn, as long as their time lasts. */
const CONNECTIONS = 32;

/** Why there is no answer. A fixed word, for logs and metrics. */
export type FetchFailure = 'bad_url' | 'forbidden_address' | 'unresolved' | 'connect_failed' | 'tls_failed' | 'timed_out' | 'too_large' | 'broken' | 'aborted';

export class FetchError extends Error {
  readonly reason: FetchFailure;

  constructor(reason: FetchFailure, message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface FetchRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD' | 'PATCH' | 'OPTIONS';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Buffer;
  /** Milliseconds for the whole call; absent: `FETCH_TIMEOUT`. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

export interface FetchAnswer {
  readonly status: number;
  /** Lower-case names; a list where a field came several times. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface FetcherOptions {
  /** In a folder's mode, and with `--allow-loopback-fetch`. */
  readonly allowLoopback: boolean;
}

export class Fetcher {
  readonly #allowLoopback: boolean;
  #agent: Promise<Agent> | undefined;
  #isClosed = false;

  constructor({ allowLoopback }: FetcherOptions) {
    this.#allowLoopback = allowLoopback;
  }

  /**
   * Any status is an answer, a redirect too: it is not followed.
   * @throws (rejects) FetchError
   */
  async fetch({ method = 'GET', url: text, headers = {}, body, timeout = FETCH_TIMEOUT, signal }: FetchRequest): Promise<FetchAnswer> {
    const url = this.#judge(text);
    const expired = AbortSignal.timeout(timeout);
    const combined = signal === undefined ? expired : AbortSignal.any([signal, expired]);
    try {
      const agent = await this.#getAgent();
      const answer = await agent.request({ origin: url.origin, path: url.pathname + url.search, method, headers, body: body ?? null, signal: combined });
      return { status: answer.statusCode, headers: answer.headers, body: await readBody(answer.body) };
    } catch (error) {
      if (error instanceof FetchError) throw error;
      if (expired.aborted) throw new FetchError('timed_out', `no whole answer within ${timeout} ms`);
      if (signal?.aborted) throw new FetchError('aborted', 'nobody waits for it any more');
      throw named(error);
    }
  }

  /** Calls under way end with an error. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await (await this.#agent)?.destroy();
  }

  #judge(text: string): URL {
    let url: URL;
    try {
      url = new URL(text);
    } catch {
      throw new FetchError('bad_url', 'is no URL');
    }
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new FetchError('bad_url', 'is neither http nor https');
    if (url.username !== '' || url.password !== '') throw new FetchError('bad_url', 'has a user name or a password in it');
    // A name is judged by what it resolves to; an address is never looked up.
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const flaw = isIP(host) === 0 ? undefined : forbiddenAddress(host, this.#allowLoopback);
    if (flaw !== undefined) throw new FetchError('forbidden_address', `leads to ${flaw}`);
    return url;
  }

  /** Loaded with the first call: a worker whose routes need none does without. */
  #getAgent(): Promise<Agent> {
    if (this.#isClosed) throw new FetchError('aborted', 'the gateway ends');
    this.#agent ??= import('undici').then(
      ({ Agent }) =>
        new Agent({
          allowH2: false,
          connections: CONNECTIONS,
          pipelining: 1,
          keepAliveTimeout: 4000,
          headersTimeout: 0,
          bodyTimeout: 0,
          maxHeaderSize: MAX_HEAD_BYTES,
          connect: { timeout: FETCH_TIMEOUT, lookup: judgingLookup(this.#allowLoopback) },
        }),
    );
    return this.#agent;
  }
}

/** As the machine resolves names. What it gives is what is connected to, so that no second answer of DNS can lead elsewhere. */
export function judgingLookup(allowLoopback: boolean): LookupFunction {
  return (name, options, callback) => {
    lookup(name, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(new FetchError('unresolved', `its host can not be resolved (${error.code})`), '', 0);
        return;
      }
      const allowed = addresses.filter(({ address }) => forbiddenAddress(address, allowLoopback) === undefined);
      const first = allowed[0];
      if (first === undefined) {
        const flaw = forbiddenAddress(addresses[0]?.address ?? '', allowLoopback) ?? 'no address';
        callback(new FetchError('forbidden_address', `leads to ${flaw}`), '', 0);
      } else if (options.all) {
        callback(null, allowed);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

async function readBody(body: Dispatcher.ResponseData['body']): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Leaving the loop destroys the connection.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_FETCHED_BYTES) throw new FetchError('too_large', `its answer is longer than ${MAX_FETCHED_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

/** What is known of an error of undici or of a socket; its text may name addresses, and goes to our own log alone. */
function named(error: unknown): FetchError {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof FetchError) return cause;
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return named(error.errors[0]);
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return new FetchError('timed_out', 'no connection in time');
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return new FetchError('too_large', 'the head of its answer is too long');
  if (/^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EACCES|EPERM|ETIMEDOUT)$/.test(code)) return new FetchError('connect_failed', code);
  if (/^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|EPROTO)/.test(code)) return new FetchError('tls_failed', code);
  return new FetchError('broken', code === '' ? message : code);
}

/** Where nothing runs, as in `explain`: nobody answers. */
export const NO_FETCHER: Pick<Fetcher, 'fetch'> = { fetch: () => Promise.reject(new FetchError('aborted', 'nothing runs here')) };
