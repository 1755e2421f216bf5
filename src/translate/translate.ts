/**
 * From a ResourceSet to a Snapshot and the status of each object: pure, without clock or I/O. It never throws on what
 * users write: a bad object gets a condition, its last good version stays in force, and every other object is untouched.
 */

import { ClassOwnership, ingressClassOf } from '../resources/classes.ts';
import type { Entry, ResourceSet } from '../resources/resource-set.ts';
import type { Endpoint, Route, Snapshot, UpstreamKey } from '../snapshot/snapshot.ts';
import type { ObjectStatus } from '../snapshot/status.ts';
import { translateApiRoute } from './api-route.ts';
import { BackendPolicies } from './backend-policies.ts';
import { Certificates, type TlsPairs } from './certificates.ts';
import { Claims } from './conflicts.ts';
import { EndpointTable } from './endpoint-table.ts';
import { translateIngress } from './ingress.ts';
import { type Finding, Issues } from './issues.ts';
import { compareAge, sortedMap, sortFindings } from './order.ts';
import type { Attachments } from './policy-targets.ts';
import { RateLimits } from './rate-limits.ts';
import type { RouteContext, RouteDraft } from './routes.ts';
import { type ServiceOptions, Upstreams } from './services.ts';
import { SharedParts } from './shared-parts.ts';
import { policyStatus, routeStatus } from './statuses.ts';

export interface TranslateOptions extends ServiceOptions {
  /** `--ingress-class`: names our class while there is no IngressClass object of ours. */
  readonly ingressClass: string;
  /** `--default-certificate`: `namespace/name` of a Secret. */
  readonly defaultCertificate?: string;
  /** `--allow-external-name`. */
  readonly allowExternalName: boolean;
  /** In a folder's mode. */
  readonly allowLoopbackEndpoints: boolean;
}

export interface TranslateResult {
  readonly snapshot: Snapshot;
  /** Of Ingresses and ApiRoutes that are ours, and of policies: by kind, then age. */
  readonly statuses: readonly ObjectStatus[];
  /** What only shows beside other objects; those of an object by itself are in its entry. By object, the oldest first. */
  readonly problems: readonly Finding[];
  /** For the next translation: certificates serve on when their Secrets go bad or missing. */
  readonly tlsPairs: TlsPairs;
  /** For the next translation. */
  readonly endpointTable: EndpointTable;
  /** `problems` without those of EndpointSlices. For `translateEndpoints`. */
  readonly otherProblems: readonly Finding[];
}

/**
 * @param previous the last result. A Secret that has gone missing since keeps the certificate that it had there (api.md,
 *   "Redirects and TLS"), and the index of EndpointSlices is built on; all else is the same without it
 */
export function translate(set: ResourceSet, options: TranslateOptions, previous?: TranslateResult): TranslateResult {
  const issues = new Issues();
  const classes = new ClassOwnership(set.ingressClasses, options.ingressClass);
  const backendPolicies = new BackendPolicies(set, issues);
  const rateLimits = new RateLimits(set, classes, issues);
  const upstreams = new Upstreams(set, options, backendPolicies, issues);
  const certificates = new Certificates(set.secrets, issues, previous?.tlsPairs ?? new Map());
  const { routes, statuses } = translateRoutes(set, classes, { issues, upstreams, rateLimits, certificates, claims: new Claims() });
  if (options.defaultCertificate !== undefined) certificates.claimDefault(options.defaultCertificate);
  const used = sortedMap(upstreams.used);
  const endpointTable = EndpointTable.build(set, used, options, previous?.endpointTable);
  const otherProblems = sortFindings(issues.findings());
  return {
    snapshot: { routes, upstreams: used, endpoints: endpointTable.endpoints, ...certificates.build() },
    statuses: [
      ...statuses,
      ...policyStatuses(set.rateLimitPolicies.values(), rateLimits.attachments),
      ...policyStatuses(set.backendPolicies.values(), backendPolicies.attachments),
    ],
    problems: sortFindings([...otherProblems, ...endpointTable.findings()]),
    tlsPairs: certificates.pairs,
    endpointTable,
    otherProblems,
  };
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
    problems: sortFindings([...previous.otherProblems, ...table.findings()]),
    endpointTable: table,
  };
  return { result, changes };
}

/** Routes in order of rank: the oldest object, then `namespace/name`, then the order of rules. */
function translateRoutes(set: ResourceSet, classes: ClassOwnership, context: RouteContext): { readonly routes: Route[]; readonly statuses: ObjectStatus[] } {
  const objects = [
    ...[...set.ingresses.values()].map((entry) => ({ entry, translate: () => ownIngress(entry, classes, context) })),
    ...[...set.apiRoutes.values()].map((entry) => ({ entry, translate: () => ownApiRoute(entry, classes, context) })),
  ].sort((one, other) => compareAge(one.entry, other.entry));
  const routes: Route[] = [];
  const parts = new SharedParts();
  const statuses: ObjectStatus[] = [];
  for (const { entry, translate } of objects) {
    const drafts = translate();
    if (drafts === undefined) continue;
    for (const draft of drafts) routes.push(parts.route(draft, routes.length));
    const serves = drafts.some(({ filters }) => filters.closed === undefined);
    statuses.push(routeStatus(entry, context.issues.of(entry), serves));
  }
  return { routes, statuses };
}

type OfMap<Map> = Map extends ReadonlyMap<string, infer Value> ? Value : never;

/** Undefined for an Ingress that is none of ours. One that never was good is told of, since nothing says whose it is. */
function ownIngress(entry: OfMap<ResourceSet['ingresses']>, classes: ClassOwnership, context: RouteContext): RouteDraft[] | undefined {
  const ingress = entry.object;
  if (ingress === undefined) return [];
  if (classes.ownsIngress(ingress)) return translateIngress(entry, ingress, context);
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
  return undefined;
}

function ownApiRoute(entry: OfMap<ResourceSet['apiRoutes']>, classes: ClassOwnership, context: RouteContext): RouteDraft[] | undefined {
  const route = entry.object;
  if (route === undefined) return [];
  return classes.ownsApiRoute(route) ? translateApiRoute(entry, route, context) : undefined;
}

function policyStatuses(entries: Iterable<Entry<unknown>>, attachments: Attachments): ObjectStatus[] {
  return [...entries].sort(compareAge).map((entry) => policyStatus(entry, attachments.get(entry) ?? []));
}
