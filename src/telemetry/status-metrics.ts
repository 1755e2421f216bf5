/** Metrics of what is reported to the cluster. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface ReportingState {
  readonly leading: boolean;
  /** Writes of statuses by kind, and of Events, by result. */
  readonly writes: Iterable<{ readonly kind: string; readonly result: string; readonly count: number }>;
}

/** Adds the metrics to the registry. @param state read at each scrape */
export function addStatusMetrics(registry: Registry, state: ReportingState): void {
  const registers = [registry];
  const leader: Gauge = new Gauge({
    name: 'tidegate_leader',
    help: '1 while this replica leads, and so writes statuses and Events.',
    registers,
    collect: () => leader.set(state.leading ? 1 : 0),
  });
  const writes: Counter<'kind' | 'result'> = new Counter({
    name: 'tidegate_status_writes_total',
    help: 'Writes of statuses by kind of the object, and of Events, by result.',
    labelNames: ['kind', 'result'],
    registers,
    collect: () => {
      writes.reset();
      for (const { kind, result, count } of state.writes) writes.inc({ kind, result }, count);
    },
  });
}
