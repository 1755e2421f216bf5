/** What limits, AuthPolicies and caches have decided in a worker. Filters count these up. */

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

export const CACHE_RESULTS = ['hit', 'stale', 'revalidated', 'collapsed', 'miss', 'bypass'] as const;
