/**
 * Calls of the gateway itself: requests to upstreams of the snapshot that it makes for an exchange. The proxy makes them, by the
 * same pools, balancers, breakers, retries and hedges as exchanges; policies get them by `PolicyContext.calls`.
 */
import type { CallTarget } from '../snapshot/calls.ts';
import type { Exchange, Reply } from './exchange.ts';
import { Fields } from './fields.ts';

export interface CallRequest {
  /** For the access log's `calls`; empty: it is not named there. */
  readonly name: string;
  readonly method: string;
  /** Normalised as a request's, without the query. */
  readonly path: string;
  /** With its `?`; empty: none. */
  readonly query: string;
  /** Complete but for framing; without Host the backend gets the Service's name. Kept, and changed. See `contextFields`. */
  readonly fields: Fields;
  /** Empty: there is none. One of more than 64 KiB is not sent a second time. */
  readonly body: Buffer;
  /** Longest body of an answer that is taken; a longer one is a failure. */
  readonly maxAnswerBytes: number;
  /** Bodies that are compressed though nobody asked for that are given decoded, `maxAnswerBytes` at most. */
  readonly decode: boolean;
}

export interface CallAnswer {
  readonly status: number;
  readonly fields: Fields;
  readonly body: Buffer;
  readonly trailers: Fields | undefined;
  readonly durationMs: number;
  readonly failure?: undefined;
}

/** No answer, or none that is whole. */
export interface CallFailure {
  /** What the gateway would answer where that is the end of it: 502, 503, 504, or 500 for a target that can't be resolved. */
  readonly failure: Reply;
  /** Of the answer that broke off, or could not be taken as a whole; 0: its head never came. */
  readonly status: number;
  readonly durationMs: number;
}

export type CallOutcome = CallAnswer | CallFailure;

export interface RunningCall {
  /** Nobody wants its answer any more: `onEnd` is not called. */
  abort(): void;
}

/** Makes calls to one target. */
export interface Caller {
  /**
   * @param origin the exchange that it is made for, which may be over; its client is whose address balancers see
   * @param onEnd called once, never before `call` has returned; what it throws fails the exchange
   */
  call(origin: Exchange, request: CallRequest, onEnd: (outcome: CallOutcome) => void): RunningCall;
}

export interface Calls {
  /** For compile functions: once for each target, not for each call. */
  to(target: CallTarget): Caller;
}

/** What the access log says of one call. */
export interface CallRecord {
  readonly name: string;
  /** Of its answer; 0: there was none. */
  readonly status: number;
  readonly ms: number;
  /** Why there was no answer; empty: there was one. */
  readonly reason: string;
}

/** Goes along to every call of an exchange, and nothing else by itself (api.md, "aggregate"). */
const CONTEXT = ['authorization', 'traceparent', 'tracestate', 'x-request-id'] as const;

/** What every call of an exchange carries: its client's Authorization, the trace context and the request id. No coding is asked for. */
export function contextFields(exchange: Exchange): Fields {
  const fields = new Fields();
  for (const name of CONTEXT) for (const value of exchange.requestFields.getAll(name)) fields.append(SPELLING[name], value);
  fields.append('Accept-Encoding', 'identity');
  return fields;
}

const SPELLING: Readonly<Record<(typeof CONTEXT)[number], string>> = {
  authorization: 'Authorization',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
  'x-request-id': 'X-Request-Id',
};

/** For who compiles filters and sends nothing: `explain`, tests. */
export const noCalls: Calls = {
  to: () => ({
    call: () => {
      throw new Error('calls are made by workers alone');
    },
  }),
};
