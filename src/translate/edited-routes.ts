/**
 * Edits of a few Ingresses among thousands, without a look at the others. It holds where an edit can touch nothing but the
 * routes and the status of the Ingress itself; where it may touch more, or may not, the whole set is translated.
 */
import { isDeepStrictEqual } from 'node:util';
import { ClassOwnership } from '../resources/classes.ts';
import { type EntryChange, entryChanges } from '../resources/entry-changes.ts';
import type { Ingress } from '../resources/ingress.ts';
import type { Entry, ResourceSet } from '../resources/resource-set.ts';
import { LayeredMap } from '../snapshot/layered-map.ts';
import type { Route } from '../snapshot/route.ts';
import type { ObjectStatus } from '../snapshot/status.ts';
import type { UpstreamKey } from '../snapshot/upstream.ts';
import { PREFIX } from './annotation-values.ts';
import { AuthPolicies } from './auth-policies.ts';
import { BackendPolicies } from './backend-policies.ts';
import { Certificates } from './certificates.ts';
import { ClientValidations } from './client-validation.ts';
import { Claims } from './conflicts.ts';
import { type IngressBasis, translateIngress } from './ingress.ts';
import { AnnotatedBackends, BACKEND_ANNOTATIONS } from './ingress-backend-protocol.ts';
import { CANARY_ANNOTATIONS, Canaries } from './ingress-canary.ts';
import { Issues } from './issues.ts';
import { compareAge } from './order.ts';
import { Passthroughs } from './passthrough.ts';
import { RateLimits } from './rate-limits.ts';
import type { RouteContext, RuleOwner } from './routes.ts';
import { type NameTroubles, Upstreams } from './services.ts';
import { SessionHosts } from './session-hosts.ts';
import { SharedParts } from './shared-parts.ts';
import { routeStatus } from './statuses.ts';
import type { TranslateOptions, TranslateResult } from './translate.ts';
import { Trust } from './trust.ts';

/** Edits beyond which the whole set is looked at: it costs no more then. */
const MOST_EDITS = 64;

/** What a translation leaves for the next one, which may differ by a few Ingresses. */
export interface EditBasis {
  readonly set: ResourceSet;
  readonly options: TranslateOptions;
  readonly nameTroubles: NameTroubles;
  readonly claims: Claims<RuleOwner>;
  /** No canary, and nothing that is passed through or asks for client certificates: those tie objects to each other. */
  readonly isPlain: boolean;
  /** The last one of the Ingresses and ApiRoutes by age. */
  readonly youngest: Entry<unknown> | undefined;
  /** How many statuses are those of Ingresses and ApiRoutes, which come first. */
  readonly routeStatuses: number;
  /** How many backends of routes lead to each Service; counted at the first edit. */
  readonly led: LayeredMap<UpstreamKey, number> | undefined;
}

/** An Ingress as translated: what it takes to tell whether it would come to the same again. */
export interface Repeated {
  readonly routes: readonly Route[];
  readonly basis: IngressBasis;
  /** Where nothing is wrong with it. */
  readonly status: ObjectStatus | undefined;
}

/** Ingresses by their entries. */
export type Repeatable = LayeredMap<Entry<unknown>, Repeated>;

/** What changes by the edits, for a new result. */
export type EditedParts = Pick<TranslateResult, 'statuses' | 'repeatable' | 'editBasis'> & { readonly routes: readonly Route[] };

type Edit = EntryChange<Ingress>;

/** @returns undefined where more than the edited Ingresses has to be looked at */
export function translateEditedIngresses(
  set: ResourceSet,
  options: TranslateOptions,
  previous: TranslateResult,
  nameTroubles: NameTroubles,
): EditedParts | undefined {
  const { editBasis } = previous;
  if (!editBasis.isPlain || editBasis.options !== options || editBasis.nameTroubles !== nameTroubles || !differsInIngresses(editBasis.set, set))
    return undefined;
  const edits = entryChanges(editBasis.set.ingresses, set.ingresses);
  if (edits.length > MOST_EDITS || edits.some((edit) => concernsOthers(edit, set))) return undefined;
  const translation = new EditTranslation(set, options, previous);
  return edits.every(({ before }) => before === undefined || translation.takeOut(before)) &&
    edits
      .filter(({ after }) => after !== undefined)
      .sort((one, other) => compareAge(one.after as Entry<Ingress>, other.after as Entry<Ingress>))
      .every(({ before, after }) => translation.putIn(after as Entry<Ingress>, before))
    ? translation.finish(edits)
    : undefined;
}

/** Sources keep the map of each kind that did not change. Slices are looked at by themselves. */
function differsInIngresses(before: ResourceSet, after: ResourceSet): boolean {
  const others = (Object.keys(after) as (keyof ResourceSet)[]).filter(
    (field) => field !== 'ingresses' && field !== 'endpointSlices' && field !== 'fileProblems' && field !== 'rejected',
  );
  return before.ingresses !== after.ingresses && others.every((field) => before[field] === after[field]);
}

/** What an Ingress says that holds for Services and hosts, whoever else leads there; and policies, which tell of their targets. */
function concernsOthers({ before, after }: Edit, set: ResourceSet): boolean {
  const [old, now] = [before?.object, after?.object];
  if ((before !== undefined && old === undefined) || (after !== undefined && now === undefined)) return true;
  return hasTies(old) || hasTies(now) || !sameCertificates(old, now) || isTarget((after ?? before) as Entry<Ingress>, set);
}

function hasTies(ingress: Ingress | undefined): boolean {
  for (const name in ingress?.metadata.annotations) {
    if (!name.startsWith(PREFIX)) continue;
    const short = name.slice(PREFIX.length);
    if (BACKEND_ANNOTATIONS.has(short) || CANARY_ANNOTATIONS.has(short)) return true;
  }
  return false;
}

function sameCertificates(one: Ingress | undefined, other: Ingress | undefined): boolean {
  const [before, after] = [certificatesOf(one), certificatesOf(other)];
  return before === after || isDeepStrictEqual(before, after);
}

/** Secrets and the hosts that they are for. */
function certificatesOf(ingress: Ingress | undefined): unknown {
  if (ingress === undefined || ingress.spec.tls.every(({ secretName }) => secretName === undefined)) return undefined;
  return [ingress.spec.tls, ingress.spec.rules.map(({ host }) => host)];
}

function isTarget({ namespace, name }: Entry<Ingress>, set: ResourceSet): boolean {
  for (const policy of [...set.rateLimitPolicies.values(), ...set.authPolicies.values()]) {
    if (policy.namespace !== namespace) continue;
    if (policy.object === undefined || policy.object.spec.targetRefs.some((target) => target.kind === 'Ingress' && target.name === name)) return true;
  }
  return false;
}

class EditTranslation {
  readonly #previous: TranslateResult;
  readonly #set: ResourceSet;
  readonly #classes: ClassOwnership;
  readonly #context: RouteContext;
  readonly #routes: Route[];
  readonly #statuses: ObjectStatus[];
  /** What differs from before. */
  readonly #repeated = new Map<Entry<unknown>, Repeated | undefined>();
  readonly #parts = new SharedParts();
  /** Backends of edited Ingresses, now less those before. */
  readonly #led = new Map<UpstreamKey, number>();
  /** The first route that may be at another place than before. */
  #firstMoved = Number.POSITIVE_INFINITY;
  #routeStatuses: number;
  #youngest: Entry<unknown> | undefined;

  constructor(set: ResourceSet, options: TranslateOptions, previous: TranslateResult) {
    const { snapshot, statuses, editBasis } = previous;
    this.#previous = previous;
    this.#set = set;
    this.#classes = new ClassOwnership(set.ingressClasses, options.ingressClass);
    this.#routes = [...snapshot.routes];
    this.#statuses = [...statuses];
    this.#routeStatuses = editBasis.routeStatuses;
    this.#youngest = editBasis.youngest;
    // What is claimed of certificates here, or asked for of policies, comes to what it came to before: it goes nowhere.
    const issues = new Issues();
    const certificates = new Certificates(set.secrets, issues, previous.tlsPairs);
    const trust = new Trust(set, issues, previous.trustBlocks);
    const backendPolicies = new BackendPolicies(set, issues, trust, certificates);
    const annotated = new AnnotatedBackends([], issues, trust, certificates);
    const upstreams = new Upstreams(set, options, backendPolicies, annotated, issues, snapshot.upstreams, editBasis.nameTroubles);
    const authPolicies = new AuthPolicies(set, this.#classes, issues, upstreams);
    this.#context = {
      issues,
      certificates,
      upstreams,
      rateLimits: new RateLimits(set, this.#classes, issues, options.hasRedis),
      authPolicies,
      sessionHosts: new SessionHosts(set, authPolicies),
      clientValidations: new ClientValidations(issues, trust),
      claims: new Claims(editBasis.claims),
      canaries: new Canaries([], issues),
      passthroughs: new Passthroughs(),
      configMaps: set.configMaps,
    };
  }

  /** @returns false where it may have stood in the way of others, or others in its */
  takeOut(entry: Entry<Ingress>): boolean {
    const known = this.#previous.repeatable.get(entry);
    if (known?.status === undefined || known.routes.length === 0) return false;
    for (const { key } of known.basis.claims) if (!this.#context.claims.release(key)) return false;
    this.#countLed(known.routes, -1);
    this.#repeated.set(entry, undefined);
    return true;
  }

  /** @param before as it was; undefined: it is new */
  putIn(entry: Entry<Ingress>, before: Entry<Ingress> | undefined): boolean {
    const ingress = entry.object as Ingress;
    const { issues } = this.#context;
    if (!this.#classes.ownsIngress(ingress)) return false;
    const place = this.#placeFor(entry, before);
    if (place === undefined) return false;
    const { drafts, basis } = translateIngress(entry, ingress, this.#context);
    if (basis === undefined || drafts.length === 0 || issues.of(entry).length > 0) return false;
    const { upstreams } = this.#previous.snapshot;
    for (const { upstream } of basis.backends) if (!upstreams.has(upstream)) return false;
    const routes = drafts.map((draft, index) => this.#parts.route(draft, place.route + index));
    const replaced = before === undefined ? 0 : (this.#previous.repeatable.get(before) as Repeated).routes.length;
    this.#routes.splice(place.route, replaced, ...routes);
    this.#countLed(routes, 1);
    if (routes.length !== replaced) this.#firstMoved = Math.min(this.#firstMoved, place.route + routes.length);
    const status = routeStatus(
      entry,
      [],
      drafts.some(({ filters }) => filters.closed === undefined),
    );
    this.#statuses.splice(place.status, before === undefined ? 0 : 1, status);
    if (before === undefined) this.#routeStatuses++;
    if (before === undefined || before === this.#youngest) this.#youngest = entry;
    this.#repeated.set(entry, { routes, basis, status });
    return true;
  }

  /** The rest: Ingresses that are gone, ranks, and whether every Service still serves somebody. */
  finish(edits: readonly Edit[]): EditedParts | undefined {
    for (const { before, after } of edits) {
      if (before === undefined || after !== undefined) continue;
      const known = this.#previous.repeatable.get(before) as Repeated;
      const place = this.#routes.indexOf(known.routes[0] as Route);
      this.#routes.splice(place, known.routes.length);
      this.#firstMoved = Math.min(this.#firstMoved, place);
      if (before === this.#youngest) this.#youngest = this.#findYoungest();
      this.#statuses.splice(this.#statuses.indexOf(known.status as ObjectStatus), 1);
      this.#routeStatuses--;
    }
    const led = this.#ledNow();
    if (led === undefined) return undefined;
    this.#rank();
    return {
      routes: this.#routes,
      statuses: this.#statuses,
      repeatable: this.#previous.repeatable.with(this.#repeated),
      editBasis: {
        ...this.#previous.editBasis,
        set: this.#set,
        claims: this.#context.claims,
        youngest: this.#youngest,
        routeStatuses: this.#routeStatuses,
        led,
      },
    };
  }

  /** Where an edited Ingress was; where a new one goes, which has to be the youngest of all. */
  #placeFor(entry: Entry<Ingress>, before: Entry<Ingress> | undefined): { readonly route: number; readonly status: number } | undefined {
    if (before === undefined) {
      const isLast = this.#youngest === undefined || compareAge(this.#youngest, entry) < 0;
      return isLast ? { route: this.#routes.length, status: this.#routeStatuses } : undefined;
    }
    if (entry.age !== before.age) return undefined;
    const known = this.#previous.repeatable.get(before) as Repeated;
    return { route: this.#routes.indexOf(known.routes[0] as Route), status: this.#statuses.indexOf(known.status as ObjectStatus) };
  }

  #countLed(routes: readonly Route[], by: number): void {
    for (const { backends } of routes) {
      for (const { upstream } of backends) if (upstream !== undefined) this.#led.set(upstream, (this.#led.get(upstream) ?? 0) + by);
    }
  }

  /** @returns undefined where nobody leads to a Service any more. Services may be used by more than routes, so that it may be so without need */
  #ledNow(): LayeredMap<UpstreamKey, number> | undefined {
    const before = this.#previous.editBasis.led ?? countLed(this.#previous.snapshot.routes);
    const now = [...this.#led].map(([key, more]) => [key, (before.get(key) ?? 0) + more] as const);
    return now.some(([, count]) => count === 0) ? undefined : before.with(now);
  }

  /** As `compareAge` has it, with the keys of the maps: ten thousand may be of one second. */
  #findYoungest(): Entry<unknown> | undefined {
    let youngest: Entry<unknown> | undefined;
    let youngestKey = '';
    for (const entries of [this.#set.apiRoutes, this.#set.ingresses]) {
      for (const [key, entry] of entries) {
        if (youngest !== undefined && (entry.age < youngest.age || (entry.age === youngest.age && key < youngestKey))) continue;
        youngest = entry;
        youngestKey = key;
      }
    }
    return youngest;
  }

  /** A route's rank is its place. */
  #rank(): void {
    const routes = this.#routes;
    const moved = new Map<Route, Route>();
    for (let place = this.#firstMoved; place < routes.length; place++) {
      const route = routes[place] as Route;
      if (route.rank === place) continue;
      const ranked = { ...route, rank: place };
      routes[place] = ranked;
      moved.set(route, ranked);
    }
    if (moved.size === 0) return;
    for (const [entry, known] of this.#previous.repeatable.with(this.#repeated)) {
      if (!known.routes.some((route) => moved.has(route))) continue;
      this.#repeated.set(entry, { ...known, routes: known.routes.map((route) => moved.get(route) ?? route) });
    }
  }
}

function countLed(routes: readonly Route[]): LayeredMap<UpstreamKey, number> {
  const led = new Map<UpstreamKey, number>();
  for (const { backends } of routes) for (const { upstream } of backends) if (upstream !== undefined) led.set(upstream, (led.get(upstream) ?? 0) + 1);
  return LayeredMap.of(led);
}
