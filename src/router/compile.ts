/** The router that serves: host table, path tries, compiled matches. Held to the oracle by the tests. */
import { RE2JS } from 're2js';
import { hostKey } from '../snapshot/host-key.ts';
import type { HostPattern } from '../snapshot/match.ts';
import type { Route } from '../snapshot/route.ts';
import { HostTable, type LevelChange } from './host-table.ts';
import { Candidate } from './match.ts';
import { PathTrie } from './path-trie.ts';
import type { CompileRouter, Found, Routable, Router } from './router.ts';

type Table<T> = HostTable<PathTrie<T>>;

/**
 * @param routes of one snapshot
 * @param value what a look-up gives for a route; called once for each
 */
export const compileRouter: CompileRouter = <T>(routes: readonly Route[], value: (route: Route) => T): Router<T> => {
  const steps = new RouterBuilder<T>().change([], routes, value);
  for (;;) {
    const { done, value: router } = steps.next();
    if (done === true) return router;
  }
};

/**
 * Makes routers one after the other, each of what changed since the one before: a host whose routes are the same keeps its
 * trie. Routers that were made stay as they are.
 */
export class RouterBuilder<T> {
  readonly #rules = new LevelBuilder<T>();
  /** Default backends serve only what no rule of any host level takes. */
  readonly #defaults = new LevelBuilder<T>();
  readonly #routes = new Map<string, Route>();

  /**
   * The next router, in steps of a millisecond or so: between them whoever asks may do something else, but the work has to be
   * ended before the next one begins.
   *
   * @param removed ids of routes; one that is not there is passed over
   * @param routes that are new, or take the place of one by the same id
   * @param value what a look-up gives for a route; called once for each
   */
  *change(removed: Iterable<string>, routes: Iterable<Route>, value: (route: Route) => T): Generator<void, Router<T>> {
    for (const id of removed) this.#remove(id);
    const patterns = new Map<string, RE2JS>();
    const compilePattern = (pattern: string): RE2JS => {
      let compiled = patterns.get(pattern);
      if (compiled === undefined) {
        compiled = RE2JS.compile(pattern);
        patterns.set(pattern, compiled);
      }
      return compiled;
    };
    let steps = 0;
    for (const route of routes) {
      this.#remove(route.id);
      this.#routes.set(route.id, route);
      const routeValue = value(route);
      const candidates: Candidate<T>[] = [];
      for (const [matchIndex, match] of route.matches.entries()) {
        const known = patterns.size;
        candidates.push(new Candidate({ match, rank: route.rank, found: { value: routeValue, matchIndex } }, compilePattern));
        // A pattern takes as long as hundreds of matches without one.
        if (patterns.size > known) yield;
      }
      this.#levelsOf(route).add(route.id, route.hosts, candidates);
      if (++steps % ROUTES_A_STEP === 0) yield;
    }
    const rules = yield* this.#rules.build();
    const defaults = yield* this.#defaults.build();
    return new CompiledRouter(rules, this.#defaults.isEmpty ? undefined : defaults);
  }

  #remove(id: string): void {
    const before = this.#routes.get(id);
    if (before === undefined) return;
    this.#routes.delete(id);
    this.#levelsOf(before).remove(id, before.hosts);
  }

  #levelsOf(route: Route): LevelBuilder<T> {
    return route.isDefaultBackend ? this.#defaults : this.#rules;
  }
}

const ROUTES_A_STEP = 50;
/** Candidates that are put into tries in one step. */
const CANDIDATES_A_STEP = 200;

interface HostRoutes<T> {
  readonly host: HostPattern;
  /** By route id. */
  readonly candidates: Map<string, readonly Candidate<T>[]>;
}

/** The levels of one table, rebuilt for the hosts whose routes changed. */
class LevelBuilder<T> {
  /** By `hostKey`. */
  readonly #hosts = new Map<string, HostRoutes<T>>();
  readonly #touched = new Map<string, HostPattern>();
  #table: Table<T> = HostTable.empty();

  get isEmpty(): boolean {
    return this.#hosts.size === 0;
  }

  add(id: string, hosts: readonly HostPattern[], candidates: readonly Candidate<T>[]): void {
    for (const host of hosts) {
      const key = this.#touch(host);
      const known = this.#hosts.get(key);
      if (known === undefined) this.#hosts.set(key, { host, candidates: new Map([[id, candidates]]) });
      else known.candidates.set(id, candidates);
    }
  }

  remove(id: string, hosts: readonly HostPattern[]): void {
    for (const host of hosts) {
      const key = this.#touch(host);
      const known = this.#hosts.get(key);
      known?.candidates.delete(id);
      if (known?.candidates.size === 0) this.#hosts.delete(key);
    }
  }

  *build(): Generator<void, Table<T>> {
    if (this.#touched.size === 0) return this.#table;
    const changes: LevelChange<PathTrie<T>>[] = [];
    const built = new Map<string, PathTrie<T>>();
    let done = 0;
    for (const [key, host] of this.#touched) {
      const candidates = this.#candidatesOf(key, host);
      // An object may have a thousand hosts and thousands of matches: hosts with the same routes share one trie.
      const routes = [...candidates.keys()].join('\n');
      let level = built.get(routes);
      done++;
      if (level === undefined && candidates.size > 0) {
        const list = [...candidates.values()].flat();
        level = yield* PathTrie.build(list, CANDIDATES_A_STEP);
        built.set(routes, level);
        done += list.length;
      }
      changes.push({ host, level });
      if (done < CANDIDATES_A_STEP) continue;
      done = 0;
      yield;
    }
    this.#touched.clear();
    this.#table = yield* this.#table.changed(changes);
    return this.#table;
  }

  #touch(host: HostPattern): string {
    const key = hostKey(host);
    this.#touched.set(key, host);
    // A host with exactly one label more is for both kinds of wildcard, and they are one level there.
    if (host.type === 'Suffix') {
      const oneLabel: HostPattern = { type: 'OneLabel', value: host.value };
      const other = hostKey(oneLabel);
      if (this.#hosts.has(other)) this.#touched.set(other, oneLabel);
    }
    return key;
  }

  /** By route id. */
  #candidatesOf(key: string, host: HostPattern): ReadonlyMap<string, readonly Candidate<T>[]> {
    const own = this.#hosts.get(key);
    if (own === undefined) return new Map();
    const suffix = host.type === 'OneLabel' ? this.#hosts.get(hostKey({ type: 'Suffix', value: host.value })) : undefined;
    // A route may name both.
    return suffix === undefined ? own.candidates : new Map([...own.candidates, ...suffix.candidates]);
  }
}

class CompiledRouter<T> implements Router<T> {
  readonly #rules: Table<T>;
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
