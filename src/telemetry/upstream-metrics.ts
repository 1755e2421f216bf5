import { increment, NONE } from './counts.ts';
import { Histogram } from './histogram.ts';

/** What a worker counts for one upstream. */
export class UpstreamMetrics {
  readonly upstream: string;
  /** By status. */
  readonly requests = new Map<number, number>();
  readonly duration = new Histogram();
  /** By reason; made with the first. */
  #tlsFailures: Map<string, number> | undefined;
  #refusals: Map<string, number> | undefined;

  constructor(upstream: string) {
    this.upstream = upstream;
  }

  get tlsFailures(): ReadonlyMap<string, number> {
    return this.#tlsFailures ?? NONE;
  }

  countTlsFailure(reason: string): void {
    this.#tlsFailures ??= new Map();
    increment(this.#tlsFailures, reason, 1);
  }

  /** What its circuit breaker did not let through, by reason. */
  get refusals(): ReadonlyMap<string, number> {
    return this.#refusals ?? NONE;
  }

  countRefusal(reason: string): void {
    this.#refusals ??= new Map();
    increment(this.#refusals, reason, 1);
  }

  count(status: number, seconds: number): void {
    this.requests.set(status, (this.requests.get(status) ?? 0) + 1);
    this.duration.observe(seconds);
  }
}
