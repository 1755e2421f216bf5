/** When an endpoint at which requests fail is ejected, and for how long. Times in milliseconds. */
import { EJECTION } from '../../snapshot/defaults.ts';
import type { PassiveCheck } from '../../snapshot/upstream.ts';

/** @returns how many of so many endpoints may be ejected at once: never the last one */
export function ejectionLimit(endpoints: number, maxEjectionPercent: number): number {
  if (endpoints < 2) return 0;
  return Math.min(endpoints - 1, Math.max(1, Math.floor((endpoints * maxEjectionPercent) / 100)));
}

/**
 * How many earlier ejections still count for an endpoint that has been in use for a while: one is forgiven for each
 * `baseEjection` without another.
 */
export function remembered(ejections: number, inUseFor: number, { baseEjection }: PassiveCheck): number {
  return Math.max(0, ejections - Math.floor(Math.max(0, inUseFor) / baseEjection));
}

/** How long the n-th ejection lasts. @param ejections n, from 1 on */
export function ejectionTime(ejections: number, { baseEjection }: PassiveCheck): number {
  return Math.min(baseEjection * ejections, EJECTION.longest);
}
