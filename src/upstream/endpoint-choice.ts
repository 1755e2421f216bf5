/** Which of an upstream's endpoints are in use: by their state, their health and their zone. */
import type { Upstream } from '../snapshot/upstream.ts';

export interface Candidate {
  readonly state: 'Ready' | 'Terminating';
  /** As checks and ejections have it. */
  readonly isUsable: boolean;
  readonly zone: string | undefined;
  readonly forZones: readonly string[] | undefined;
}

export interface Choice<T> {
  readonly inUse: readonly T[];
  /** Usable ones of other zones, for a request that has failed in this one. */
  readonly elsewhere: readonly T[];
}

/**
 * Ready endpoints that are usable; of these, those that are for our zone. All ready ones where too few are usable (panic).
 * Where none is, those that are terminating and still serve.
 * @param zone our own; empty: unknown
 */
export function chooseEndpoints<T extends Candidate>(all: readonly T[], settings: Pick<Upstream, 'loadBalancer' | 'healthCheck'>, zone: string): Choice<T> {
  const ready = all.filter(({ state }) => state === 'Ready');
  const usable = ready.filter(({ isUsable }) => isUsable);
  const threshold = settings.healthCheck?.panicThresholdPercent ?? 0;
  if (usable.length * 100 < threshold * ready.length) return { inUse: ready, elsewhere: [] };
  if (usable.length === 0) return { inUse: all.filter(({ state, isUsable }) => state === 'Terminating' && isUsable), elsewhere: [] };
  if (zone === '') return { inUse: usable, elsewhere: [] };
  const near = ofZone(usable, zone, settings.loadBalancer.zoneAware === true);
  if (near.length === usable.length) return { inUse: usable, elsewhere: [] };
  const isNear = new Set(near);
  return { inUse: near, elsewhere: usable.filter((one) => !isNear.has(one)) };
}

/**
 * Hints decide where every endpoint has one and one is for us: else somebody has not finished writing them, as kube-proxy
 * sees it. Without hints the zone keeps its traffic as long as it has at least half of a zone's mean.
 */
function ofZone<T extends Candidate>(usable: readonly T[], zone: string, zoneAware: boolean): readonly T[] {
  if (usable.every(({ forZones }) => forZones !== undefined && forZones.length > 0)) {
    const hinted = usable.filter(({ forZones }) => forZones?.includes(zone));
    return hinted.length > 0 ? hinted : usable;
  }
  if (!zoneAware) return usable;
  const zoned = usable.filter((one) => one.zone !== undefined);
  const own = zoned.filter((one) => one.zone === zone);
  const zones = new Set(zoned.map((one) => one.zone)).size;
  return own.length > 0 && own.length * 2 * zones >= zoned.length ? own : usable;
}
