/**
 * The two sides of an exchange, as the proxy sees them, whatever the protocol: the client's side (`ClientStream`) and one
 * try at an endpoint (`UpstreamStream`). HTTP/1.1 implements both in http1/; other engines follow. No method here calls
 * back into its handler before it returns.
 *
 * **Tunnels.** An exchange whose `upgrade` is not empty asks for another protocol (RFC 9110 section 7.8; RFC 8441). Its
 * request is over with its head (NO_BODY, `requestEnded`), whatever bytes the client sends behind it: the engine holds them
 * back. `UpstreamRequest.upgrade` asks the backend for the same. Any answer but 101 is an ordinary one, and the last on the
 * client's connection where bytes of either protocol could follow. 101 comes by `onResponse` with UNKNOWN_LENGTH, never with
 * `last`, only when it was asked for, and its handshake was found good by the engine; `respond(101, ...)` with the same
 * passes it on. From there on the exchange is a tunnel: `requestEnded` is false again, `resumeRequestBody` lets the client's
 * bytes through, `onRequestData` and `writeBody` carry them one way, `onResponseData` and `writeBody` the other, pausing and
 * `on...Writable` are as for bodies, and nothing limits their length. `onRequestEnd`, `onResponseEnd` and `endBody` are half-closes,
 * without trailers: the other direction goes on. A side is over when both of its directions have ended; `abort`, `cancel`,
 * `onClientGone` and `onUpstreamFailure` end both at once, for the peer as a reset where the protocol has one.
 *
 * **Bodies that filters change.** A route whose filters may change an answer's body has a pipe between the try and the client
 * (proxy/bodies/): `onResponse` of a try begins it, its filters see the head one after the other, and each may put a stage
 * (bodies.ts) into the way of the body or have it collected, up to a bound of its own, before the head goes on. `respond`
 * follows when the head is settled: with a length where the body was whole by then, else without. The client's writability
 * goes to the last stage, and the first one's to the try; trailers pass the stages; a stage's failure is 502 (or what it
 * says) before `respond`, and `abort` after it. HEAD, 204, 304 and 101 have no body to change. An answer of the gateway's own
 * takes the same way. On the way to the backend there may be one stage, and behind it what collects the whole body for a
 * filter; a body that was collected is sent by every try in full, and so is one that a filter has put in its place. All of
 * it is between what gRPC-Web translates and the tries, so that filters see gRPC bodies. Other routes have none of it.
 */
import type { TlsInfo } from '../wire/wire.ts';
import type { Exchange, Upgrade } from './exchange.ts';
import type { Fields } from './fields.ts';

/** How long a message's body is: bytes, or one of the constants below. */
export type BodyLength = number;
/** There is a body, and only its end tells how long it is (chunked, or until close). */
export const UNKNOWN_LENGTH = -1;
/** There is no body and no framing for one: HEAD answers, 204, 304, requests without content. */
export const NO_BODY = -2;

/** Whether the message is complete with its head: there is no body, or one of no bytes, as with `Content-Length: 0`. */
export function isEmptyBody(length: BodyLength): boolean {
  return length === NO_BODY || length === 0;
}

/** What the proxy hears from the client's side. One per exchange. */
export interface ClientHandler {
  /** Request body bytes; valid only during the call unless `stable`. */
  onRequestData(bytes: Buffer, start: number, end: number, stable: boolean): void;
  /** The request is complete. `trailers` are those allowed to pass; usually undefined. */
  onRequestEnd(trailers: Fields | undefined): void;
  /** The request body broke a rule (bad chunk, too long, cut): the engine answers and closes by itself; stop the upstream side. @param responseBytes of its answer's body */
  onRequestError(status: number, reason: string, responseBytes: number): void;
  /** The client went away; the exchange is over. */
  onClientGone(): void;
  /** After a respond/writeBody that returned false. */
  onClientWritable(): void;
}

/** The client's side of one exchange. */
export interface ClientStream {
  /** Length of the request's body. */
  readonly requestBody: BodyLength;
  /** The request has been read to its end. */
  readonly requestEnded: boolean;
  /** An answer's head went out. */
  readonly responded: boolean;
  /** Starts (or goes on) reading the request's body, which is held back until then. Sends 100 Continue where the client waits for it. */
  resumeRequestBody(): void;
  pauseRequestBody(): void;
  /** Body bytes beyond this are refused with 413. Set before resumeRequestBody. */
  setBodyLimit(bytes: number): void;
  /**
   * Sends the answer's head, once. The engine adds framing, Connection and Date fields by itself; `fields` must hold no
   * hop-by-hop field. `first[start..end)` are body bytes to go out in the same write; `last`: they are the whole body.
   * Returns false when the client takes no more for now.
   */
  respond(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): boolean;
  /** A whole small answer whose body is text in Latin-1 characters (bytes 0 to 255). */
  respondText(status: number, fields: Fields, body: string): void;
  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean;
  endBody(trailers: Fields | undefined): void;
  /** 103 and such; ignored where the client can't take it. */
  inform(status: number, fields: Fields): void;
  /** The answer can't be completed: cuts the connection (or resets the stream) so that the client sees a truncation. */
  abort(): void;
}

/** How a try failed. */
export type UpstreamFailure =
  /** No connection: refused, unreachable, timed out while connecting. */
  | 'connect-failure'
  /** The connection died or was closed before the whole answer. */
  | 'reset'
  /** The answer broke the protocol. */
  | 'malformed';

export interface UpstreamHandler {
  /** 103 only; 100 is swallowed, others are dropped. */
  onInformational(status: number, fields: Fields): void;
  /**
   * The answer's head. `fields` has hop-by-hop fields removed already. Body bytes that arrived with it are given along:
   * `first[start..end)`, valid as in onResponseData; `last`: the answer is complete, and no further callback follows.
   */
  onResponse(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): void;
  onResponseData(bytes: Buffer, start: number, end: number, stable: boolean): void;
  onResponseEnd(trailers: Fields | undefined): void;
  /** After a writeBody that returned false; and, for a request with a body, once the connection is up. */
  onUpstreamWritable(): void;
  /** No answer, or no complete one; no further callback follows. `requestBytesSent`: whether any byte of the request left. */
  onUpstreamFailure(failure: UpstreamFailure, requestBytesSent: boolean, reusedConnection: boolean, cause: Error | undefined): void;
}

/** One try at one endpoint: a request on its way, on a connection of the pool. */
export interface UpstreamStream {
  /** The connection is up; until it is, `onUpstreamWritable` tells when it comes up. */
  readonly connected: boolean;
  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean;
  endBody(trailers: Fields | undefined): void;
  pauseResponse(): void;
  resumeResponse(): void;
  /** Ends the try; the connection is destroyed unless the exchange on it was complete. No callback follows. */
  cancel(): void;
}

/** What goes to the backend. */
export interface UpstreamRequest {
  readonly method: string;
  /** Path and query, as sent on. */
  readonly target: string;
  /** Complete but for framing and Connection, which the engine adds; Host is in it. */
  readonly fields: Fields;
  readonly body: BodyLength;
  /** What the backend is asked to switch to; absent: nothing. `fields` hold what belongs to it, but for Connection and Upgrade. */
  readonly upgrade?: Upgrade;
  /** What its connection has to begin with, which says whose it is; it goes on none that began otherwise. Absent: nothing. */
  readonly preamble?: Buffer | undefined;
}

/** Takes exchanges from an engine's connection. Implemented by the proxy. */
export interface ExchangeSink {
  /** A request head was read and found good. The request body is held back until `resumeRequestBody`. */
  onExchange(exchange: Exchange): ClientHandler;
  /** A request was refused by the engine itself, before there was an exchange (400, 408, 431, 501 ...), for log and metrics. */
  onRefused(refusal: Refusal): void;
}

/** Status that the log and metrics show for a client that left before its answer; nginx's users know it. */
export const CLIENT_GONE = 499;

export interface Refusal {
  readonly requestId: string;
  readonly status: number;
  readonly reason: string;
  readonly clientAddress: string;
  readonly tls: TlsInfo | undefined;
  /** This and the next three are empty where they were not read, or are not certain. */
  readonly method: string;
  /** As `RequestHead.host`. */
  readonly host: string;
  /** Path and query, or the target as received where that is what is wrong. */
  readonly target: string;
  readonly protocol: string;
  /** Of the answer's body. */
  readonly responseBytes: number;
  readonly startedAt: number;
}
