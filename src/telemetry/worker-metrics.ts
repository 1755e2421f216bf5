/**
 * A worker's counters. The hot path only does array and map increments on objects that a route or an upstream holds on to;
 * labels and text come into being when somebody scrapes.
 */

import { PolicyCounters } from './policy-counters.ts';

/** Upper bounds of the duration histograms, in seconds. */
export const DURATION_BUCKETS: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

const METHODS: readonly string[] = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE'];
/** Label of every other method: label values never come from a request unbounded. */
const OTHER_METHOD = 'other';

export class Histogram {
  /** One more than there are bounds: the last is +Inf. */
  readonly counts = new Float64Array(DURATION_BUCKETS.length + 1);
  sum = 0;

  /** @param seconds the value observed */
  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < DURATION_BUCKETS.length && seconds > (DURATION_BUCKETS[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += seconds;
  }
}

const NONE = new Map<never, number>();

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
    this.#retries.set(reason, (this.#retries.get(reason) ?? 0) + 1);
  }
}

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
    this.#tlsFailures.set(reason, (this.#tlsFailures.get(reason) ?? 0) + 1);
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

/** What one rate limit has decided. */
export class LimitDecisionMetrics {
  readonly policy: string;
  readonly limit: string;
  allowed = 0;
  refused = 0;
  shadowRefused = 0;
  nearlyRefused = 0;

  constructor(policy: string, limit: string) {
    this.policy = policy;
    this.limit = limit;
  }
}

/** What one method or check of an AuthPolicy has decided. */
export class AuthDecisionMetrics {
  readonly policy: string;
  readonly method: string;
  allowed = 0;
  refused = 0;
  failed = 0;

  constructor(policy: string, method: string) {
    this.policy = policy;
    this.method = method;
  }
}

/** What the cache did with the requests of one route. */
export class CacheResultMetrics {
  readonly route: string;
  hit = 0;
  stale = 0;
  revalidated = 0;
  collapsed = 0;
  miss = 0;
  bypass = 0;

  constructor(route: string) {
    this.route = route;
  }
}

const CACHE_RESULTS = ['hit', 'stale', 'revalidated', 'collapsed', 'miss', 'bypass'] as const;

/** One sample as prom-client's aggregator takes it. */
export interface MetricSample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

/** A metric with its samples, in the form in which prom-client's cluster aggregation reads them. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly aggregator: 'sum' | 'max';
  readonly values: readonly MetricSample[];
}

export interface ConnectionGauge {
  readonly listener: string;
  readonly open: number;
  readonly active: number;
  /** Absent: this listener passes none through. */
  readonly passed?: number;
}

export class WorkerMetrics {
  readonly #routes = new Map<string, RouteMetrics>();
  readonly #upstreams = new Map<string, UpstreamMetrics>();
  readonly #limits = new Map<string, LimitDecisionMetrics>();
  readonly #auth = new Map<string, AuthDecisionMetrics>();
  readonly #caches = new Map<string, CacheResultMetrics>();
  readonly #counters = new Map<string, number>();
  readonly #shed = new Map<string, number>();
  readonly policies = new PolicyCounters();

  /** The counters of a route; the same object for the same id, also over reloads. */
  route(id: string): RouteMetrics {
    let metrics = this.#routes.get(id);
    if (metrics === undefined) {
      metrics = new RouteMetrics(id);
      this.#routes.set(id, metrics);
    }
    return metrics;
  }

  upstream(key: string): UpstreamMetrics {
    let metrics = this.#upstreams.get(key);
    if (metrics === undefined) {
      metrics = new UpstreamMetrics(key);
      this.#upstreams.set(key, metrics);
    }
    return metrics;
  }

  /** The counters of a limit; the same object for the same names, also over reloads. */
  limit(policy: string, limit: string): LimitDecisionMetrics {
    const key = `${policy}\n${limit}`;
    let metrics = this.#limits.get(key);
    if (metrics === undefined) {
      metrics = new LimitDecisionMetrics(policy, limit);
      this.#limits.set(key, metrics);
    }
    return metrics;
  }

  /** The counters of a method of an AuthPolicy; the same object for the same names, also over reloads. */
  authDecisions(policy: string, method: string): AuthDecisionMetrics {
    const key = `${policy}\n${method}`;
    let metrics = this.#auth.get(key);
    if (metrics === undefined) {
      metrics = new AuthDecisionMetrics(policy, method);
      this.#auth.set(key, metrics);
    }
    return metrics;
  }

  /** What the cache did on a route; the same object for the same id, also over reloads. */
  cacheResults(route: string): CacheResultMetrics {
    let metrics = this.#caches.get(route);
    if (metrics === undefined) {
      metrics = new CacheResultMetrics(route);
      this.#caches.set(route, metrics);
    }
    return metrics;
  }

  /** Plain counters without labels, by metric name; the names are those in `PLAIN_COUNTERS`. */
  add(name: keyof typeof PLAIN_COUNTERS, by: number): void {
    increment(this.#counters, name, by);
  }

  /** Counts a request that was not taken on. @param reason as in the log */
  shed(reason: string): void {
    increment(this.#shed, reason, 1);
  }

  /** Forgets routes and upstreams that are gone, so that churn does not grow memory. */
  forget(routes: Iterable<string>, upstreams: Iterable<string>): void {
    for (const id of routes) {
      this.#routes.delete(id);
      this.#caches.delete(id);
    }
    for (const key of upstreams) this.#upstreams.delete(key);
  }

  /**
   * Everything counted so far, for a scrape.
   * @param counted plain counters that somebody else keeps
   */
  families(connections: readonly ConnectionGauge[], counted: Readonly<Partial<Record<keyof typeof PLAIN_COUNTERS, number>>>): MetricFamily[] {
    const requests: MetricSample[] = [];
    const durations: MetricSample[] = [];
    const retries: MetricSample[] = [];
    const calls: MetricSample[] = [];
    for (const metrics of this.#routes.values()) {
      for (const [key, value] of metrics.requests) {
        requests.push({ labels: { route: metrics.route, method: METHODS[Math.floor(key / 1000)] ?? OTHER_METHOD, code: key % 1000 }, value });
      }
      if (metrics.duration !== undefined) pushHistogram(durations, 'tidegate_request_duration_seconds', { route: metrics.route }, metrics.duration);
      for (const [key, value] of metrics.calls) {
        const [call = '', result = ''] = key.split('\n');
        calls.push({ labels: { route: metrics.route, call, result }, value });
      }
      for (const [reason, value] of metrics.retries) retries.push({ labels: { route: metrics.route, reason }, value });
    }
    const upstreamRequests: MetricSample[] = [];
    const upstreamDurations: MetricSample[] = [];
    const tlsFailures: MetricSample[] = [];
    const refusals: MetricSample[] = [];
    for (const metrics of this.#upstreams.values()) {
      for (const [code, value] of metrics.requests) upstreamRequests.push({ labels: { upstream: metrics.upstream, code }, value });
      for (const [reason, value] of metrics.tlsFailures) tlsFailures.push({ labels: { upstream: metrics.upstream, reason }, value });
      for (const [reason, value] of metrics.refusals) refusals.push({ labels: { upstream: metrics.upstream, reason }, value });
      pushHistogram(upstreamDurations, 'tidegate_upstream_duration_seconds', { upstream: metrics.upstream }, metrics.duration);
    }
    const decisions: MetricSample[] = [];
    const near: MetricSample[] = [];
    for (const { policy, limit, allowed, refused, shadowRefused, nearlyRefused } of this.#limits.values()) {
      for (const [decision, value] of [
        ['allowed', allowed],
        ['refused', refused],
        ['shadow_refused', shadowRefused],
      ] as const) {
        if (value > 0) decisions.push({ labels: { policy, limit, decision }, value });
      }
      if (nearlyRefused > 0) near.push({ labels: { policy, limit }, value: nearlyRefused });
    }
    const authDecisions: MetricSample[] = [];
    for (const { policy, method, ...counts } of this.#auth.values()) {
      for (const [decision, value] of Object.entries(counts)) if (value > 0) authDecisions.push({ labels: { policy, method, decision }, value });
    }
    const cached: MetricSample[] = [];
    for (const metrics of this.#caches.values()) {
      for (const result of CACHE_RESULTS) if (metrics[result] > 0) cached.push({ labels: { route: metrics.route, result }, value: metrics[result] });
    }
    const gauges = connections.flatMap(({ listener, open, active, passed }) => [
      { labels: { listener, state: 'active' }, value: active },
      { labels: { listener, state: 'idle' }, value: Math.max(0, open - active) },
      ...(passed === undefined ? [] : [{ labels: { listener, state: 'passthrough' }, value: passed }]),
    ]);
    return [
      counter('tidegate_requests_total', 'Requests answered, by route, method and status code.', requests),
      {
        name: 'tidegate_request_duration_seconds',
        help: 'From the first byte of a request to the last of its answer.',
        type: 'histogram',
        aggregator: 'sum',
        values: durations,
      },
      counter('tidegate_upstream_requests_total', 'Tries that a backend answered, by upstream and status code.', upstreamRequests),
      {
        name: 'tidegate_upstream_duration_seconds',
        help: "From a try's start to the head of its answer.",
        type: 'histogram',
        aggregator: 'sum',
        values: upstreamDurations,
      },
      counter('tidegate_upstream_tls_failures_total', 'Tries that failed because of TLS, by upstream and reason.', tlsFailures),
      counter('tidegate_aggregate_calls_total', 'Calls of aggregates, by route, call and what became of it.', calls),
      counter('tidegate_retries_total', 'Tries after the first, by route and reason.', retries),
      counter(
        'tidegate_requests_shed_total',
        'Requests refused because the gateway has too many, by reason.',
        [...this.#shed].map(([reason, value]) => ({ labels: { reason }, value })),
      ),
      counter('tidegate_circuit_breaker_refusals_total', 'Requests that a circuit breaker did not let through, by upstream and reason.', refusals),
      counter('tidegate_rate_limit_decisions_total', 'Decisions of rate limits.', decisions),
      counter('tidegate_rate_limit_near_total', 'Requests that a limit let through with less than a tenth of it left.', near),
      counter('tidegate_auth_decisions_total', 'Decisions of AuthPolicies, by method; none: no credential was there.', authDecisions),
      counter('tidegate_cache_requests_total', 'Requests of routes with a cache, by route and by what the cache did.', cached),
      { name: 'tidegate_connections', help: 'Open client connections.', type: 'gauge', aggregator: 'sum', values: gauges },
      ...this.policies.families(),
      ...Object.entries(PLAIN_COUNTERS).map(([name, help]) =>
        counter(name, help, [{ labels: {}, value: (this.#counters.get(name) ?? 0) + (counted[name as keyof typeof PLAIN_COUNTERS] ?? 0) }]),
      ),
    ];
  }
}

/** Metric label of requests that no route took. */
export const NO_ROUTE = 'none';

export const PLAIN_COUNTERS = {
  tidegate_access_log_dropped_total: 'Access log lines dropped because the sink was blocked.',
  tidegate_connections_refused_total: 'Connections closed at once because a listener was full.',
  tidegate_tls_handshake_failures_total: 'TLS handshakes that failed or timed out.',
  tidegate_proxy_protocol_failures_total: 'Connections of trusted proxies closed because their PROXY header was missing, malformed, cut short or late.',
  tidegate_retries_refused_total: 'Retries and hedges that the retry budget did not allow.',
  tidegate_mirror_requests_total: 'Copies of requests that were sent to a mirror.',
  tidegate_mirror_dropped_total: 'Copies of requests that were not sent: too many under way, too large, or no endpoint.',
  tidegate_jwt_verifications_total: 'Tokens whose signature was verified, well or not.',
  tidegate_jwt_cache_hits_total: 'Tokens that were known to be good from before.',
  tidegate_introspection_calls_total: 'Questions to authorization servers about tokens.',
  tidegate_introspection_failures_total: 'Questions to authorization servers that came to no answer.',
  tidegate_introspection_cache_hits_total: 'Tokens whose answer was known from before.',
  tidegate_request_fields_dropped_total: 'Request header fields dropped because of an underscore in their name.',
} as const;

export function counter(name: string, help: string, values: readonly MetricSample[]): MetricFamily {
  return { name, help, type: 'counter', aggregator: 'sum', values };
}

export function pushHistogram(samples: MetricSample[], name: string, labels: Record<string, string>, histogram: Histogram): void {
  let total = 0;
  for (let bucket = 0; bucket <= DURATION_BUCKETS.length; bucket++) {
    total += histogram.counts[bucket] as number;
    samples.push({ labels: { ...labels, le: DURATION_BUCKETS[bucket] ?? '+Inf' }, value: total, metricName: `${name}_bucket` });
  }
  samples.push({ labels, value: histogram.sum, metricName: `${name}_sum` }, { labels, value: total, metricName: `${name}_count` });
}

/** Counters and histograms of two sets of families added up, sample by sample; gauges say nothing once their worker is gone. */
export function addCounts(one: readonly MetricFamily[], other: readonly MetricFamily[]): MetricFamily[] {
  const sums = new Map<string, { readonly family: MetricFamily; readonly samples: Map<string, MetricSample> }>();
  for (const family of [...one, ...other]) {
    if (family.type === 'gauge') continue;
    const sum = sums.get(family.name) ?? { family, samples: new Map<string, MetricSample>() };
    sums.set(family.name, sum);
    for (const sample of family.values) {
      const key = JSON.stringify([sample.metricName, sample.labels]);
      sum.samples.set(key, { ...sample, value: sample.value + (sum.samples.get(key)?.value ?? 0) });
    }
  }
  return [...sums.values()].map(({ family, samples }) => ({ ...family, values: [...samples.values()] }));
}

function increment(map: Map<string, number>, key: string, by: number): void {
  map.set(key, (map.get(key) ?? 0) + by);
}
