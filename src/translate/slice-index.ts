/** EndpointSlices by the Service that they belong to, kept up to date by what changed rather than built anew. */
import type { EndpointSlice } from '../resources/endpoint-slice.ts';
import { entryChanges } from '../resources/entry-changes.ts';
import type { Entries, Entry } from '../resources/resource-set.ts';
import { LayeredMap } from '../snapshot/layered-map.ts';
import { compareText } from './order.ts';

/** The label that ties a slice to its Service. */
export const SERVICE_LABEL = 'kubernetes.io/service-name';

/** `namespace/service`; of a slice without the label, `namespace/`. */
export type ServiceKey = string;

export type SliceEntry = Entry<EndpointSlice>;

export interface SliceIndex {
  /** What was indexed. */
  readonly slices: Entries<EndpointSlice>;
  /** Slices of each Service, by name; those that never were good are left out. */
  readonly byService: LayeredMap<ServiceKey, readonly SliceEntry[]>;
}

const EMPTY: SliceIndex = { slices: new Map(), byService: LayeredMap.of(new Map()) };

export function serviceKeyOf({ object, namespace }: SliceEntry): ServiceKey | undefined {
  return object === undefined ? undefined : `${namespace}/${object.metadata.labels[SERVICE_LABEL] ?? ''}`;
}

/**
 * Regroups the slices of those Services alone where one differs.
 * @returns the new index, and the Services whose slices changed
 */
export function indexSlices(
  slices: Entries<EndpointSlice>,
  previous: SliceIndex = EMPTY,
): { readonly index: SliceIndex; readonly touched: ReadonlySet<ServiceKey> } {
  const touched = new Set<ServiceKey>();
  if (slices === previous.slices) return { index: previous, touched };
  const removed = new Set<SliceEntry>();
  const added = new Map<ServiceKey, SliceEntry[]>();
  const touch = (entry: SliceEntry): ServiceKey | undefined => {
    const key = serviceKeyOf(entry);
    if (key !== undefined) touched.add(key);
    return key;
  };
  for (const { before, after } of entryChanges(previous.slices, slices)) {
    if (before !== undefined && touch(before) !== undefined) removed.add(before);
    const service = after && touch(after);
    if (after === undefined || service === undefined) continue;
    const list = added.get(service);
    if (list === undefined) added.set(service, [after]);
    else list.push(after);
  }
  const edits = [...touched].map((service) => {
    const kept = (previous.byService.get(service) ?? []).filter((entry) => !removed.has(entry));
    const list = [...kept, ...(added.get(service) ?? [])].sort((one, other) => compareText(one.name, other.name));
    return [service, list.length === 0 ? undefined : list] as const;
  });
  return { index: { slices, byService: previous.byService.with(edits) }, touched };
}
