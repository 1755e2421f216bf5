import { increment, NONE } from './counts.ts';
import { Histogram } from './histogram.ts';

/** What a worker counts for one upstream. */
export class UpstreamMetrics {
  readonly upstream: string;
  /** By status. Made with the first answer, as many of thousands of upstreams never get a request. */
  #requests: Map<number, number> | undefined;
  #duration: Histogram | undefined;
  /** By reason; made with the first. */
  #tlsFailures: Map<string, number> | undefined;
  #refusals: Map<string, number> | undefined;

  constructor(upstream: string) {
    this.upstream = upstream;
  }

  get requests(): ReadonlyMap<number, number> {
    return this.#requests ?? NONE;
  }

  /** Undefined before the first answer. */
  get duration(): Histogram | undefined {
    return this.#duration;
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
    this.#requests ??= new Map();
    this.#duration ??= new Histogram();
    this.#requests.set(status, (this.#requests.get(status) ?? 0) + 1);
    this.#duration.observe(seconds);
  }
}
