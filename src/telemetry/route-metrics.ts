import { increment, NONE } from './counts.ts';
import { Histogram } from './histogram.ts';

export const METHODS: readonly string[] = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE'];
/** Label of every other method: label values never come from a request unbounded. */
export const OTHER_METHOD = 'other';

/** What a worker counts for one route. */
export class RouteMetrics {
  readonly route: string;
  /** Count by `method index * 1000 + status`. Made with the first request, as most of ten thousand routes never get one. */
  #requests: Map<number, number> | undefined;
  #duration: Histogram | undefined;
  #retries: Map<string, number> | undefined;
  #calls: Map<string, number> | undefined;

  constructor(route: string) {
    this.route = route;
  }

  get requests(): ReadonlyMap<number, number> {
    return this.#requests ?? NONE;
  }

  /** Undefined before the first request. */
  get duration(): Histogram | undefined {
    return this.#duration;
  }

  /** Count by `call\nresult`. */
  get calls(): ReadonlyMap<string, number> {
    return this.#calls ?? NONE;
  }

  /** A call of an aggregate. */
  countCall(call: string, result: string): void {
    this.#calls ??= new Map();
    increment(this.#calls, `${call}\n${result}`, 1);
  }

  get retries(): ReadonlyMap<string, number> {
    return this.#retries ?? NONE;
  }

  count(method: string, status: number, seconds: number): void {
    this.#requests ??= new Map();
    this.#duration ??= new Histogram();
    const index = method === 'GET' ? 0 : METHODS.indexOf(method);
    const key = (index < 0 ? METHODS.length : index) * 1000 + status;
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
    this.#duration.observe(seconds);
  }

  countRetry(reason: string): void {
    this.#retries ??= new Map();
    increment(this.#retries, reason, 1);
  }
}
