// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';

/** From this thread's `performance.now()`, which begins with the thread, to the clock that all threads share. */
const OFFSET = origin();

function origin(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6 - performance.now();
}

/** Milliseconds on a monotonic clock that is the same for all threads of the process. */
export function monotonicNow(): number {
  return performance.now() + OFFSET;
}
