/** Metrics of the names of ExternalName Services. */
import { Gauge, type Registry } from 'prom-client';

export interface NameState {
  readonly resolved: number;
  readonly stale: number;
  readonly unresolved: number;
  /** Addresses that were dropped. */
  readonly refused: number;
}

/** Adds the metrics to the registry. @param state asked at each scrape */
export function addNameMetrics(registry: Registry, state: () => NameState): void {
  const registers = [registry];
  const names: Gauge<'state'> = new Gauge({
    name: 'tidegate_external_names',
    help: 'Names of ExternalName Services: resolved when last looked up; stale: not so, with the addresses of before; unresolved: without any.',
    labelNames: ['state'],
    registers,
    collect: () => {
      const { resolved, stale, unresolved } = state();
      names.set({ state: 'resolved' }, resolved);
      names.set({ state: 'stale' }, stale);
      names.set({ state: 'unresolved' }, unresolved);
    },
  });
  const refused: Gauge = new Gauge({
    name: 'tidegate_external_name_refused_addresses',
    help: 'Addresses that names of ExternalName Services lead to and that no endpoint may have.',
    registers,
    collect: () => refused.set(state().refused),
  });
}
