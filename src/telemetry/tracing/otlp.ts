/** Spans in the protobuf form of OTLP (opentelemetry-proto, ExportTraceServiceRequest). Imported where traces are exported alone: it costs 20 MiB. */
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { Span } from './span.ts';

type ReadableSpan = Parameters<typeof ProtobufTraceSerializer.serializeRequest>[0][number];

const KINDS = { internal: 0, server: 1, client: 2 } as const;
const UNSET = 0;
const ERROR = 2;

/** @param resource attributes of who sends the spans, such as `service.name` */
export function encodeSpans(spans: readonly Span[], resource: Readonly<Record<string, string>>, version: string): Uint8Array {
  const origin = { attributes: resource, asyncAttributesPending: false } as unknown as ReadableSpan['resource'];
  const instrumentationScope = { name: 'tidegate', version };
  const bytes = ProtobufTraceSerializer.serializeRequest(spans.map((span) => readable(span, origin, instrumentationScope)));
  if (bytes === undefined) throw new Error('spans could not be encoded');
  return bytes;
}

function readable(span: Span, resource: ReadableSpan['resource'], instrumentationScope: ReadableSpan['instrumentationScope']): ReadableSpan {
  const { traceId, spanId, parentSpanId, kind, name, startTime, endTime, attributes, isError } = span;
  return {
    name,
    kind: KINDS[kind],
    spanContext: () => ({ traceId, spanId, traceFlags: 1 }),
    ...(parentSpanId === '' ? {} : { parentSpanContext: { traceId, spanId: parentSpanId, traceFlags: 1 } }),
    startTime: hrTime(startTime),
    endTime: hrTime(endTime),
    duration: hrTime(endTime - startTime),
    status: { code: isError ? ERROR : UNSET },
    attributes,
    links: [],
    events: [],
    ended: true,
    resource,
    instrumentationScope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

/** @returns seconds, and nanoseconds beyond them */
function hrTime(milliseconds: number): [number, number] {
  const seconds = Math.floor(milliseconds / 1000);
  return [seconds, Math.floor((milliseconds - seconds * 1000) * 1e6)];
}
