/** A span that is over, as threads pass it on: by structured clone. Attributes bear OpenTelemetry's names (semantic conventions of HTTP). */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: it is the root. */
  readonly parentSpanId: string;
  readonly kind: 'server' | 'client' | 'internal';
  readonly name: string;
  /** Milliseconds since the epoch, with fractions. */
  readonly startTime: number;
  readonly endTime: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** Something failed; what, is in `error.type`. */
  readonly isError: boolean;
}
