/**
 * Translates a set that differs from the last one in a few Ingresses and ApiRoutes, where that can touch nothing but their own routes and
 * statuses. A gateway with ten thousand of them has somebody edit one all the time, and a translation of all takes a hundred times as long.
 *
 * Whatever else an edit may touch is looked at first (edit-ties.ts): other rules with the same host and path, certificates, what
 * annotations say of Services, policies, Services that come into use or go out of it, and the order of age, in which a new object has to be
 * the last. Where one of these may be touched the whole set is translated.
 */
import type { ApiRoute } from '../resources/api-route.ts';
import { ClassOwnership } from '../resources/classes.ts';
import type { Ingress } from '../resources/ingress.ts';
import type { Entry, ResourceSet } from '../resources/resource-set.ts';
import { LayeredMap } from '../snapshot/layered-map.ts';
import type { Route } from '../snapshot/route.ts';
import type { ObjectStatus } from '../snapshot/status.ts';
import type { UpstreamKey } from '../snapshot/upstream.ts';
import { translateApiRoute } from './api-route.ts';
import { Certificates } from './certificates.ts';
import { ClientValidations } from './client-validation.ts';
import { Claims } from './conflicts.ts';
import { concernsOthers, isIngress, isOthers, isTarget, looksTheSame, type RouteEdit, type RouteEntry, routeEdits } from './edit-ties.ts';
import { type IngressBasis, translateIngress } from './ingress.ts';
import { Canaries } from './ingress-canary.ts';
import { compareAge } from './order.ts';
import { Passthroughs } from './passthrough.ts';
import type { Claimed, RouteContext, RouteDraft, RuleOwner } from './routes.ts';
import type { NameTroubles } from './services.ts';
import { SharedParts } from './shared-parts.ts';
import { routeStatus } from './statuses.ts';
import type { TranslateOptions, TranslateResult } from './translate.ts';
import { Trust } from './trust.ts';

/** Edits beyond which the whole set is looked at: it costs no more then. */
const MOST_EDITS = 64;

/** What a translation leaves for the next one, which may differ by a few Ingresses and ApiRoutes. */
export interface EditBasis {
  readonly set: ResourceSet;
  readonly options: TranslateOptions;
  readonly nameTroubles: NameTroubles;
  readonly claims: Claims<RuleOwner>;
  /** What Services, policies and ConfigMaps came to in the last translation of all, of which nothing has changed. */
  readonly context: Pick<RouteContext, 'issues' | 'upstreams' | 'rateLimits' | 'authPolicies' | 'sessionHosts' | 'configMaps'>;
  /** No canary, and nothing that is passed through or asks for client certificates: those tie objects to each other. */
  readonly isPlain: boolean;
  /** The last one of the Ingresses and ApiRoutes by age. */
  readonly youngest: Entry<unknown> | undefined;
  /** How many statuses are those of Ingresses and ApiRoutes, which come first. */
  readonly routeStatuses: number;
  /** How often routes lead to each Service; counted at the first edit. */
  readonly led: LayeredMap<UpstreamKey, number> | undefined;
}

/** An Ingress or ApiRoute as translated: what it takes to take it out again, or to tell whether it would come to the same. */
export interface Repeated {
  readonly routes: readonly Route[];
  readonly claims: readonly Claimed[];
  /** Of an Ingress. */
  readonly basis: IngressBasis | undefined;
  /** Where nothing is wrong with it. */
  readonly status: ObjectStatus | undefined;
}

/** By their entries. */
export type Repeatable = LayeredMap<Entry<unknown>, Repeated>;

/** What changes by the edits, for a new result. */
export type EditedParts = Pick<TranslateResult, 'statuses' | 'repeatable' | 'editBasis'> & { readonly routes: readonly Route[] };

/** @returns undefined where more than the edited objects has to be looked at */
export function translateEditedRoutes(
  set: ResourceSet,
  options: TranslateOptions,
  previous: TranslateResult,
  nameTroubles: NameTroubles,
): EditedParts | undefined {
  const { editBasis, snapshot, statuses, repeatable } = previous;
  if (!editBasis.isPlain || editBasis.options !== options || editBasis.nameTroubles !== nameTroubles) return undefined;
  const all = routeEdits(editBasis.set, set);
  if (all === undefined) return undefined;
  const classes = new ClassOwnership(set.ingressClasses, options.ingressClass);
  const edits = all.filter((edit) => !isOthers(edit, classes) || isTarget(edit, set));
  if (edits.length === 0) return { routes: snapshot.routes, statuses, repeatable, editBasis: { ...editBasis, set } };
  if (edits.length > MOST_EDITS || edits.some((edit) => concernsOthers(edit) || (!looksTheSame(edit) && isTarget(edit, set)))) return undefined;
  const translation = new EditTranslation(set, previous, classes);
  const puts = edits.flatMap(({ before, after }) => (after === undefined ? [] : [{ before, after }]));
  return edits.every(({ before }) => before === undefined || translation.takeOut(before)) &&
    puts.sort((one, other) => compareAge(one.after, other.after)).every(({ before, after }) => translation.putIn(after, before))
    ? translation.finish(edits)
    : undefined;
}

class EditTranslation {
  readonly #previous: TranslateResult;
  readonly #set: ResourceSet;
  readonly #classes: ClassOwnership;
  readonly #context: RouteContext;
  /** Their ranks rise all the while. */
  readonly #routes: Route[];
  readonly #statuses: ObjectStatus[];
  /** What differs from before. */
  readonly #repeated = new Map<Entry<unknown>, Repeated | undefined>();
  readonly #parts = new SharedParts();
  /** How often edited objects lead to each Service, now less before. */
  readonly #led = new Map<UpstreamKey, number>();
  #routeStatuses: number;
  #youngest: Entry<unknown> | undefined;

  constructor(set: ResourceSet, previous: TranslateResult, classes: ClassOwnership) {
    const { snapshot, statuses, editBasis } = previous;
    this.#previous = previous;
    this.#set = set;
    this.#classes = classes;
    this.#routes = [...snapshot.routes];
    this.#statuses = [...statuses];
    this.#routeStatuses = editBasis.routeStatuses;
    this.#youngest = editBasis.youngest;
    // What is claimed of certificates comes to what it came to before: it goes nowhere.
    const { issues } = editBasis.context;
    const certificates = new Certificates(set.secrets, issues, previous.tlsPairs);
    this.#context = {
      ...editBasis.context,
      certificates,
      clientValidations: new ClientValidations(issues, new Trust(set, issues, previous.trustBlocks)),
      claims: new Claims(editBasis.claims),
      canaries: new Canaries([], issues),
      passthroughs: new Passthroughs(),
    };
  }

  /** @returns false where it may have stood in the way of others, or others in its */
  takeOut(entry: RouteEntry): boolean {
    const known = this.#previous.repeatable.get(entry);
    if (known?.status === undefined || known.routes.length === 0) return false;
    for (const { key } of known.claims) if (!this.#context.claims.release(key)) return false;
    this.#countLed(known.routes, -1);
    this.#repeated.set(entry, undefined);
    return true;
  }

  /** @param before as it was; undefined: it is new */
  putIn(entry: RouteEntry, before: RouteEntry | undefined): boolean {
    const { issues } = this.#context;
    const place = this.#placeFor(entry, before);
    if (place === undefined) return false;
    const translated = this.#translate(entry);
    if (translated === undefined || translated.drafts.length === 0 || issues.of(entry).length > 0) return false;
    const { drafts, claims, basis } = translated;
    const { upstreams } = this.#previous.snapshot;
    for (const draft of drafts) for (const upstream of upstreamsOf(draft)) if (!upstreams.has(upstream)) return false;
    const replaced = before === undefined ? NO_ROUTES : (this.#previous.repeatable.get(before) as Repeated).routes;
    const ranks = ranksBetween(this.#routes, place.route, replaced, drafts.length);
    if (ranks === undefined) return false;
    const routes = drafts.map((draft, index) => this.#parts.route(draft, ranks[index] as number));
    this.#routes.splice(place.route, replaced.length, ...routes);
    this.#countLed(routes, 1);
    const status = routeStatus(
      entry,
      [],
      drafts.some(({ filters }) => filters.closed === undefined),
    );
    this.#statuses.splice(place.status, before === undefined ? 0 : 1, status);
    if (before === undefined) this.#routeStatuses++;
    if (before === undefined || before === this.#youngest) this.#youngest = entry;
    this.#repeated.set(entry, { routes, claims, basis, status });
    return true;
  }

  /** The rest: objects that are gone, and whether every Service still serves somebody. */
  finish(edits: readonly RouteEdit[]): EditedParts | undefined {
    for (const { before, after } of edits) {
      if (before === undefined || after !== undefined) continue;
      const known = this.#previous.repeatable.get(before) as Repeated;
      // Ranks need not be places: those of the routes behind it stay.
      this.#routes.splice(placeOf(this.#routes, known.routes[0] as Route), known.routes.length);
      this.#statuses.splice(this.#statuses.indexOf(known.status as ObjectStatus), 1);
      this.#routeStatuses--;
      // Another one of the same second may follow it.
      if (before === this.#youngest) this.#youngest = this.#findYoungest();
    }
    const led = this.#ledNow();
    if (led === undefined) return undefined;
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

  /** @returns undefined where it is not ours, or what it comes to hangs on others */
  #translate(entry: RouteEntry): (Pick<Repeated, 'claims' | 'basis'> & { readonly drafts: readonly RouteDraft[] }) | undefined {
    if (!isIngress(entry)) {
      const route = entry.object as ApiRoute;
      return this.#classes.ownsApiRoute(route) ? { ...translateApiRoute(entry, route, this.#context), basis: undefined } : undefined;
    }
    const ingress = entry.object as Ingress;
    if (!this.#classes.ownsIngress(ingress)) return undefined;
    const { drafts, basis } = translateIngress(entry, ingress, this.#context);
    return basis && { drafts, claims: basis.claims, basis };
  }

  /** Where an edited object was; where a new one goes, which has to be the youngest of all. */
  #placeFor(entry: RouteEntry, before: RouteEntry | undefined): { readonly route: number; readonly status: number } | undefined {
    if (before === undefined) {
      const isLast = this.#youngest === undefined || compareAge(this.#youngest, entry) < 0;
      return isLast ? { route: this.#routes.length, status: this.#routeStatuses } : undefined;
    }
    if (entry.age !== before.age) return undefined;
    const known = this.#previous.repeatable.get(before) as Repeated;
    return { route: placeOf(this.#routes, known.routes[0] as Route), status: this.#statuses.indexOf(known.status as ObjectStatus) };
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

  #countLed(routes: readonly Route[], by: number): void {
    for (const route of routes) for (const upstream of upstreamsOf(route)) this.#led.set(upstream, (this.#led.get(upstream) ?? 0) + by);
  }

  /** @returns undefined where nobody leads to a Service any more. Policies may use Services, too, so that it may be so without need */
  #ledNow(): LayeredMap<UpstreamKey, number> | undefined {
    const before = this.#previous.editBasis.led ?? countLed(this.#previous.snapshot.routes);
    const now = [...this.#led].map(([key, more]) => [key, (before.get(key) ?? 0) + more] as const);
    return now.some(([, count]) => count === 0) ? undefined : before.with(now);
  }
}

const NO_ROUTES: readonly Route[] = [];

/** @param routes with ranks that rise, this one among them */
function placeOf(routes: readonly Route[], { rank }: Route): number {
  let [low, high] = [0, routes.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((routes[middle] as Route).rank < rank) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Ranks for routes that take the place of others: theirs, as far as there are so many, and evenly between the last one of them and the
 * next for the rest.
 * @returns undefined where numbers that lie between are used up
 */
function ranksBetween(routes: readonly Route[], place: number, replaced: readonly Route[], count: number): number[] | undefined {
  const ranks = replaced.slice(0, count).map(({ rank }) => rank);
  const more = count - ranks.length;
  if (more === 0) return ranks;
  const low = ranks.at(-1) ?? routes[place - 1]?.rank ?? -1;
  const high = routes[place + replaced.length]?.rank ?? low + more + 1;
  const step = (high - low) / (more + 1);
  for (let index = 1; index <= more; index++) ranks.push(low + step * index);
  const isRising = ranks.every((rank, index) => index === 0 || rank > (ranks[index - 1] as number));
  return isRising && (ranks.at(-1) as number) < high && (ranks[0] as number) > (routes[place - 1]?.rank ?? -1) ? ranks : undefined;
}

/** Services that a route leads to, each as often as it names it; those that policies ask are not among them. */
function* upstreamsOf({ backends, filters, fallback }: RouteDraft): Generator<UpstreamKey> {
  const named = [
    ...backends,
    ...[filters.mirror, fallback, filters.grpcJson?.target].filter((one) => one !== undefined),
    ...(filters.aggregate?.calls ?? []).map(({ target }) => target),
  ];
  for (const { upstream } of named) if (upstream !== undefined) yield upstream;
}

function countLed(routes: readonly Route[]): LayeredMap<UpstreamKey, number> {
  const led = new Map<UpstreamKey, number>();
  for (const route of routes) for (const upstream of upstreamsOf(route)) led.set(upstream, (led.get(upstream) ?? 0) + 1);
  return LayeredMap.of(led);
}
