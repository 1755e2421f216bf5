// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import { SHARED_OFFSET } from '../../exchange/shared-clock.ts';

/** Milliseconds on a monotonic clock that is the same for all threads of the process. */
export function monotonicNow(): number {
  return performance.now() + SHARED_OFFSET;
}
