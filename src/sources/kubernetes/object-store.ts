/**
 * Objects of an API server as entries of a resource set: decoded once, with the last good version kept, and the very same
 * entry for as long as nothing that matters changed. A change costs what the change is.
 */
import { type Decoded, decode } from '../../resources/decode.ts';
import { makeEntry } from '../../resources/entry.ts';
import { EntriesHistory } from '../../resources/entry-changes.ts';
import { sameValue } from '../../resources/equality.ts';
import { GROUP, KINDS, type Kind, type SetField } from '../../resources/kinds.ts';
import type { Entry, Origin, Problem, ResourceSet } from '../../resources/resource-set.ts';
import { LayeredMap } from '../../snapshot/layered-map.ts';
import { keyOf, type RawMetadata, type RawObject, type Sink } from './reflector.ts';

/** `kubectl apply` keeps the whole object in it once more. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

interface Held {
  readonly entry: Entry<unknown>;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  /** Whose object it is: the reader that saw it last. */
  readonly reader: object;
}

interface Shelf {
  readonly held: Map<string, Held>;
  /** Keys of which something changed since the last map. */
  readonly changed: Set<string>;
  readonly history: EntriesHistory;
}

export interface KeptSink extends Sink {
  /** Whether this reader was the last to see the object. @param key as `keyOf` gives it */
  owns(key: string): boolean;
  /** The reader ends. @param heir who reads its objects from now on; nobody: they are gone */
  release(heir: KeptSink | undefined): void;
}

/** Sees every object as the server sends it, with what no entry keeps of it. */
export interface ObjectObserver {
  seen(kind: string, raw: RawObject): void;
  gone(kind: string, namespace: string, name: string): void;
}

export class ObjectStore {
  readonly #origin: Origin;
  readonly #onChange: () => void;
  readonly #observer: ObjectObserver | undefined;
  readonly #shelves: Readonly<Record<SetField, Shelf>>;
  readonly #readers = new WeakMap<KeptSink, object>();
  #set: ResourceSet;

  /**
   * @param server named as where the objects stand
   * @param onChange called for each change; `current` has it
   */
  constructor(server: string, onChange: () => void, observer?: ObjectObserver) {
    this.#observer = observer;
    this.#origin = { file: server, line: 0, lineOf: () => 0 };
    this.#onChange = onChange;
    this.#shelves = Object.fromEntries(
      KINDS.map(({ field }) => [field, { held: new Map(), changed: new Set(), history: new EntriesHistory() }]),
    ) as unknown as Record<SetField, Shelf>;
    const empty = Object.fromEntries(KINDS.map(({ field }) => [field, LayeredMap.of(new Map())]));
    this.#set = { ...empty, rejected: [], fileProblems: [], apiServer: [] } as unknown as ResourceSet;
  }

  /** Everything as it is now; the very same set, maps and entries where nothing changed. */
  get current(): ResourceSet {
    let set: Record<string, unknown> | undefined;
    for (const { field } of KINDS) {
      const { held, changed, history } = this.#shelves[field];
      if (changed.size === 0) continue;
      const before = this.#set[field] as LayeredMap<string, Entry<unknown>>;
      const map = before.with([...changed].map((key) => [key, held.get(key)?.entry] as const));
      history.add(map, changed);
      changed.clear();
      set ??= { ...this.#set };
      set[field] = map;
    }
    if (set !== undefined) this.#set = set as unknown as ResourceSet;
    return this.#set;
  }

  /** @param addresses as `ResourceSet.apiServer` has them */
  setApiServer(addresses: readonly string[]): void {
    if (addresses.join() === this.#set.apiServer.join()) return;
    this.#set = { ...this.#set, apiServer: addresses };
    this.#onChange();
  }

  size(field: SetField): number {
    return this.#shelves[field].held.size;
  }

  /** One reader of a kind. Several may read overlapping parts of it: an object is gone when the one that saw it last says so. */
  sink(kind: Kind): KeptSink {
    const reader = {};
    const shelf = this.#shelves[kind.field].held;
    const drop = (key: string): void => {
      const held = shelf.get(key);
      if (held?.reader !== reader) return;
      shelf.delete(key);
      this.#observer?.gone(kind.kind, held.entry.namespace, held.entry.name);
      this.#touch(kind.field, key);
    };
    const retain = (keys: ReadonlySet<string>): void => {
      for (const [key, held] of shelf) if (held.reader === reader && !keys.has(key)) drop(key);
    };
    const sink: KeptSink = {
      put: (object) => this.#put(kind, reader, object),
      remove: (object) => drop(keyOf(object)),
      retain,
      owns: (key) => shelf.get(key)?.reader === reader,
      release: (heir) => {
        if (heir === undefined) return retain(new Set());
        const to = this.#readers.get(heir) as object;
        for (const [key, held] of shelf) if (held.reader === reader) shelf.set(key, { ...held, reader: to });
      },
    };
    this.#readers.set(sink, reader);
    return sink;
  }

  #put(kind: Kind, reader: object, raw: RawObject): void {
    this.#observer?.seen(kind.kind, raw);
    const shelf = this.#shelves[kind.field].held;
    const key = keyOf(raw);
    const before = shelf.get(key);
    const { uid, resourceVersion } = raw.metadata ?? {};
    const isSame = before !== undefined && before.uid === uid;
    if (isSame && resourceVersion !== undefined && before.resourceVersion === resourceVersion) {
      if (before.reader !== reader) shelf.set(key, { ...before, reader });
      return;
    }
    const entry = this.#entry(kind, raw, isSame ? before.entry : undefined);
    shelf.set(key, { entry, uid, resourceVersion, reader });
    if (entry !== before?.entry) this.#touch(kind.field, key);
  }

  /** @param before of the same object; of another one by the same name nothing is kept */
  #entry(kind: Kind, raw: RawObject, before: Entry<unknown> | undefined): Entry<unknown> {
    const decoded = decodeFromServer(kind, raw);
    const { generation, creationTimestamp, object, problems } = decoded;
    if (before !== undefined && before.generation === generation && sameProblems(before.problems, problems)) {
      if (object === undefined ? sameValue(before.closes, decoded.closes) || before.object !== undefined : sameValue(before.object, object)) return before;
    }
    // Objects of one second are in the order of their names.
    const age = creationTimestamp === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(creationTimestamp);
    // A bad version leaves the last good one in force.
    return makeEntry(decoded, { age, origin: this.#origin, problems, object: object ?? before?.object });
  }

  #touch(field: SetField, key: string): void {
    this.#shelves[field].changed.add(key);
    this.#onChange();
  }
}

/** As from a manifest, but for fields that Kubernetes itself has and we do not know: a newer server must not make its own objects invalid. */
function decodeFromServer(kind: Kind, raw: RawObject): Decoded {
  // Items of lists do not say what they are; what the server keeps for itself changes with every status.
  const { status: _status, metadata, ...rest } = raw as RawObject & { readonly status?: unknown };
  const value = { ...rest, apiVersion: kind.apiVersion, kind: kind.kind, metadata: slim(metadata) };
  let decoded = decode(value) as Decoded;
  if (decoded.object === undefined && !kind.apiVersion.startsWith(`${GROUP}/`)) {
    const known = withoutUnknown(kind, value);
    if (known !== undefined) decoded = decode(known) as Decoded;
  }
  return decoded;
}

function slim(metadata: RawMetadata | undefined): unknown {
  const { name, namespace, uid, generation, creationTimestamp, labels, annotations } = (metadata ?? {}) as Readonly<Record<string, unknown>>;
  let kept = annotations;
  if (typeof annotations === 'object' && annotations !== null && Object.hasOwn(annotations, LAST_APPLIED)) {
    const { [LAST_APPLIED]: _lastApplied, ...others } = annotations as Record<string, unknown>;
    kept = others;
  }
  return { name, namespace, uid, generation, creationTimestamp, labels, annotations: kept };
}

/** @returns the value without the fields that the kind's schema does not know; undefined where there are none */
function withoutUnknown(kind: Kind, value: unknown): unknown {
  const result = kind.schema.safeParse(value);
  const unknown = (result.error?.issues ?? []).filter((issue) => issue.code === 'unrecognized_keys');
  if (unknown.length === 0) return undefined;
  const copy = structuredClone(value);
  for (const { path, keys } of unknown) {
    const parent = path.reduce<unknown>((part, step) => (part as Record<PropertyKey, unknown> | undefined)?.[step], copy);
    for (const key of keys) delete (parent as Record<string, unknown>)[key];
  }
  return copy;
}

function sameProblems(left: readonly Problem[], right: readonly Problem[]): boolean {
  return left.length === right.length && (left.length === 0 || JSON.stringify(left) === JSON.stringify(right));
}
