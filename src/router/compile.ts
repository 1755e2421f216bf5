/** The router that serves: host table, path tries, compiled matches. Held to the oracle by the tests. */
import { RE2JS } from 're2js';
import type { HostPattern, Route } from '../snapshot/snapshot.ts';
import { HostTable } from './host-table.ts';
import { Candidate } from './match.ts';
import { PathTrie } from './path-trie.ts';
import type { CompileRouter, Found, Routable, Router } from './router.ts';

type Table<T> = HostTable<Candidate<T>, PathTrie<T>>;

/**
 * @param routes of one snapshot
 * @param value what a look-up gives for a route; called once for each
 */
export const compileRouter: CompileRouter = <T>(routes: readonly Route[], value: (route: Route) => T): Router<T> => {
  const patterns = new Map<string, RE2JS>();
  const compilePattern = (pattern: string): RE2JS => {
    let compiled = patterns.get(pattern);
    if (compiled === undefined) {
      compiled = RE2JS.compile(pattern);
      patterns.set(pattern, compiled);
    }
    return compiled;
  };
  const rules: (readonly [HostPattern, Candidate<T>])[] = [];
  const defaults: (readonly [HostPattern, Candidate<T>])[] = [];
  for (const route of routes) {
    const entries = route.isDefaultBackend ? defaults : rules;
    const routeValue = value(route);
    for (const [matchIndex, match] of route.matches.entries()) {
      const candidate = new Candidate({ match, rank: route.rank, found: { value: routeValue, matchIndex } }, compilePattern);
      for (const host of route.hosts) entries.push([host, candidate]);
    }
  }
  return new CompiledRouter(compileTable(rules), defaults.length === 0 ? undefined : compileTable(defaults));
};

function compileTable<T>(entries: readonly (readonly [HostPattern, Candidate<T>])[]): Table<T> {
  return new HostTable(entries, (candidates) => new PathTrie(candidates));
}

class CompiledRouter<T> implements Router<T> {
  readonly #rules: Table<T>;
  /** Default backends serve only what no rule of any host level takes. */
  readonly #defaults: Table<T> | undefined;

  constructor(rules: Table<T>, defaults: Table<T> | undefined) {
    this.#rules = rules;
    this.#defaults = defaults;
  }

  find(request: Routable): Found<T> | undefined {
    const found = search(this.#rules, request);
    return found !== undefined || this.#defaults === undefined ? found : search(this.#defaults, request);
  }
}

function search<T>(table: Table<T>, request: Routable): Found<T> | undefined {
  const levels = table.levels(request.host);
  for (let index = 0; index < levels.length; index++) {
    const candidate = (levels[index] as PathTrie<T>).find(request);
    if (candidate !== undefined) return candidate.found;
  }
  return undefined;
}
