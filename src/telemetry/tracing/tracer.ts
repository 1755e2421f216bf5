import { performance } from 'node:perf_hooks';
import { newSpanId } from '../../exchange/request-id.ts';
import type { ParentContext, SpanContext } from '../../exchange/trace-context.ts';
import type { Span } from './span.ts';

/** Spans go to the main thread when so many are there, or after that time (ms). */
const BATCH = 256;
const INTERVAL = 500;

/** What a span is of; its times are readings of performance.now(). */
export interface SpanFacts {
  readonly kind: Span['kind'];
  readonly name: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly isError: boolean;
}

/** Decides which traces one worker records, and hands on their spans. */
export class Tracer {
  readonly #threshold: number;
  readonly #deliver: (spans: Span[]) => void;
  #spans: Span[] = [];

  /**
   * @param ratio share of the traces to record, 0 to 1
   * @param deliver gets spans that are over
   */
  constructor(ratio: number, deliver: (spans: Span[]) => void) {
    this.#threshold = ratio * 2 ** 32;
    this.#deliver = deliver;
    setInterval(() => this.flush(), INTERVAL).unref();
  }

  /**
   * The beginning of a request. Who is trusted has decided for the whole trace; else the trace's own number does, so that all
   * replicas decide alike. Anybody could have everything recorded otherwise.
   * @returns undefined where nothing is recorded
   */
  begin(traceId: string, parent: ParentContext | undefined, isTrusted: boolean): SpanContext | undefined {
    const isSampled = parent !== undefined && isTrusted ? parent.isSampled : Number.parseInt(traceId.slice(24), 16) < this.#threshold;
    return isSampled ? { traceId, spanId: newSpanId(), parentSpanId: parent?.spanId ?? '' } : undefined;
  }

  end({ traceId, spanId, parentSpanId }: SpanContext, { kind, name, startedAt, endedAt, attributes, isError }: SpanFacts): void {
    // The clock may have been set since the thread began.
    const epoch = Date.now() - performance.now();
    this.#spans.push({ traceId, spanId, parentSpanId, kind, name, startTime: epoch + startedAt, endTime: epoch + endedAt, attributes, isError });
    if (this.#spans.length >= BATCH) this.flush();
  }

  flush(): void {
    if (this.#spans.length === 0) return;
    const spans = this.#spans;
    this.#spans = [];
    this.#deliver(spans);
  }
}
