import type { Exchange } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import { isEmptyBody, type UpstreamFailure } from '../exchange/streams.ts';
import { GRPC_STATUSES } from '../snapshot/grpc-status.ts';
import type { GrpcStatusName, Retry } from '../snapshot/recovery.ts';

/** Where a failed try may be repeated. */
export const Where = {
  Nowhere: 0,
  OtherEndpoint: 1,
  /** Another one if there is one, else the same on a fresh connection. */
  AnyEndpoint: 2,
} as const;
export type Where = (typeof Where)[keyof typeof Where];

/** RFC 9110 section 9.2.2. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

/** How a try came to nothing. `timeout`: no answer's head came in time. */
export type TryFailure = UpstreamFailure | 'timeout';

/**
 * The retry that every route has, once: of a request that can't have reached a backend, whatever its method; and of an
 * idempotent one without a body that met a reused connection as it closed (RFC 9112 section 9.3.1).
 * @param requestBytesSent whether any byte of the request left
 */
export function defaultRetry(failure: TryFailure, requestBytesSent: boolean, reusedConnection: boolean, exchange: Exchange): Where {
  if (failure === 'connect-failure') return Where.OtherEndpoint;
  if (failure !== 'reset') return Where.Nowhere;
  if (!requestBytesSent) return reusedConnection ? Where.AnyEndpoint : Where.OtherEndpoint;
  const isSafe = reusedConnection && isEmptyBody(exchange.requestLength) && isIdempotent(exchange.method);
  return isSafe ? Where.AnyEndpoint : Where.Nowhere;
}

/** The status that the gateway itself answers with when a try fails so; a rule that names it means those, too (as in Gateway API, GEP-1731). */
const OWN_STATUS: Readonly<Record<TryFailure, number>> = { 'connect-failure': 502, reset: 502, malformed: 502, timeout: 504 };

/** What a route's `retry` says, compiled. */
export class RetryRules {
  readonly attempts: number;
  readonly budgetPercent: number;
  readonly nonIdempotent: boolean;
  /** ms after the request came. */
  readonly within: number;
  readonly #failures: ReadonlySet<TryFailure>;
  readonly #statuses = new Uint8Array(1000);
  /** A bit for each gRPC status. */
  readonly #grpc: number;
  readonly #backoff: number;
  readonly #maxBackoff: number;

  constructor({ attempts, on, backoff, maxBackoff, budgetPercent, nonIdempotent, within }: Retry) {
    this.attempts = attempts;
    this.budgetPercent = budgetPercent;
    this.nonIdempotent = nonIdempotent;
    this.within = within ?? Number.POSITIVE_INFINITY;
    this.#backoff = backoff;
    this.#maxBackoff = maxBackoff;
    const failures = (Object.keys(OWN_STATUS) as TryFailure[]).filter((failure) => on.some((one) => one === failure || one === OWN_STATUS[failure]));
    this.#failures = new Set(failures);
    let grpc = 0;
    for (const condition of on) {
      if (typeof condition === 'number') this.#statuses[condition] = 1;
      else grpc |= 1 << (GRPC_STATUSES.indexOf(condition as GrpcStatusName) + 1);
    }
    this.#grpc = grpc & ~1;
  }

  get namesGrpc(): boolean {
    return this.#grpc !== 0;
  }

  /** A failure that they name. One that no request can have reached a backend by may be retried whatever they name. */
  names(failure: TryFailure): boolean {
    return this.#failures.has(failure);
  }

  namesStatus(status: number): boolean {
    return this.#statuses[status] === 1;
  }

  /** The gRPC status of an answer that is nothing but its head (trailers-only), where they name it. */
  grpcStatusOf(fields: Fields): GrpcStatusName | undefined {
    if (this.#grpc === 0) return undefined;
    const code = fields.get('grpc-status');
    // 0 is OK, for which there is no retry.
    if (code === undefined || !/^[1-9][0-9]?$/.test(code) || Number(code) > GRPC_STATUSES.length) return undefined;
    return (this.#grpc & (1 << Number(code))) === 0 ? undefined : GRPC_STATUSES[Number(code) - 1];
  }

  /**
   * How long to wait in ms: anything up to a bound that doubles ("full jitter"), so that those who failed together do not come
   * back together.
   * @param before retries before this one
   */
  backoff(before: number, random: () => number = Math.random): number {
    return random() * Math.min(this.#maxBackoff, this.#backoff * 2 ** Math.min(before, 30));
  }
}
