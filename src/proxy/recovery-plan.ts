/** What a route says about tries that fail: retry, hedge and fallback, compiled. */
import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import type { Hedge, Retry } from '../snapshot/recovery.ts';
import type { Fallback, Route } from '../snapshot/route.ts';
import type { UpstreamProtocol } from '../snapshot/upstream.ts';
import type { PickedBackend } from '../upstream/backend-picker.ts';
import type { Upstreams } from '../upstream/upstreams.ts';
import { isIdempotent, RetryRules } from './retry.ts';

/** Hedges of a route without `retry` are counted against this share of the pod's requests, the default of `budgetPercent`. */
const DEFAULT_BUDGET = 20;

export class RecoveryPlan {
  readonly retry: RetryRules | undefined;
  readonly hedge: Hedge | undefined;
  readonly fallback: FallbackPlan | undefined;
  readonly budgetPercent: number;
  /** By status: the answer is not simply passed on. */
  readonly #bad = new Uint8Array(1000);

  constructor(retry: Retry | undefined, hedge: Hedge | undefined, fallback: FallbackPlan | undefined) {
    this.retry = retry === undefined ? undefined : new RetryRules(retry);
    this.hedge = hedge;
    this.fallback = fallback;
    this.budgetPercent = retry?.budgetPercent ?? DEFAULT_BUDGET;
    for (const condition of retry?.on ?? []) if (typeof condition === 'number') this.#bad[condition] = 1;
    for (const status of fallback?.on ?? []) this.#bad[status] = 1;
    // Between hedges, the one that fails is not to win by failing first.
    if (hedge !== undefined) this.#bad.fill(1, 500, 600);
  }

  isBad(status: number, fields: Fields): boolean {
    return this.#bad[status] === 1 || this.retry?.grpcStatusOf(fields) !== undefined;
  }

  hedges(exchange: Exchange): boolean {
    return this.hedge !== undefined && exchange.upgrade === '' && isIdempotent(exchange.method);
  }

  /**
   * Whether its body may have to be sent again.
   * @param protocol of the backend: one of HTTP/2 can say of a request that it has read that it never did anything about it
   *   (RFC 9113 section 8.7)
   */
  keepsBody(exchange: Exchange, protocol: UpstreamProtocol): boolean {
    if (this.fallback?.backend !== undefined || this.hedges(exchange)) return true;
    const { retry } = this;
    if (retry === undefined || retry.attempts === 0) return false;
    return retry.nonIdempotent || retry.namesGrpc || protocol !== 'HTTP1' || isIdempotent(exchange.method);
  }
}

export interface FallbackPlan {
  readonly on: readonly number[];
  readonly backend: PickedBackend | undefined;
  readonly reply: Reply | undefined;
}

/** @returns undefined for a route that says nothing of the kind, as most do */
export function compileRecovery({ retry, hedge, fallback }: Route, upstreams: Upstreams): RecoveryPlan | undefined {
  if (retry === undefined && hedge === undefined && fallback === undefined) return undefined;
  return new RecoveryPlan(retry, hedge, fallback === undefined ? undefined : compileFallback(fallback, upstreams));
}

function compileFallback({ on, upstream, response }: Fallback, upstreams: Upstreams): FallbackPlan {
  const state = upstream === undefined ? undefined : upstreams.get(upstream);
  const backend: PickedBackend | undefined =
    state === undefined ? undefined : { index: -1, spec: { upstream: state.key, weight: 1, backup: true }, upstream: state, affinity: undefined };
  const reply: Reply | undefined =
    response === undefined
      ? undefined
      : { status: response.statusCode, reason: 'fallback', ...(response.body === '' ? {} : { body: response.body, contentType: response.contentType }) };
  return { on, backend, reply };
}
