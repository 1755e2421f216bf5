/** One request and its response passing through: what filters see and change, whatever the protocol below. */

import type { PathMatch } from '../snapshot/match.ts';
import type { TlsInfo } from '../wire/wire.ts';
import type { StagedBody } from './bodies.ts';
import type { CallRecord } from './calls.ts';
import { parseCookies } from './cookies.ts';
import { FieldKind, maskOf } from './field-names.ts';
import type { Fields } from './fields.ts';
import type { Identity } from './identity.ts';
import { pathSegment } from './path-segments.ts';
import type { Peer } from './peer.ts';
import { parseQuery } from './query.ts';
import { type BodyLength, type ClientStream, isEmptyBody, UNKNOWN_LENGTH } from './streams.ts';
import type { SpanContext } from './trace-context.ts';

/** An answer that the gateway gives itself. */
export interface Reply {
  readonly status: number;
  /** For log and metrics, a fixed word such as `no_route` or `rate_limited`. */
  readonly reason: string;
  /** For a problem document (RFC 9457): one sentence that tells nothing of the inside. Ignored where `body` is given. */
  readonly detail?: string;
  readonly fields?: readonly (readonly [name: string, value: string])[];
  readonly contentType?: string;
  /** Text goes out as UTF-8. */
  readonly body?: string | Buffer;
  /** It was made for a request of the cache's, and depends on nothing but what its fields and the cache's key say: it may be kept as an answer of a backend's. */
  readonly cacheable?: true;
  /** It says of the backend that it can't be had, whoever asks. */
  readonly ofBackend?: true;
}

/** An answer that a filter has from elsewhere than a backend. Response filters see it as any other. */
export interface GivenAnswer {
  readonly status: number;
  /** Kept, and changed. */
  readonly fields: Fields;
  /** Of the body, also where a HEAD gets none. */
  readonly length: BodyLength;
  /** The whole body, never changed; undefined: there is none, or `source` has it. */
  readonly body: Buffer | undefined;
  readonly source: BodySource | undefined;
  /** For the log; may be empty. */
  readonly reason: string;
}

/** A body that is still on its way. No method calls the sink back before it returns, but for `start` and `resume`. */
export interface BodySource {
  /** The head went out. @param writable the client takes bytes now */
  start(sink: BodySink, writable: boolean): void;
  /** The client takes bytes again. */
  resume(): void;
  /** Nobody wants the rest. */
  stop(): void;
}

/** The client, as a source sees it. */
export interface BodySink {
  /** @returns false: no more for now; `resume` follows */
  writeGiven(bytes: Buffer, start: number, end: number): boolean;
  endGiven(trailers: Fields | undefined): void;
  /** There is no more of it, and it is not whole. @param reason for the log */
  abortGiven(reason: string): void;
}

/** The client's side of a request of the gateway's own to the backends of a route. */
export interface FetchStream extends ClientStream {
  /**
   * The head of a backend's answer, or of a reply that is cacheable, before `respond` gets it.
   * @returns whether it is for others than the request's client as well, so that nothing may be added that is not
   */
  judge(status: number, fields: Fields, length: BodyLength): boolean;
  /** In the place of an answer of a backend, that of the gateway itself. */
  onReply(reply: Reply): void;
}

export interface RunningFetch {
  /** After `respond` or `writeBody` returned false. */
  resume(): void;
  /** Nobody wants the answer any more. No call of the stream's follows. */
  abort(): void;
}

/** Who runs an exchange. */
export interface ExchangeRunner {
  /**
   * Sends a GET in the place of the exchange's own request: through the filters that come after the one that has it now, one of which
   * may answer, to the route's backends, with retries, hedges and fallback. It goes on when the exchange is over.
   * @param fields of the request; kept, and changed
   */
  fetch(fields: Fields, stream: FetchStream): RunningFetch;
}

/** A protocol that a request asks to switch to, in lower case; empty: none. Others are not tunnelled, and never get here. */
export type Upgrade = '' | 'websocket';

/** The request's head as an engine has read and judged it. */
export interface RequestHead {
  readonly method: string;
  /** Normalised path (RFC 3986 section 6.2.2), without the query. `*` for OPTIONS *. */
  readonly path: string;
  /** Query with its `?`; empty when there is none. */
  readonly query: string;
  readonly scheme: 'http' | 'https';
  /** Host as the client wrote it, port included; of an absolute-form target, its own. */
  readonly authority: string;
  /** Lower-case host without port and trailing dot. */
  readonly host: string;
  /** `HTTP/1.1`, `HTTP/1.0`. */
  readonly protocol: string;
  /** Hop-by-hop fields, those that Connection names, and names with underscores are gone already; Host is kept. */
  readonly fields: Fields;
  /** Size of the head in bytes. */
  readonly headBytes: number;
  /** Absent: none. See streams.ts on tunnels. */
  readonly upgrade?: Upgrade;
}

const COOKIE = maskOf(FieldKind.Cookie);

export class Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  /** That of the connection, or from a trusted peer what X-Forwarded-Proto says. */
  scheme: 'http' | 'https';
  readonly authority: string;
  readonly host: string;
  readonly protocol: string;
  readonly requestFields: Fields;
  readonly headBytes: number;
  readonly upgrade: Upgrade;
  /** Something that translates may take its place before the exchange's life begins. */
  stream: ClientStream;
  readonly peer: Peer;
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly localPort: number;
  readonly tls: TlsInfo | undefined;
  /** `performance.now()` at the head's first byte. */
  readonly startedAt: number;

  /** The peer's address, or from a trusted peer the rightmost untrusted one of X-Forwarded-For. */
  clientAddress: string;
  requestId = '';
  /** 32 hex digits of the W3C trace context. */
  traceId = '';
  /** Its span, where the gateway records its trace. */
  span: SpanContext | undefined = undefined;
  /** Path sent to the backend; filters rewrite it. */
  upstreamPath: string;
  /** Query sent to the backend, with its `?`; filters rewrite it. */
  upstreamQuery: string;
  /** Host sent to the backend; filters rewrite it. */
  upstreamHost: string;

  /** The caller speaks gRPC, or gRPC-Web, which is translated. Set by the proxy. */
  isGrpc = false;

  /** `Kind/namespace/name/rule` of the route; empty: there is none. Set by the proxy before the filters run. */
  routeId = '';
  /** The path part of the match that won; set by the proxy before the filters run. */
  matchedPath: PathMatch | undefined = undefined;

  /** Lower-case names of fields that the gateway alone may send to the backend; as trailers of the client they are dropped. Set by authentication. */
  ownFields: readonly string[] | undefined = undefined;

  /** Set by authentication; undefined: nobody is known. */
  identity: Identity | undefined = undefined;

  /**
   * The request's whole body, once a filter has had it collected (`Filter.maxRequestBody`); what is put in its place goes to
   * the backend, as does what a filter gives a request that has no body. Undefined: the body passes as it comes.
   */
  requestBody: Buffer | undefined = undefined;
  /** What the request's body passes through as it comes, before it is collected; set by a filter. */
  requestStage: StagedBody | undefined = undefined;

  /** The answer that the gateway gives itself: set by a filter that answers, and by the proxy for its own errors. Undefined: the answer is a backend's. */
  reply: Reply | undefined = undefined;
  /** The same, for an answer that is no reply of the gateway's. */
  given: GivenAnswer | undefined = undefined;
  /** Set by the proxy before the filters run. */
  runner: ExchangeRunner | undefined = undefined;
  /**
   * For a filter that returned `Verdict.Waiting`: goes on with the next filter, or answers with `reply` or `given` when that is set.
   * Set by the proxy.
   */
  resume: () => void = ignore;
  /**
   * For a filter that waits: ends the exchange with 500 and a line in the log, after a fault of ours in a callback, where a
   * throw would reach nobody. Set by the proxy.
   */
  fail: (error: unknown) => void = ignore;
  /** For a filter that waits: called when the client goes away or the time is up meanwhile, to give back what it holds. */
  onAbandoned: (() => void) | undefined = undefined;
  /** What filters of this exchange keep from request to response, by `FilterSlot` (policies/policy.ts); made on first use. */
  filterState: unknown[] | undefined = undefined;
  /** Calls that were made for it, for the log; absent: none. */
  calls: CallRecord[] | undefined = undefined;
  /** A copy of the request goes to the route's mirror. Set by a filter. */
  isMirrored = false;
  /** Names of the limits in mode Shadow that would have refused this request, with commas between; for the log. */
  shadowRefusals = '';

  #cookies: ReadonlyMap<string, string> | undefined = undefined;
  #queryParams: ReadonlyMap<string, string> | undefined = undefined;

  constructor(head: RequestHead, stream: ClientStream, peer: Peer, startedAt: number) {
    this.method = head.method;
    this.path = head.path;
    this.query = head.query;
    this.scheme = head.scheme;
    this.authority = head.authority;
    this.host = head.host;
    this.protocol = head.protocol;
    this.requestFields = head.fields;
    this.headBytes = head.headBytes;
    this.upgrade = head.upgrade ?? '';
    this.stream = stream;
    this.peer = peer;
    this.peerAddress = peer.remoteAddress;
    this.peerPort = peer.remotePort;
    this.localPort = peer.localPort;
    this.tls = peer.tls;
    this.startedAt = startedAt;
    this.clientAddress = peer.remoteAddress;
    this.upstreamPath = head.path;
    this.upstreamQuery = head.query;
    this.upstreamHost = head.authority;
  }

  /**
   * Whether the client would take an answer with that status for a tunnel that nobody has made: it has asked by CONNECT, which
   * any 2xx grants (RFC 8441 section 5, RFC 9110 section 9.3.6).
   */
  wouldOpenTunnel(status: number): boolean {
    return this.upgrade !== '' && status >= 200 && status < 300 && this.protocol === 'HTTP/2.0';
  }

  /** How long the request's body is on its way to the backend. */
  get requestLength(): BodyLength {
    const { requestBody: whole, stream } = this;
    if (whole !== undefined) return whole.length === 0 && isEmptyBody(stream.requestBody) ? stream.requestBody : whole.length;
    return this.requestStage === undefined ? stream.requestBody : UNKNOWN_LENGTH;
  }

  /** The first value of a request cookie. */
  cookie(name: string): string | undefined {
    if (!this.requestFields.mayHave(COOKIE)) return undefined;
    return this.cookies().get(name);
  }

  /** All cookies by name; of a repeated one the first value. */
  cookies(): ReadonlyMap<string, string> {
    this.#cookies ??= parseCookies(this.requestFields.getAll('cookie'));
    return this.#cookies;
  }

  /** The first value of a query parameter, percent-decoded, `+` read as a space. */
  queryParam(name: string): string | undefined {
    return this.queryParams().get(name);
  }

  /** All query parameters, read as `queryParam` does. */
  queryParams(): ReadonlyMap<string, string> {
    this.#queryParams ??= parseQuery(this.query);
    return this.#queryParams;
  }

  /**
   * What stands in the path where the match that won names a segment, percent-decoded.
   * @throws URIError where it is no UTF-8
   */
  pathSegment(name: string): string | undefined {
    return this.matchedPath === undefined ? undefined : pathSegment(this.path, this.matchedPath, name);
  }

  /** All values of a request header. @param name lower-case */
  headerValues(name: string): readonly string[] {
    return this.requestFields.getAll(name);
  }
}

function ignore(): void {}
