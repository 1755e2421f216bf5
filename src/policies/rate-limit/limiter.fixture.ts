/** For tests: limits, a clock that stands still until it is moved, and models of the algorithms in plain terms. */
import type { Limit } from '../../snapshot/rate-limit.ts';
import type { TimeSource } from './time.ts';

export function limitOf(limit: Partial<Limit> = {}): Limit {
  const algorithm = limit.algorithm ?? 'TokenBucket';
  const requests = limit.requests ?? 10;
  return {
    name: 'test',
    id: 'default/policy/route/test',
    policy: 'default/policy',
    algorithm,
    requests,
    period: limit.calendar === undefined ? 1000 : 0,
    burst: algorithm === 'TokenBucket' ? requests : 0,
    key: [],
    mode: 'Enforce',
    ...limit,
  };
}

/** Memory for tests: small, so that sets fill up. */
export const SMALL = { counterSets: 4, logSets: 4 } as const;

export class SimulatedTime implements TimeSource {
  elapsed = 0;
  wallOffset: number;

  /** @param start on the wall clock */
  constructor(start = Date.UTC(2026, 0, 1)) {
    this.wallOffset = start;
  }

  /** Any base: only differences count. */
  monotonic(): number {
    return 5_000_000 + this.elapsed;
  }

  wall(): number {
    return this.wallOffset + this.elapsed;
  }

  pass(milliseconds: number): void {
    this.elapsed += milliseconds;
  }

  /** Sets the wall clock forward or back, which the monotonic clock does not see. */
  setWallBy(milliseconds: number): void {
    this.wallOffset += milliseconds;
  }
}
