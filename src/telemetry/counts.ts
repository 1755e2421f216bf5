/** Counts by label. */

/** What is counted nowhere yet. */
export const NONE = new Map<never, number>();

export function increment(map: Map<string, number>, key: string, by: number): void {
  map.set(key, (map.get(key) ?? 0) + by);
}
