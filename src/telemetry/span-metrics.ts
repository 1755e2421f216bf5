/** Metrics of the traces that are exported. */
import { Counter, type Registry } from 'prom-client';
import type { SpanCounts } from './tracing/span-exporter.ts';

/** Adds the metrics to the registry. @param counts asked at each scrape */
export function addSpanMetrics(registry: Registry, counts: () => SpanCounts): void {
  const registers = [registry];
  const exported: Counter = new Counter({
    name: 'tidegate_spans_exported_total',
    help: 'Spans that the collector has taken.',
    registers,
    collect: () => {
      exported.reset();
      exported.inc(counts().exported);
    },
  });
  const dropped: Counter<'reason'> = new Counter({
    name: 'tidegate_spans_dropped_total',
    help: 'Spans that were lost: queue_full, refused by the collector, or stopped.',
    labelNames: ['reason'],
    registers,
    collect: () => {
      dropped.reset();
      for (const [reason, count] of counts().dropped) dropped.inc({ reason }, count);
    },
  });
}
