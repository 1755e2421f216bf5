/**
 * Files into resource sets: last good versions, duplicates, age, and the promise that what did not change stays the very
 * same reference.
 */
import type { Decoded } from '../resources/decode.ts';
import { makeEntry, objectKey } from '../resources/entry.ts';
import { sameValue } from '../resources/equality.ts';
import { KINDS, type SetField } from '../resources/kinds.ts';
import type { Entry, FileProblem, Origin, Problem, ResourceSet } from '../resources/resource-set.ts';
import type { ManifestObject } from './manifest-file.ts';

/** A file's objects as they are to count: the newest, or the last good ones. */
export interface LoadedFile {
  readonly path: string;
  readonly objects: readonly ManifestObject[];
}

/** Where an object was read. It moves with the object within its file, so that an entry need not change for that. */
class FileOrigin implements Origin {
  readonly file: string;
  #object: ManifestObject;

  constructor(file: string, object: ManifestObject) {
    this.file = file;
    this.#object = object;
  }

  get line(): number {
    return this.#object.line();
  }

  lineOf(field: string): number {
    return this.#object.lineOf(field);
  }

  moveTo(object: ManifestObject): void {
    this.#object = object;
  }
}

/** An entry with what it takes to tell whether it still holds. */
interface Held {
  readonly entry: Entry<unknown>;
  readonly origin: FileOrigin;
  readonly decoded: Decoded;
}

/** One object at its place in the order of age. */
interface Placed {
  readonly object: ManifestObject;
  readonly file: string;
  /** Kind, namespace and name. */
  readonly key: string;
  /** Unique, and the same in the next set. */
  readonly id: string;
  /** Milliseconds since the epoch; undated objects have none. */
  readonly created: number | undefined;
  /** Place among all objects by path and line. */
  readonly place: number;
}

export class ResourceStore {
  readonly #ranks;
  #held: ReadonlyMap<string, Held> = new Map();
  #set: ResourceSet | undefined;

  constructor(ranks: { assign(ids: readonly string[]): ReadonlyMap<string, number> }) {
    this.#ranks = ranks;
  }

  /**
   * @param files every file, in the byte order of their paths
   * @returns the very same set as the last time where nothing changed
   */
  update(files: readonly LoadedFile[], fileProblems: readonly FileProblem[]): ResourceSet {
    const placed = inAgeOrder(files);
    const ranks = this.#ranks.assign(placed.map(({ id }) => id));
    const held = new Map<string, Held>();
    const winners = new Map<string, Placed>();
    const rejected: Entry<never>[] = [];
    const maps = emptyMaps();
    for (const one of placed) {
      const { decoded } = one.object;
      const first = winners.get(one.key);
      const belongs = decoded.kind !== undefined && decoded.name !== '' && first === undefined;
      const extra = first === undefined ? [] : [duplicateProblem(one, first, held)];
      const next = this.#hold(one, ranks.get(one.id) as number, extra, belongs);
      held.set(one.id, next);
      if (belongs && decoded.kind !== undefined) {
        winners.set(one.key, one);
        maps[decoded.kind.field].set(objectKey(decoded), next.entry);
      } else {
        rejected.push(next.entry as Entry<never>);
      }
    }
    this.#held = held;
    this.#set = this.#assemble(maps, rejected, fileProblems);
    return this.#set;
  }

  /** The entry as it was where it still holds, else a new one. */
  #hold(placed: Placed, age: number, extra: readonly Problem[], belongs: boolean): Held {
    const { object, file, id } = placed;
    const { decoded } = object;
    const before = this.#held.get(id);
    const problems = [...object.problems(), ...extra];
    if (before !== undefined && before.entry.age === age && sameDecoded(before.decoded, decoded) && sameProblems(before.entry.problems, problems)) {
      before.origin.moveTo(object);
      return before;
    }
    // A bad version leaves the last good one in force, in whichever file that stood.
    const good = extra.length > 0 ? undefined : (decoded.object ?? (belongs ? this.#lastGood(placed) : undefined));
    const origin = new FileOrigin(file, object);
    return { entry: makeEntry(decoded, { age, origin, object: good, problems }), origin, decoded };
  }

  #lastGood({ object: { decoded } }: Placed): unknown {
    if (this.#set === undefined || decoded.kind === undefined) return undefined;
    const map = this.#set[decoded.kind.field] as ReadonlyMap<string, Entry<unknown>>;
    return map.get(objectKey(decoded))?.object;
  }

  #assemble(maps: Maps, rejected: readonly Entry<never>[], fileProblems: readonly FileProblem[]): ResourceSet {
    const before = this.#set;
    const set: Record<string, unknown> = {
      apiServer: NO_API_SERVER,
      rejected: before !== undefined && sameItems(before.rejected, rejected) ? before.rejected : rejected,
      fileProblems: before !== undefined && JSON.stringify(before.fileProblems) === JSON.stringify(fileProblems) ? before.fileProblems : fileProblems,
    };
    for (const { field } of KINDS) {
      const map = maps[field];
      const old = before?.[field] as ReadonlyMap<string, Entry<unknown>> | undefined;
      set[field] = old !== undefined && sameEntries(old, map) ? old : map;
    }
    if (before !== undefined && Object.keys(set).every((field) => set[field] === before[field as keyof ResourceSet])) return before;
    return set as unknown as ResourceSet;
  }
}

const NO_API_SERVER: readonly string[] = [];

type Maps = Record<SetField, Map<string, Entry<unknown>>>;

function emptyMaps(): Maps {
  return Object.fromEntries(KINDS.map(({ field }) => [field, new Map()])) as Maps;
}

/** Dated objects first, by date and then by name; undated ones after them, by path and place in the file. */
function inAgeOrder(files: readonly LoadedFile[]): Placed[] {
  const seen = new Map<string, number>();
  const placed: Placed[] = [];
  for (const { path, objects } of files) {
    for (const object of objects) {
      const { kindName, namespace, name, creationTimestamp } = object.decoded;
      const key = `${kindName}/${namespace}/${name}`;
      const inFile = `${key} ${path}`;
      const count = seen.get(inFile) ?? 0;
      seen.set(inFile, count + 1);
      placed.push({
        object,
        file: path,
        key,
        id: `${count} ${inFile}`,
        created: creationTimestamp === undefined ? undefined : Date.parse(creationTimestamp),
        place: placed.length,
      });
    }
  }
  return placed.sort((left, right) => {
    if (left.created === undefined || right.created === undefined) {
      if (left.created === right.created) return left.place - right.place;
      return left.created === undefined ? 1 : -1;
    }
    if (left.created !== right.created) return left.created - right.created;
    const leftName = `${left.object.decoded.namespace}/${left.object.decoded.name}`;
    const rightName = `${right.object.decoded.namespace}/${right.object.decoded.name}`;
    return leftName === rightName ? left.place - right.place : leftName < rightName ? -1 : 1;
  });
}

function duplicateProblem(one: Placed, first: Placed, held: ReadonlyMap<string, Held>): Problem {
  const { kindName, namespace, name } = one.object.decoded;
  const origin = held.get(first.id)?.origin;
  return {
    severity: 'error',
    reason: 'Conflicted',
    field: 'metadata.name',
    message: `${[kindName, namespace, name].filter((part) => part !== '').join('/')} is already at ${first.file}:${origin?.line ?? 0}, which counts`,
    hint: 'remove one of them, or give it another name or namespace',
    line: one.object.lineOf('metadata.name'),
  };
}

/** What a version says, apart from its problems; fields that nobody uses do not count. */
function sameDecoded(left: Decoded, right: Decoded): boolean {
  return left === right || (left.generation === right.generation && sameValue(left.object, right.object) && sameValue(left.closes, right.closes));
}

function sameProblems(left: readonly Problem[], right: readonly Problem[]): boolean {
  return left.length === right.length && (left.length === 0 || JSON.stringify(left) === JSON.stringify(right));
}

function sameItems(left: readonly unknown[], right: readonly unknown[]): boolean {
  return left.length === right.length && left.every((item, index) => item === right[index]);
}

/** Whether both hold the same entries in the same order. */
function sameEntries(left: ReadonlyMap<string, Entry<unknown>>, right: ReadonlyMap<string, Entry<unknown>>): boolean {
  if (left.size !== right.size) return false;
  const others = right.values();
  for (const entry of left.values()) if (entry !== others.next().value) return false;
  return true;
}
