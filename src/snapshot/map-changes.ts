/** What differs between a large map and the one that it was made of: who made it tells, so that nobody behind has to compare all. */

interface Step {
  readonly before: WeakRef<ReadonlyMap<string, unknown>>;
  readonly keys: readonly string[];
}

const steps = new WeakMap<ReadonlyMap<string, unknown>, Step>();

/** @param keys every one under which `after` has something else than `before`; others among them do no harm */
export function tellChanges(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>, keys: readonly string[]): void {
  steps.set(after, { before: new WeakRef(before), keys });
}

/** @returns keys under which they have not the very same */
export function changedKeys(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): string[] {
  if (before === after) return [];
  const step = steps.get(after);
  const candidates = step?.before.deref() === before ? step.keys : [...after.keys(), ...before.keys()];
  return [...new Set(candidates.filter((key) => before.get(key) !== after.get(key)))];
}
