/** Resource sets from objects as manifests give them, for tests that make many. */
import { decode } from '../../resources/decode.ts';
import { makeEntry, objectKey } from '../../resources/entry.ts';
import { KINDS } from '../../resources/kinds.ts';
import type { Entry, ResourceSet } from '../../resources/resource-set.ts';

export type Manifest = Readonly<Record<string, unknown>>;

const NO_API_SERVER: readonly string[] = [];
const known = new WeakMap<Manifest, Entry<unknown>>();

/**
 * @param manifests the oldest first; of two with one name the first counts. The same value gives the very same entry in
 *   every set, as long as its place among them is the same
 * @param order in which the objects come into the maps
 */
export function buildSet(manifests: readonly Manifest[], order: readonly number[] = manifests.map((_, index) => index)): ResourceSet {
  const maps: Record<string, Map<string, Entry<unknown>>> = Object.fromEntries(KINDS.map(({ field }) => [field, new Map()]));
  const chosen = new Map<string, number>();
  const entries = manifests.map((manifest, age) => {
    const entry = entryOf(manifest, age);
    const name = `${entry.kind} ${entry.namespace}/${entry.name}`;
    if (!chosen.has(name)) chosen.set(name, age);
    return entry;
  });
  for (const index of order) {
    const entry = entries[index] as Entry<unknown>;
    const kind = KINDS.find((one) => one.kind === entry.kind);
    if (kind === undefined || chosen.get(`${entry.kind} ${entry.namespace}/${entry.name}`) !== index) continue;
    maps[kind.field]?.set(objectKey(entry), entry);
  }
  return { ...maps, apiServer: NO_API_SERVER, rejected: [], fileProblems: [] } as unknown as ResourceSet;
}

function entryOf(manifest: Manifest, age: number): Entry<unknown> {
  const before = known.get(manifest);
  if (before?.age === age) return before;
  const decoded = decode(manifest);
  if (decoded === undefined) throw new TypeError('not an object of ours');
  const origin = { file: 'set', line: age + 1, lineOf: () => age + 1 };
  const entry = makeEntry(decoded, { age, origin, object: decoded.object, problems: decoded.problems });
  known.set(manifest, entry);
  return entry;
}
