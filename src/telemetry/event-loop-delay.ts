/** How late a thread's event loop runs its timers: what holds up every connection of that thread. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Milliseconds from one sample to the next. */
const SAMPLE_EVERY = 10;

type DelayHistogram = Pick<ReturnType<typeof monitorEventLoopDelay>, 'enable' | 'disable' | 'percentile' | 'reset'>;

export class EventLoopDelay {
  readonly #histogram: DelayHistogram;

  constructor(histogram: DelayHistogram = monitorEventLoopDelay({ resolution: SAMPLE_EVERY })) {
    this.#histogram = histogram;
    histogram.enable();
  }

  /** The 99th percentile in seconds since the last call. */
  take(): number {
    // Node records the time between two samples, the interval included: an idle thread would seem to be late by all of it.
    const seconds = Math.max(0, this.#histogram.percentile(99) / 1e9 - SAMPLE_EVERY / 1000);
    this.#histogram.reset();
    return seconds;
  }

  close(): void {
    this.#histogram.disable();
  }
}
