/** Look-up by host: exact names in a map, wildcards in a trie of labels from the right. */
import type { HostPattern } from '../snapshot/snapshot.ts';
import { SegmentMap } from './segment-map.ts';

interface Wildcards<Item> {
  readonly suffix: Item[];
  readonly oneLabel: Item[];
}

interface LabelNode<Item, Level> {
  readonly children: SegmentMap<LabelNode<Item, Level>>;
  /** While the table is built; empty where no wildcard ends. */
  readonly items: Wildcards<Item>;
  /** For a host with exactly one label more than the node, and for one with more. */
  one: readonly Level[];
  more: readonly Level[];
}

/**
 * For each host the levels to try, in order: the exact name, the wildcards from the longest to the shortest, then what
 * has no host. They are put together when the table is built, so a look-up costs no more than the labels of its host.
 */
export class HostTable<Item, Level> {
  readonly #exact = new Map<string, readonly Level[]>();
  readonly #wildcards: LabelNode<Item, Level>;
  readonly #hasWildcards: boolean;

  /** @param makeLevel compiles what lies at one level; its items are in the order of `entries` */
  constructor(entries: Iterable<readonly [HostPattern, Item]>, makeLevel: (items: readonly Item[]) => Level) {
    const exact = new Map<string, Item[]>();
    const any: Item[] = [];
    const root = labelNode<Item, Level>();
    for (const [pattern, item] of entries) {
      switch (pattern.type) {
        case 'Any':
          any.push(item);
          break;
        case 'Exact': {
          const items = exact.get(pattern.value);
          if (items === undefined) exact.set(pattern.value, [item]);
          else items.push(item);
          break;
        }
        case 'Suffix':
          insert(root, pattern.value).items.suffix.push(item);
          break;
        case 'OneLabel':
          insert(root, pattern.value).items.oneLabel.push(item);
          break;
      }
    }
    this.#wildcards = root;
    this.#hasWildcards = root.children.size > 0;
    const last = any.length === 0 ? [] : [makeLevel(any)];
    root.one = last;
    root.more = last;
    for (const child of root.children.values()) finish(child, last, makeLevel);
    for (const [host, items] of exact) this.#exact.set(host, [makeLevel(items), ...this.#wildcardLevels(host)]);
  }

  /** @param host lower-case, without a trailing dot */
  levels(host: string): readonly Level[] {
    const exact = this.#exact.get(host);
    if (exact !== undefined) return exact;
    return this.#hasWildcards ? this.#wildcardLevels(host) : this.#wildcards.more;
  }

  #wildcardLevels(host: string): readonly Level[] {
    let node = this.#wildcards;
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
}

function labelNode<Item, Level>(): LabelNode<Item, Level> {
  return { children: new SegmentMap(), items: { suffix: [], oneLabel: [] }, one: [], more: [] };
}

function insert<Item, Level>(root: LabelNode<Item, Level>, name: string): LabelNode<Item, Level> {
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

/** @param outer the levels of a host that goes on beyond the parent */
function finish<Item, Level>(node: LabelNode<Item, Level>, outer: readonly Level[], makeLevel: (items: readonly Item[]) => Level): void {
  const { suffix, oneLabel } = node.items;
  const more = suffix.length === 0 ? undefined : makeLevel(suffix);
  const one = oneLabel.length === 0 ? more : makeLevel([...suffix, ...oneLabel]);
  node.more = more === undefined ? outer : [more, ...outer];
  node.one = one === undefined ? outer : [one, ...outer];
  // What the table was built from is not needed for look-ups.
  suffix.length = 0;
  oneLabel.length = 0;
  for (const child of node.children.values()) finish(child, node.more, makeLevel);
}
