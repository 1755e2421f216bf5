/** Calls to an API server: JSON requests and watches, with errors that tell apart what the server refuses from trouble on the way. */
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { Agent, type Dispatcher, ProxyAgent, Socks5ProxyAgent } from 'undici';
import type { ClientTls, ClusterAccess } from './cluster-access.ts';
import { ApiError, ConnectionError, CredentialsError, oneLine } from './errors.ts';
import { jsonLines } from './json-lines.ts';

/** Milliseconds. */
const CONNECT_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 30_000;
/** Below the minute after which load balancers forget a silent connection. */
const TCP_KEEP_ALIVE = 30_000;
/** The longest that a timer can run. */
const NEVER = 2 ** 31 - 1;
const MAX_ERROR_BODY = 64 * 1024;

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** From the root of the API, such as `/api/v1/namespaces`. */
  readonly path: string;
  readonly query?: Query;
  /** What form the answer is to have; absent: JSON. */
  readonly accept?: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Of the body: `application/json`, or `application/apply-patch+yaml` (which takes JSON) for server-side apply. */
  readonly contentType?: string;
  readonly signal?: AbortSignal;
  /** Milliseconds for the whole exchange. */
  readonly timeout?: number;
}

export interface WatchRequest {
  readonly path: string;
  readonly query?: Query;
  /** As of a request. */
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** Milliseconds without a byte after which the stream counts as stalled; until its first answer no longer than a request may take. */
  readonly idleTimeout?: number;
  /** Called when the server has taken the request, before any event. */
  readonly onOpen?: () => void;
}

/** An event of a watch; ERROR events are thrown as ApiError. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: unknown;
}

interface Outgoing {
  readonly method: ApiRequest['method'];
  readonly path: string;
  readonly query?: Query;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly signal: AbortSignal;
}

export class ApiClient {
  readonly #access: ClusterAccess;
  readonly #basePath: string;
  readonly #origin: string;
  #dispatcher: { readonly tls: ClientTls; readonly agent: Dispatcher } | undefined;
  #closed = false;

  constructor(access: ClusterAccess) {
    this.#access = access;
    const url = new URL(access.server);
    this.#origin = url.origin;
    this.#basePath = url.pathname.replace(/\/$/, '');
  }

  /** Base URL of the API server. */
  get server(): string {
    return this.#access.server;
  }

  /** The namespace that we live in: the pod's, or that of the kubeconfig's context. */
  get namespace(): string {
    return this.#access.namespace;
  }

  /**
   * @returns the answer's document; undefined for an empty body
   * @throws (rejects) ApiError, ConnectionError, CredentialsError; the signal's reason when it aborts
   */
  async request<T>(request: ApiRequest): Promise<T> {
    const { method, body, contentType = 'application/json', timeout = REQUEST_TIMEOUT } = request;
    const expired = AbortSignal.timeout(timeout);
    const signal = request.signal === undefined ? expired : AbortSignal.any([request.signal, expired]);
    const headers = { ...accepting(request.accept), ...(body === undefined ? {} : { 'content-type': contentType }) };
    try {
      const response = await this.#send({ ...request, method, headers, body: body === undefined ? null : JSON.stringify(body), signal });
      const text = await response.body.text();
      return text === '' ? (undefined as T) : parse<T>(text);
    } catch (error) {
      request.signal?.throwIfAborted();
      if (expired.aborted) throw new ConnectionError('TimedOut', `${this.#origin}: no answer to ${method} ${request.path} within ${timeout / 1000} s`);
      throw this.#named(error);
    }
  }

  /**
   * The events of a watch, until the server ends it.
   * @throws (from the iterator) as `request`; an ERROR event is an ApiError, a stream without a byte for `idleTimeout` a ConnectionError TimedOut
   */
  async *stream(request: WatchRequest): AsyncGenerator<WatchEvent, void, undefined> {
    const stalled = new AbortController();
    const signal = request.signal === undefined ? stalled.signal : AbortSignal.any([request.signal, stalled.signal]);
    const { idleTimeout = NEVER } = request;
    let timer = setTimeout(() => stalled.abort(), Math.min(idleTimeout, REQUEST_TIMEOUT));
    try {
      const response = await this.#send({ ...request, method: 'GET', headers: accepting(request.accept), body: null, signal });
      clearTimeout(timer);
      timer = setTimeout(() => stalled.abort(), idleTimeout);
      request.onOpen?.();
      for await (const line of jsonLines(touching(response.body, timer))) yield eventOf(line);
    } catch (error) {
      request.signal?.throwIfAborted();
      if (stalled.signal.aborted) throw new ConnectionError('TimedOut', `${this.#origin}: nothing came on the watch of ${request.path} for too long`);
      throw this.#named(error);
    } finally {
      clearTimeout(timer);
      // Whoever leaves the loop early leaves a connection behind.
      stalled.abort();
    }
  }

  /** Open requests and watches end with an error. */
  async close(): Promise<void> {
    this.#closed = true;
    const agent = this.#dispatcher?.agent;
    this.#dispatcher = undefined;
    await agent?.destroy();
  }

  async #send(request: Outgoing): Promise<Dispatcher.ResponseData> {
    let response = await this.#attempt(request);
    if (response.statusCode === 401) {
      // A token that was renewed meanwhile, most often.
      await response.body.dump();
      this.#access.forget();
      response = await this.#attempt(request);
    }
    if (response.statusCode < 200 || response.statusCode > 299) throw await apiError(response, `${request.method} ${request.path}`);
    return response;
  }

  async #attempt({ method, path, query, headers, body, signal }: Outgoing): Promise<Dispatcher.ResponseData> {
    const credentials = await this.#access.credentials();
    signal.throwIfAborted();
    return this.#agent(credentials.tls).request({
      origin: this.#origin,
      path: `${this.#basePath}${path}${queryText(query)}`,
      method,
      headers: { accept: 'application/json', 'user-agent': 'tidegate', ...headers, ...credentials.headers },
      body,
      signal,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** Connections are kept for as long as the TLS material is the same; those of older material end when they are idle. */
  #agent(tls: ClientTls): Dispatcher {
    if (this.#closed) throw new ConnectionError('Cut', 'the client is closed');
    if (this.#dispatcher !== undefined && sameTls(this.#dispatcher.tls, tls)) return this.#dispatcher.agent;
    void this.#dispatcher?.agent.close();
    const { proxy } = this.#access;
    const common = { allowH2: false, keepAliveTimeout: 60_000, connectTimeout: CONNECT_TIMEOUT } as const;
    const requestTls = verifying(tls);
    let agent: Dispatcher;
    if (proxy === undefined)
      agent = new Agent({ ...common, connect: { ...requestTls, timeout: CONNECT_TIMEOUT, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE } });
    else if (proxy.startsWith('socks5:')) agent = new Socks5ProxyAgent(proxy, { ...common, requestTls });
    else agent = new ProxyAgent({ ...common, uri: proxy, requestTls });
    this.#dispatcher = { tls, agent };
    return agent;
  }

  #named(error: unknown): Error {
    if (error instanceof ApiError || error instanceof ConnectionError || error instanceof CredentialsError) return error;
    const code = String((error as NodeJS.ErrnoException)?.code ?? '');
    const say = (fault: ConnectionError['fault'], what: string) => new ConnectionError(fault, `${this.#origin}: ${what}`, { cause: error });
    if (code.startsWith('ERR_TLS') || code.startsWith('ERR_SSL') || TLS_CODES.has(code)) return say('Tls', `TLS: ${oneLine(error)}`);
    if (code === 'UND_ERR_CONNECT_TIMEOUT') return say('TimedOut', `no connection within ${CONNECT_TIMEOUT / 1000} s`);
    if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'UND_ERR_ABORTED') {
      return say('Cut', `the connection was cut: ${oneLine(error)}`);
    }
    if (code.startsWith('HPE_') || code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') return say('Malformed', `no HTTP: ${oneLine(error)}`);
    return say('Unreachable', oneLine(error) || code);
  }
}

/** OpenSSL's names of what is wrong with a certificate (`man verify`). */
const TLS_CODES = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'EPROTO',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

function accepting(accept: string | undefined): Readonly<Record<string, string>> {
  return accept === undefined ? {} : { accept };
}

async function* touching(body: AsyncIterable<Uint8Array>, timer: NodeJS.Timeout): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of body) {
    timer.refresh();
    yield chunk;
  }
}

function eventOf(line: unknown): WatchEvent {
  const { type, object } = (line ?? {}) as { readonly type?: unknown; readonly object?: unknown };
  if (typeof object === 'object' && object !== null) {
    if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED' || type === 'BOOKMARK') return { type, object };
    if (type === 'ERROR') throw statusError(object, 500, 'the watch ended with an error');
  }
  throw new ConnectionError('Malformed', 'a line of the watch is no event');
}

async function apiError(response: Dispatcher.ResponseData, what: string): Promise<ApiError> {
  let text = '';
  for await (const chunk of response.body) {
    text += String(chunk);
    if (text.length > MAX_ERROR_BODY) break;
  }
  const seconds = Number(response.headers['retry-after']);
  const retryAfter = Number.isFinite(seconds) && seconds >= 0 && response.headers['retry-after'] !== undefined ? seconds * 1000 : undefined;
  const fallback = `${what}: ${response.statusCode} ${oneLine(text).slice(0, 200)}`.trimEnd();
  try {
    return statusError(JSON.parse(text), response.statusCode, fallback, retryAfter);
  } catch {
    return new ApiError(response.statusCode, '', fallback, retryAfter);
  }
}

function statusError(document: unknown, status: number, fallback: string, retryAfter?: number): ApiError {
  const { code, reason, message, details } = (document ?? {}) as {
    readonly code?: unknown;
    readonly reason?: unknown;
    readonly message?: unknown;
    readonly details?: { readonly retryAfterSeconds?: unknown };
  };
  const seconds = details?.retryAfterSeconds;
  return new ApiError(
    typeof code === 'number' ? code : status,
    typeof reason === 'string' ? reason : '',
    typeof message === 'string' && message !== '' ? oneLine(new Error(message)) : fallback,
    retryAfter ?? (typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : undefined),
  );
}

function parse<T>(text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new ConnectionError('Malformed', 'the answer is no JSON');
  }
}

function queryText(query: Query | undefined): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? '' : `?${given}`;
}

/** The server name of a kubeconfig may be an address: TLS can't ask for one (RFC 6066 section 3), yet the certificate is to be for it. */
function verifying({
  servername,
  ...tls
}: ClientTls): ClientTls & { readonly checkServerIdentity?: (host: string, cert: PeerCertificate) => Error | undefined } {
  if (servername === undefined || isIP(servername) === 0) return servername === undefined ? tls : { ...tls, servername };
  return { ...tls, checkServerIdentity: (_host, cert) => checkServerIdentity(servername, cert) };
}

function sameTls(left: ClientTls, right: ClientTls): boolean {
  const same = (one: string | Buffer | undefined, other: string | Buffer | undefined): boolean =>
    one === other || (one !== undefined && other !== undefined && Buffer.from(one).equals(Buffer.from(other)));
  return (
    same(left.ca, right.ca) &&
    same(left.cert, right.cert) &&
    same(left.key, right.key) &&
    left.servername === right.servername &&
    left.rejectUnauthorized === right.rejectUnauthorized
  );
}
