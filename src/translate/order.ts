/** The orders that make translation independent of how maps were filled. */
import { objectKey } from '../resources/entry.ts';
import type { Entries, Entry, ObjectKey } from '../resources/resource-set.ts';
import type { Finding } from './issues.ts';

/** By UTF-16 code units: the same on every machine, unlike a locale's order. */
export function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** The oldest first, then by `namespace/name` (api.md, "Which rule wins"), then by kind. */
export function compareAge(one: Entry<unknown>, other: Entry<unknown>): number {
  return one.age - other.age || compareText(objectKey(one), objectKey(other)) || compareText(one.kind, other.kind);
}

/** As `compareAge` has it within one kind, with the keys of the map: a hundred thousand may be of the same second. */
export function byAge<Value extends Pick<Entry<unknown>, 'age'>>(entries: ReadonlyMap<ObjectKey, Value>): [key: ObjectKey, entry: Value][] {
  return [...entries].sort(([one, older], [other, younger]) => older.age - younger.age || compareText(one, other));
}

export function oldestFirst<T>(entries: Entries<T>): Entry<T>[] {
  return byAge(entries).map(([, entry]) => entry);
}

/** By object; within one object in the order in which they were found, which follows its fields. */
export function sortFindings(findings: Finding[]): Finding[] {
  return findings.sort((one, other) => compareAge(one.entry, other.entry));
}

/** A map with its keys in order, for output that reads the same whatever came first. */
export function sortedMap<T>(map: ReadonlyMap<string, T>): Map<string, T> {
  return new Map([...map].sort(([one], [other]) => compareText(one, other)));
}
