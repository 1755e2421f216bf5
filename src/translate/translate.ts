/**
 * From a ResourceSet to a Snapshot and the status of each object: pure, without clock or I/O. It never throws on what
 * users write: a bad object gets a condition, its last good version stays in force, and every other object is untouched.
 */

import { ClassOwnership, ingressClassOf } from '../resources/classes.ts';
import type { Ingress } from '../resources/ingress.ts';
import type { Entries, Entry, ResourceSet } from '../resources/resource-set.ts';
import { LayeredMap } from '../snapshot/layered-map.ts';
import type { Route } from '../snapshot/route.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { ObjectStatus } from '../snapshot/status.ts';
import type { Endpoint, UpstreamKey } from '../snapshot/upstream.ts';
import { type TranslatedApiRoute, translateApiRoute } from './api-route.ts';
import { AuthPolicies } from './auth-policies.ts';
import { BackendPolicies } from './backend-policies.ts';
import { Certificates, type TlsPairs } from './certificates.ts';
import { ClientValidations } from './client-validation.ts';
import { Claims } from './conflicts.ts';
import { type ConsumersResult, translateConsumers } from './consumers.ts';
import { type EditBasis, type EditedParts, type Repeatable, type Repeated, translateEditedRoutes } from './edited-routes.ts';
import { EndpointTable } from './endpoint-table.ts';
import { type IngressBasis, repeatIngress, translateIngress } from './ingress.ts';
import { AnnotatedBackends } from './ingress-backend-protocol.ts';
import { Canaries } from './ingress-canary.ts';
import { type Finding, type Issue, Issues } from './issues.ts';
import { compareText, oldestFirst, sortedMap, sortFindings } from './order.ts';
import { Passthroughs } from './passthrough.ts';
import type { Attachments } from './policy-targets.ts';
import { isGlobal, RateLimits } from './rate-limits.ts';
import type { RouteContext, RouteDraft, RuleOwner } from './routes.ts';
import { type NameTroubles, type ServiceOptions, Upstreams } from './services.ts';
import { SessionHosts } from './session-hosts.ts';
import { SharedParts } from './shared-parts.ts';
import { policyStatus, routeStatus } from './statuses.ts';
import { Trust, type TrustBlocks } from './trust.ts';

export interface TranslateOptions extends ServiceOptions {
  /** `--ingress-class`: names our class while there is no IngressClass object of ours. */
  readonly ingressClass: string;
  /** `--default-certificate`: `namespace/name` of a Secret. */
  readonly defaultCertificate?: string;
  /** `--allow-external-name`. */
  readonly allowExternalName: boolean;
  /** In a folder's mode. */
  readonly allowLoopbackEndpoints: boolean;
  /** Whether there is a `--redis`; absent: not known. */
  readonly hasRedis?: boolean;
}

export interface TranslateResult {
  readonly snapshot: Snapshot;
  /** Of Ingresses and ApiRoutes that are ours, and of policies: by kind, then age. */
  readonly statuses: readonly ObjectStatus[];
  /** What only shows beside other objects; those of an object by itself are in its entry. By object, the oldest first. */
  readonly problems: readonly Finding[];
  /** For the next translation: certificates serve on when their Secrets go bad or missing. */
  readonly tlsPairs: TlsPairs;
  /** For the next translation, as `tlsPairs`. */
  readonly trustBlocks: TrustBlocks;
  /** For the next translation: consumers that it need not look at again. */
  readonly consumers: ConsumersResult;
  /** For the next translation. */
  readonly endpointTable: EndpointTable;
  /** For the next translation: Ingresses that it need not translate again, and ApiRoutes that it may take out. */
  readonly repeatable: Repeatable;
  /** For the next translation, if it is one of edited Ingresses and ApiRoutes. */
  readonly editBasis: EditBasis;
  /** `problems` without those of EndpointSlices. For `translateEndpoints`. */
  readonly otherProblems: readonly Finding[];
}

/**
 * @param previous the last result. A Secret that has gone missing since keeps the certificate that it had there (api.md,
 *   "Redirects and TLS"). What is the same as there is taken from there; all but certificates is the same without it
 * @param nameTroubles of ExternalName Services; their routes are told, and lead there all the same
 */
export function translate(set: ResourceSet, options: TranslateOptions, previous?: TranslateResult, nameTroubles: NameTroubles = NO_TROUBLES): TranslateResult {
  const edited = previous && translateEditedRoutes(set, options, previous, nameTroubles);
  return edited === undefined ? translateWhole(set, options, previous, nameTroubles) : withEdits(set, options, previous as TranslateResult, edited);
}

function translateWhole(set: ResourceSet, options: TranslateOptions, previous: TranslateResult | undefined, nameTroubles: NameTroubles): TranslateResult {
  const issues = new Issues();
  const classes = new ClassOwnership(set.ingressClasses, options.ingressClass);
  const certificates = new Certificates(set.secrets, issues, previous?.tlsPairs ?? new Map());
  const trust = new Trust(set, issues, previous?.trustBlocks ?? new Map());
  const backendPolicies = new BackendPolicies(set, issues, trust, certificates);
  const annotated = new AnnotatedBackends(ownIngresses(set, classes), issues, trust, certificates);
  const rateLimits = new RateLimits(set, classes, issues, options.hasRedis);
  const consumers = translateConsumers(set, issues, previous?.consumers);
  const upstreams = new Upstreams(set, options, backendPolicies, annotated, issues, previous?.snapshot.upstreams ?? new Map(), nameTroubles);
  const authPolicies = new AuthPolicies(set, classes, issues, upstreams);
  const canaries = new Canaries(ownIngresses(set, classes), issues);
  const clientValidations = new ClientValidations(issues, trust);
  const passthroughs = new Passthroughs();
  const context = {
    issues,
    upstreams,
    clientValidations,
    rateLimits,
    authPolicies,
    sessionHosts: new SessionHosts(set, authPolicies),
    certificates,
    claims: new Claims<RuleOwner>(),
    canaries,
    passthroughs,
    configMaps: set.configMaps,
  };
  const { routes, statuses, repeatable, youngest } = translateRoutes(set, classes, context, previous?.repeatable);
  if (options.defaultCertificate !== undefined) certificates.claimDefault(options.defaultCertificate);
  const used = sortedMap(upstreams.used);
  const endpointTable = EndpointTable.build(set, used, options, previous?.endpointTable);
  const otherProblems = sortFindings(issues.findings());
  const snapshot: Snapshot = {
    routes,
    ...passthroughs.build(),
    upstreams: used,
    endpoints: endpointTable.endpoints,
    ...certificates.build(),
    ...clientValidations.build(routes),
    ...(consumers.specs.size === 0 ? {} : { consumers: consumers.specs }),
    ...authPolicies.build(),
  };
  const isPlain = canaries.isEmpty && snapshot.passthrough === undefined && snapshot.clientValidation === undefined;
  return {
    snapshot,
    statuses: [
      ...statuses,
      ...policyStatuses(set.rateLimitPolicies, rateLimits.attachments, issues, (entry) => isGlobal(entry) || issues.of(entry).some(isOfReferences)),
      ...policyStatuses(set.authPolicies, authPolicies.attachments, issues, (entry) => entry.object !== undefined),
      ...consumers.statuses,
      ...policyStatuses(set.backendPolicies, backendPolicies.attachments, issues, (entry) => backendPolicies.refers(entry)),
    ],
    problems: sortFindings([...otherProblems, ...endpointTable.findings()]),
    tlsPairs: certificates.pairs,
    trustBlocks: trust.blocks,
    consumers,
    endpointTable,
    repeatable,
    editBasis: {
      set,
      options,
      nameTroubles,
      claims: context.claims,
      context: lastingOf(context),
      isPlain,
      youngest,
      routeStatuses: statuses.length,
      led: undefined,
    },
    otherProblems,
  };
}

function lastingOf({ issues, upstreams, rateLimits, authPolicies, sessionHosts, configMaps }: RouteContext): EditBasis['context'] {
  return { issues, upstreams, rateLimits, authPolicies, sessionHosts, configMaps };
}

function withEdits(set: ResourceSet, options: TranslateOptions, previous: TranslateResult, { routes, ...parts }: EditedParts): TranslateResult {
  const basis = set.endpointSlices === previous.editBasis.set.endpointSlices ? previous : translateEndpoints(set, options, previous).result;
  return { ...basis, ...parts, snapshot: { ...basis.snapshot, routes } };
}

/**
 * Translates a set that differs from that of `previous` in its EndpointSlices alone: only upstreams whose slices changed
 * are looked at again, and all the rest of the result is the same by reference.
 *
 * @returns the new result, and the new endpoints of those upstreams where they really differ
 */
export function translateEndpoints(
  set: ResourceSet,
  options: TranslateOptions,
  previous: TranslateResult,
): { readonly result: TranslateResult; readonly changes: ReadonlyMap<UpstreamKey, readonly Endpoint[]> } {
  const { table, changes } = previous.endpointTable.update(set, options);
  const result = {
    ...previous,
    snapshot: changes.size === 0 ? previous.snapshot : { ...previous.snapshot, endpoints: table.endpoints },
    problems: table.tellsAs(previous.endpointTable) ? previous.problems : sortFindings([...previous.otherProblems, ...table.findings()]),
    endpointTable: table,
    editBasis: { ...previous.editBasis, set },
  };
  return { result, changes };
}

const NO_TROUBLES: NameTroubles = new Map();

interface TranslatedRoutes {
  readonly routes: Route[];
  readonly statuses: ObjectStatus[];
  readonly repeatable: Repeatable;
  readonly youngest: Entry<unknown> | undefined;
}

/** Routes in order of rank: the oldest object, then `namespace/name`, then the order of rules. */
function translateRoutes(set: ResourceSet, classes: ClassOwnership, context: RouteContext, previous: Repeatable | undefined): TranslatedRoutes {
  const routes: Route[] = [];
  const parts = new SharedParts();
  const statuses: ObjectStatus[] = [];
  /** Canaries, and the places of their statuses: they are served as far as an Ingress has their paths, which may come later. */
  const canaries: { readonly entry: Entry<unknown>; readonly place: number }[] = [];
  const repeatable = new Map<Entry<unknown>, Repeated>();
  const take = (drafts: readonly RouteDraft[]): Route[] => {
    const taken = drafts.map((draft, index) => parts.route(draft, routes.length + index));
    for (const route of taken) routes.push(route);
    return taken;
  };
  const status = (entry: Entry<unknown>, own: readonly RouteDraft[]): ObjectStatus =>
    routeStatus(entry, context.issues.of(entry), own.some(({ filters }) => filters.closed === undefined) || context.passthroughs.serves(entry));
  const inOrder = inOrderOfAge(set);
  for (const { entry, kind } of inOrder) {
    if (kind === 'ApiRoute') {
      const translated = ownApiRoute(entry, classes, context);
      if (translated === undefined) continue;
      const { drafts, claims } = translated;
      const taken = take(drafts);
      const now = status(entry, drafts);
      statuses.push(now);
      if (context.issues.of(entry).length === 0) repeatable.set(entry, { routes: taken, claims, basis: undefined, status: now });
      continue;
    }
    const ingress = entry.object;
    if (ingress === undefined) statuses.push(status(entry, []));
    if (ingress === undefined || !isOwnIngress(entry, ingress, classes, context)) continue;
    if (context.canaries.has(entry)) {
      canaries.push({ entry, place: statuses.length });
      statuses.push(status(entry, []));
      continue;
    }
    const before = previous?.get(entry);
    const kept = before?.basis !== undefined && repeatIngress(entry, ingress, before.basis, context) ? before : undefined;
    let taken: readonly Route[];
    let basis: IngressBasis | undefined;
    if (kept === undefined) {
      const translated = translateIngress(entry, ingress, context);
      taken = take(translated.drafts);
      basis = translated.basis;
    } else {
      taken = kept.routes.map((route, index) => (route.rank === routes.length + index ? route : { ...route, rank: routes.length + index }));
      for (const route of taken) routes.push(route);
      basis = kept.basis;
    }
    const isFine = context.issues.of(entry).length === 0;
    const now = (isFine ? kept?.status : undefined) ?? status(entry, taken);
    statuses.push(now);
    if (basis !== undefined) repeatable.set(entry, { routes: taken, claims: basis.claims, basis, status: isFine ? now : undefined });
  }
  context.canaries.tellOrphans();
  for (const { entry, place } of canaries) statuses[place] = routeStatus(entry, context.issues.of(entry), context.canaries.serves(entry));
  return { routes, statuses, repeatable: LayeredMap.of(repeatable), youngest: inOrder.at(-1)?.entry };
}

function* ownIngresses(set: ResourceSet, classes: ClassOwnership): Generator<{ readonly entry: Entry<Ingress>; readonly ingress: Ingress }> {
  for (const entry of set.ingresses.values()) {
    const ingress = entry.object;
    if (ingress !== undefined && classes.ownsIngress(ingress)) yield { entry, ingress };
  }
}

type Ordered =
  | { readonly kind: 'Ingress'; readonly entry: OfMap<ResourceSet['ingresses']>; readonly key: string }
  | { readonly kind: 'ApiRoute'; readonly entry: OfMap<ResourceSet['apiRoutes']>; readonly key: string };

/** As `compareAge` has it, with the keys of the maps: ten thousand objects may be of the same second. */
function inOrderOfAge(set: ResourceSet): Ordered[] {
  const objects: Ordered[] = [];
  set.ingresses.forEach((entry, key) => void objects.push({ kind: 'Ingress', entry, key }));
  set.apiRoutes.forEach((entry, key) => void objects.push({ kind: 'ApiRoute', entry, key }));
  return objects.sort((one, other) => one.entry.age - other.entry.age || compareText(one.key, other.key) || compareText(one.entry.kind, other.entry.kind));
}

type OfMap<Map> = Map extends ReadonlyMap<string, infer Value> ? Value : never;

/** An Ingress that never was good counts as ours, since nothing says whose it is: that is the caller's. */
function isOwnIngress(entry: OfMap<ResourceSet['ingresses']>, ingress: Ingress, classes: ClassOwnership, context: RouteContext): boolean {
  if (classes.ownsIngress(ingress)) return true;
  // With a class of anybody's about, leaving it out may be meant.
  if (ingressClassOf(ingress) === undefined && !classes.anyClass) {
    context.issues.add(entry, 'told', {
      severity: 'warning',
      reason: 'Invalid',
      field: 'spec.ingressClassName',
      message: 'the Ingress names no class, and there is no default one: nobody serves it',
      hint: `write ingressClassName: ${classes.exampleName}`,
    });
  }
  return false;
}

function ownApiRoute(entry: OfMap<ResourceSet['apiRoutes']>, classes: ClassOwnership, context: RouteContext): TranslatedApiRoute | undefined {
  const route = entry.object;
  if (route === undefined) return { drafts: [], claims: [] };
  return classes.ownsApiRoute(route) ? translateApiRoute(entry, route, context) : undefined;
}

function isOfReferences({ consequence }: Issue): boolean {
  return consequence === 'ResolvedRefs';
}

function policyStatuses<T>(entries: Entries<T>, attachments: Attachments, issues: Issues, refers: (entry: Entry<T>) => boolean): ObjectStatus[] {
  return oldestFirst(entries).map((entry) => policyStatus(entry, attachments.get(entry) ?? [], refers(entry) ? issues.of(entry) : undefined));
}
