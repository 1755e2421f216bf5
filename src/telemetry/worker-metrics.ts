/**
 * A worker's counters. The hot path only does array and map increments on objects that a route or an upstream holds on to;
 * labels and text come into being when somebody scrapes.
 */

import { increment } from './counts.ts';
import { AuthDecisionMetrics, CACHE_RESULTS, CacheResultMetrics, LimitDecisionMetrics } from './decision-metrics.ts';
import { pushHistogram } from './histogram.ts';
import { counter, type MetricFamily, type MetricSample } from './metric-family.ts';
import { PassthroughMetrics } from './passthrough-metrics.ts';
import { PolicyCounters } from './policy-counters.ts';
import { METHODS, OTHER_METHOD, RouteMetrics } from './route-metrics.ts';
import { UpstreamMetrics } from './upstream-metrics.ts';

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
  readonly passthroughs = new PassthroughMetrics();

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
      if (metrics.duration !== undefined)
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
      ...this.passthroughs.families(),
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
  tidegate_accept_pauses_total: 'Times that accepting paused because no file descriptor was left for it.',
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
