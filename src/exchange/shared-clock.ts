// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';

/**
 * `performance.now()` counts from the start of its thread; this is what its readings are short of the machine's own
 * monotonic clock, in milliseconds. The narrowest of a few measurements is right to the microsecond.
 */
function threadOffset(): number {
  let offset = 0;
  let narrowest = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 8; round++) {
    const before = performance.now();
    const [seconds, nanoseconds] = process.hrtime();
    const after = performance.now();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    offset = seconds * 1000 + nanoseconds / 1e6 - (before + after) / 2;
  }
  return offset;
}

/** Added to a reading of this thread's `performance.now()` it gives a time that all threads of the process read alike. */
export const SHARED_OFFSET = threadOffset();
