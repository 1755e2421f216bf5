/** Metrics of what the pod fetches for its policies. */
import { Counter, Gauge, type Registry } from 'prom-client';

/** Of one kind of documents. */
export interface DocumentMetrics {
  readonly kind: string;
  readonly fresh: number;
  readonly stale: number;
  readonly missing: number;
  /** By result. */
  readonly fetches: ReadonlyMap<string, number>;
}

/** Adds the metrics to the registry. @param counts asked at each scrape */
export function addDocumentMetrics(registry: Registry, counts: () => readonly DocumentMetrics[]): void {
  const registers = [registry];
  const documents: Gauge<'kind' | 'state'> = new Gauge({
    name: 'tidegate_documents',
    help: 'Documents that policies name: fresh; stale: the last good one, past its time; missing: there has been none.',
    labelNames: ['kind', 'state'],
    registers,
    collect: () => {
      for (const { kind, fresh, stale, missing } of counts()) {
        for (const [state, count] of Object.entries({ fresh, stale, missing })) documents.set({ kind, state }, count);
      }
    },
  });
  const fetches: Counter<'kind' | 'result'> = new Counter({
    name: 'tidegate_document_fetches_total',
    help: 'Calls for documents that policies name, by result.',
    labelNames: ['kind', 'result'],
    registers,
    collect: () => {
      fetches.reset();
      for (const { kind, fetches: byResult } of counts()) for (const [result, count] of byResult) fetches.inc({ kind, result }, count);
    },
  });
}
