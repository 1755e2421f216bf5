/** Look-up by host: exact names in a map, wildcards in a trie of labels from the right. */
import { hostKey } from '../snapshot/host-key.ts';
import { LayeredMap } from '../snapshot/layered-map.ts';
import type { HostPattern } from '../snapshot/match.ts';
import { SegmentMap } from './segment-map.ts';

interface LabelNode<Level> {
  readonly children: SegmentMap<LabelNode<Level>>;
  /** While the trie is built; undefined where no wildcard ends. */
  suffix: Level | undefined;
  oneLabel: Level | undefined;
  /** For a host with exactly one label more than the node, and for one with more. */
  one: readonly Level[];
  more: readonly Level[];
}

/** A level that changed, and the hosts that it is for; undefined: it is gone. */
export interface LevelChange<Level> {
  readonly host: HostPattern;
  readonly level: Level | undefined;
}

/** Steps of work between two places where a caller may go on later. */
const STEP = 500;

/**
 * For each host the levels to try, in order: the exact name, the wildcards from the longest to the shortest, then what
 * has no host. They are put together when the table is made, so a look-up costs no more than the labels of its host. A table
 * never changes; `changed` makes the next one of it.
 */
export class HostTable<Level> {
  readonly #exact: LayeredMap<string, readonly Level[]>;
  /** By `hostKey`, all that are no exact names. */
  readonly #others: ReadonlyMap<string, { readonly host: HostPattern; readonly level: Level }>;
  readonly #wildcards: LabelNode<Level>;
  readonly #hasWildcards: boolean;

  private constructor(
    exact: LayeredMap<string, readonly Level[]>,
    others: ReadonlyMap<string, { readonly host: HostPattern; readonly level: Level }>,
    wildcards: LabelNode<Level>,
  ) {
    this.#exact = exact;
    this.#others = others;
    this.#wildcards = wildcards;
    this.#hasWildcards = wildcards.children.size > 0;
  }

  static empty<Level>(): HostTable<Level> {
    return new HostTable(LayeredMap.of(new Map()), new Map(), labelNode());
  }

  /** @param host lower-case, without a trailing dot */
  levels(host: string): readonly Level[] {
    const exact = this.#exact.get(host);
    if (exact !== undefined) return exact;
    return this.#hasWildcards ? wildcardLevels(this.#wildcards, host) : this.#wildcards.more;
  }

  /** The table with some levels changed; work is done between the steps that it gives, and this table stays as it is. */
  *changed(changes: Iterable<LevelChange<Level>>): Generator<void, HostTable<Level>> {
    let exact = this.#exact;
    let others = this.#others as Map<string, { readonly host: HostPattern; readonly level: Level }>;
    const names = new Map<string, Level | undefined>();
    for (const { host, level } of changes) {
      if (host.type === 'Exact') {
        names.set(host.value, level);
        continue;
      }
      if (others === this.#others) others = new Map(others);
      const key = hostKey(host);
      if (level === undefined) others.delete(key);
      else others.set(key, { host, level });
    }
    yield;
    let wildcards = this.#wildcards;
    if (others !== this.#others) {
      wildcards = yield* makeTrie(others.values());
      // Exact names carry the wildcards that cover them.
      const all = new Map<string, readonly Level[]>();
      let steps = 0;
      for (const [name, [own]] of exact) {
        all.set(name, [own as Level, ...wildcardLevels(wildcards, name)]);
        if (++steps % STEP === 0) yield;
      }
      exact = LayeredMap.of(all);
    }
    let edits: [name: string, levels: readonly Level[] | undefined][] = [];
    for (const [name, level] of names) {
      edits.push([name, level && [level, ...wildcardLevels(wildcards, name)]]);
      if (edits.length < STEP) continue;
      exact = exact.with(edits);
      edits = [];
      yield;
    }
    return new HostTable(exact.with(edits), others, wildcards);
  }
}

function wildcardLevels<Level>(root: LabelNode<Level>, host: string): readonly Level[] {
  let node = root;
  let end = host.length;
  for (;;) {
    const dot = end === 0 ? -1 : host.lastIndexOf('.', end - 1);
    // A wildcard covers at least one label: the first one is never looked up.
    if (dot <= 0) return node.one;
    const child = node.children.get(host, dot + 1, end);
    if (child === undefined) return node.more;
    node = child;
    end = dot;
  }
}

function labelNode<Level>(): LabelNode<Level> {
  return { children: new SegmentMap(), suffix: undefined, oneLabel: undefined, one: [], more: [] };
}

function* makeTrie<Level>(wildcards: Iterable<{ readonly host: HostPattern; readonly level: Level }>): Generator<void, LabelNode<Level>> {
  const root = labelNode<Level>();
  let steps = 0;
  for (const { host, level } of wildcards) {
    if (host.type === 'Any') {
      root.one = [level];
      root.more = [level];
    } else {
      const node = insert(root, host.value);
      if (host.type === 'OneLabel') node.oneLabel = level;
      else node.suffix = level;
    }
    if (++steps % STEP === 0) yield;
  }
  const pending: (readonly [node: LabelNode<Level>, outer: readonly Level[]])[] = [...root.children.values()].map((child) => [child, root.more] as const);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [node, outer] = next;
    const { suffix, oneLabel } = node;
    node.more = suffix === undefined ? outer : [suffix, ...outer];
    // Of one label more, both kinds of wildcard are the same level.
    node.one = oneLabel === undefined ? node.more : [oneLabel, ...outer];
    for (const child of node.children.values()) pending.push([child, node.more]);
    if (++steps % STEP === 0) yield;
  }
  return root;
}

function insert<Level>(root: LabelNode<Level>, name: string): LabelNode<Level> {
  let node = root;
  for (const label of name.split('.').reverse()) {
    let child = node.children.get(label, 0, label.length);
    if (child === undefined) {
      child = labelNode();
      node.children.set(label, child);
    }
    node = child;
  }
  return node;
}
