/**
 * What differs between two maps of one kind. A source that makes a map of the one before tells what it changed, and spares
 * everybody behind it the look at the rest; of maps that nobody has told of, all entries are compared.
 */
import type { Entries, Entry, ObjectKey } from './resource-set.ts';

/** Maps behind the newest, and changes of one, that are remembered: beyond these, a look at everything costs no more. */
const MOST_STEPS = 64;
const MOST_CHANGED = 1024;

export interface EntryChange<T> {
  readonly key: ObjectKey;
  /** Absent: it is new. */
  readonly before: Entry<T> | undefined;
  /** Absent: it is gone. */
  readonly after: Entry<T> | undefined;
}

interface Place {
  readonly history: EntriesHistory;
  readonly version: number;
}

/** Of every map that a history knows. */
const places = new WeakMap<Entries<unknown>, Place>();

/** The maps of one kind in the order in which they were made. It holds none of them. */
export class EntriesHistory {
  #version = 0;
  /** Keys that changed from one map to the next; the newest come last. */
  #steps: (readonly ObjectKey[])[] = [];

  /** @param changed every key under which the map has something else than the one before it; others among them do no harm */
  add(entries: Entries<unknown>, changed: ReadonlySet<ObjectKey>): void {
    this.#version++;
    if (changed.size > MOST_CHANGED) this.#steps = [];
    else this.#steps.push([...changed]);
    if (this.#steps.length > MOST_STEPS) this.#steps.shift();
    places.set(entries, { history: this, version: this.#version });
  }

  /** @returns undefined where that is not known any more */
  changed(from: number, to: number): ReadonlySet<ObjectKey> | undefined {
    const oldest = this.#version - this.#steps.length;
    if (from < oldest || from > to) return undefined;
    return new Set(this.#steps.slice(from - oldest, to - oldest).flat());
  }
}

/** @returns what is new, another one, or gone; entries that did not change are the very same */
export function entryChanges<T>(before: Entries<T>, after: Entries<T>): readonly EntryChange<T>[] {
  if (before === after) return [];
  const changed = knownChanges(before, after);
  const changes: EntryChange<T>[] = [];
  const compare = (key: ObjectKey): void => {
    const [old, now] = [before.get(key), after.get(key)];
    if (old !== now) changes.push({ key, before: old, after: now });
  };
  if (changed !== undefined) {
    for (const key of changed) compare(key);
    return changes;
  }
  let added = 0;
  for (const [key, now] of after) {
    const old = before.get(key);
    if (old === now) continue;
    if (old === undefined) added++;
    changes.push({ key, before: old, after: now });
  }
  if (after.size - added < before.size) for (const key of before.keys()) if (!after.has(key)) compare(key);
  return changes;
}

function knownChanges(before: Entries<unknown>, after: Entries<unknown>): ReadonlySet<ObjectKey> | undefined {
  const [from, to] = [places.get(before), places.get(after)];
  return from === undefined || to === undefined || from.history !== to.history ? undefined : from.history.changed(from.version, to.version);
}
