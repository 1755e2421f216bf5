/** Look-up by path within one host level: a trie of path elements for Exact and PathPrefix, then regular expressions. */
import { type Candidate, compareCandidates, firstFit, rankCandidates } from './match.ts';
import { PatternSet } from './pattern-set.ts';
import type { Routable } from './router.ts';
import { SegmentMap } from './segment-map.ts';

const SLASH = 0x2f;

interface ElementNode<T> {
  /** By path element; absent in a leaf. The path `/a/` has the elements `a` and the empty one. */
  children: SegmentMap<ElementNode<T>> | undefined;
  /** For any element that is not empty: a segment that paths name. */
  named: ElementNode<T> | undefined;
  exact: readonly Candidate<T>[] | undefined;
  prefix: readonly Candidate<T>[] | undefined;
  /** The nearest node above with prefix candidates. */
  outer: ElementNode<T> | undefined;
}

/**
 * The routes of one host level. A look-up costs no more than the elements of its path, as far as routes share them; where paths
 * name segments, no more than the ways in which routes lead to it.
 */
export class PathTrie<T> {
  readonly #root: ElementNode<T> = elementNode();
  #hasNamed = false;
  #patterns: PatternPaths<T> | undefined;

  private constructor() {}

  /** @param each candidates that are put in between two steps of the work */
  static *build<T>(candidates: readonly Candidate<T>[], each: number): Generator<void, PathTrie<T>> {
    const trie = new PathTrie<T>();
    const patterns: Candidate<T>[] = [];
    const exact = new Map<ElementNode<T>, Candidate<T>[]>();
    const prefix = new Map<ElementNode<T>, Candidate<T>[]>();
    for (const [index, candidate] of candidates.entries()) {
      const { type, value, names } = candidate.match.path;
      if (type === 'RegularExpression') {
        patterns.push(candidate);
      } else if (type === 'Exact') {
        add(exact, trie.#insert(value.slice(1).split('/'), names), candidate);
      } else {
        // The prefix `/` has no element: it holds for every path.
        add(prefix, value === '/' ? trie.#root : trie.#insert(value.slice(1).split('/'), names), candidate);
      }
      if ((index + 1) % each === 0) yield;
    }
    for (const [node, list] of exact) node.exact = rankCandidates(list);
    for (const [node, list] of prefix) node.prefix = rankCandidates(list);
    if (candidates.length >= each) yield;
    linkOuter(trie.#root);
    if (patterns.length > 0) trie.#patterns = yield* PatternPaths.build(patterns);
    return trie;
  }

  find(request: Routable): Candidate<T> | undefined {
    const path = request.path;
    // `*` of OPTIONS is no path, though a regular expression may name it.
    if (path.charCodeAt(0) === SLASH) {
      const found = this.#hasNamed ? this.#walkAll(path, request) : this.#walk(path, request);
      if (found !== undefined) return found;
    }
    return this.#patterns?.find(request);
  }

  #walk(path: string, request: Routable): Candidate<T> | undefined {
    const length = path.length;
    let node = this.#root;
    let start = 1;
    while (start <= length && node.children !== undefined) {
      let end = path.indexOf('/', start);
      if (end < 0) end = length;
      const child = node.children.get(path, start, end);
      if (child === undefined) break;
      node = child;
      start = end + 1;
    }
    if (start > length && node.exact !== undefined) {
      const found = firstFit(node.exact, request);
      if (found !== undefined) return found;
    }
    for (let holder: ElementNode<T> | undefined = node; holder !== undefined; holder = holder.outer) {
      if (holder.prefix === undefined) continue;
      const found = firstFit(holder.prefix, request);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /**
   * As `#walk`, where paths name segments: all nodes that the path leads to, element by element. Among those of as many elements
   * the one goes first that says the first element where two differ: an element's own node before the named one.
   */
  #walkAll(path: string, request: Routable): Candidate<T> | undefined {
    const levels: (readonly ElementNode<T>[])[] = [[this.#root]];
    const length = path.length;
    let start = 1;
    while (start <= length) {
      let end = path.indexOf('/', start);
      if (end < 0) end = length;
      const next: ElementNode<T>[] = [];
      for (const node of levels[levels.length - 1] as readonly ElementNode<T>[]) {
        const child = node.children?.get(path, start, end);
        if (child !== undefined) next.push(child);
        if (node.named !== undefined && end > start) next.push(node.named);
      }
      if (next.length === 0) break;
      levels.push(next);
      start = end + 1;
    }
    if (start > length) {
      const found = firstOf(levels[levels.length - 1] as readonly ElementNode<T>[], 'exact', request);
      if (found !== undefined) return found;
    }
    for (let index = levels.length - 1; index >= 0; index--) {
      const found = firstOf(levels[index] as readonly ElementNode<T>[], 'prefix', request);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #insert(elements: readonly string[], names: readonly string[] | undefined): ElementNode<T> {
    let node = this.#root;
    for (const [index, element] of elements.entries()) {
      if (names !== undefined && names[index] !== '') {
        this.#hasNamed = true;
        node.named ??= elementNode();
        node = node.named;
        continue;
      }
      node.children ??= new SegmentMap();
      let child = node.children.get(element, 0, element.length);
      if (child === undefined) {
        child = elementNode();
        node.children.set(element, child);
      }
      node = child;
    }
    return node;
  }
}

function firstOf<T>(nodes: readonly ElementNode<T>[], kind: 'exact' | 'prefix', request: Routable): Candidate<T> | undefined {
  for (const node of nodes) {
    const ranked = node[kind];
    const found = ranked === undefined ? undefined : firstFit(ranked, request);
    if (found !== undefined) return found;
  }
  return undefined;
}

function elementNode<T>(): ElementNode<T> {
  return { children: undefined, named: undefined, exact: undefined, prefix: undefined, outer: undefined };
}

function add<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

/** Without recursion: nothing here bounds how many elements a path may have. */
function linkOuter<T>(root: ElementNode<T>): void {
  const pending = [root];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (node.children === undefined) continue;
    const nearest = node.prefix === undefined ? node.outer : node;
    for (const child of node.children.values()) {
      child.outer = nearest;
      pending.push(child);
    }
  }
}

/** Candidates with a regular expression, by pattern. */
class PatternPaths<T> {
  readonly #set: PatternSet;
  /** By the pattern's index in the set, longest pattern first. */
  readonly #candidates: readonly (readonly Candidate<T>[])[];

  private constructor(set: PatternSet, candidates: readonly (readonly Candidate<T>[])[]) {
    this.#set = set;
    this.#candidates = candidates;
  }

  static *build<T>(candidates: readonly Candidate<T>[]): Generator<void, PatternPaths<T>> {
    const byPattern = new Map<string, Candidate<T>[]>();
    for (const candidate of candidates) add(byPattern, candidate.match.path.value, candidate);
    const longestFirst = [...byPattern].sort(([a], [b]) => b.length - a.length);
    const set = yield* PatternSet.build(longestFirst.map(([pattern]) => pattern));
    return new PatternPaths(
      set,
      longestFirst.map(([, list]) => rankCandidates(list)),
    );
  }

  find(request: Routable): Candidate<T> | undefined {
    let best: Candidate<T> | undefined;
    for (const index of this.#set.match(request.path)) {
      const ranked = this.#candidates[index] as readonly Candidate<T>[];
      // Only a pattern of the same length can still win over what was found.
      if (best !== undefined && best.match.path.value.length > (ranked[0] as Candidate<T>).match.path.value.length) break;
      const candidate = firstFit(ranked, request);
      if (candidate !== undefined && (best === undefined || compareCandidates(candidate, best) < 0)) best = candidate;
    }
    return best;
  }
}
