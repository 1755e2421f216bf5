/** What W3C trace context says of a request (https://www.w3.org/TR/trace-context/), and the span that the gateway records of it. */
import { isTraceparent, newSpanId } from './request-id.ts';

/** A span under way. An exchange has one where its trace is recorded, and none otherwise. */
export interface SpanContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** 16 hex digits; empty: it is the root. */
  readonly parentSpanId: string;
}

/** A traceparent as somebody above has sent it. */
export interface ParentContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
}

/** @returns undefined where the field is none, or malformed */
export function parseTraceparent(text: string | undefined): ParentContext | undefined {
  if (text === undefined || !isTraceparent(text)) return undefined;
  return { traceId: text.slice(3, 35), spanId: text.slice(36, 52), isSampled: (Number.parseInt(text.slice(53, 55), 16) & 1) === 1 };
}

export function childOf({ traceId, spanId }: SpanContext): SpanContext {
  return { traceId, spanId: newSpanId(), parentSpanId: spanId };
}

/** The field as the one below gets it. */
export function traceparentOf({ traceId, spanId }: SpanContext): string {
  return `00-${traceId}-${spanId}-01`;
}
