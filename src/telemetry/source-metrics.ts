/** Metrics of a source that reads from an API server, one of each for every resource. */
import { Counter, Gauge, type Registry } from 'prom-client';

/** What a source has done so far for one of the resources that it reads. */
export interface SourceState {
  /** As in the paths of the API, such as `ingresses`. */
  readonly resource: string;
  readonly lists: number;
  readonly watches: number;
  readonly events: number;
  /** By reason. */
  readonly errors: ReadonlyMap<string, number>;
  readonly objects: number;
  /** Read as a whole, and nothing has failed since. */
  readonly isSynced: boolean;
  /** Of the last complete list, in seconds since the epoch; undefined before the first. */
  readonly lastSync: number | undefined;
  /** Seconds since the server last said anything about it; undefined before anything. */
  readonly idle: number | undefined;
}

/** Adds the metrics to the registry. @param states asked at each scrape */
export function addSourceMetrics(registry: Registry, states: () => readonly SourceState[]): void {
  const registers = [registry];
  const labelNames = ['resource'] as const;
  const gauge = (name: string, help: string, value: (state: SourceState) => number | undefined): void => {
    const metric = new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect: () => {
        metric.reset();
        for (const state of states()) {
          const current = value(state);
          if (current !== undefined) metric.set({ resource: state.resource }, current);
        }
      },
    });
  };
  const counter = (name: string, help: string, total: (state: SourceState) => number): void => {
    const metric = new Counter({
      name,
      help,
      labelNames,
      registers,
      collect: () => {
        metric.reset();
        for (const state of states()) metric.inc({ resource: state.resource }, total(state));
      },
    });
  };
  counter('tidegate_source_lists_total', 'Lists begun at the API server.', ({ lists }) => lists);
  counter('tidegate_source_watches_total', 'Watches begun at the API server.', ({ watches }) => watches);
  counter('tidegate_source_events_total', 'Objects received from the API server as events.', ({ events }) => events);
  gauge('tidegate_source_objects', 'Objects held.', ({ objects }) => objects);
  gauge('tidegate_source_synced', '1 while the resource is read as a whole and kept up to date.', ({ isSynced }) => (isSynced ? 1 : 0));
  gauge('tidegate_source_last_sync_timestamp_seconds', 'When a list was last complete.', ({ lastSync }) => lastSync);
  gauge('tidegate_source_idle_seconds', 'Time since the API server last said anything about the resource; it does so each minute.', ({ idle }) => idle);
  const errors: Counter<'resource' | 'reason'> = new Counter({
    name: 'tidegate_source_errors_total',
    help: 'Lists and watches that failed, by reason.',
    labelNames: ['resource', 'reason'],
    registers,
    collect: () => {
      errors.reset();
      for (const { resource, errors: byReason } of states()) for (const [reason, count] of byReason) errors.inc({ resource, reason }, count);
    },
  });
}
