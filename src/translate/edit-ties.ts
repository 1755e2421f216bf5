/** Which edits of Ingresses and ApiRoutes can touch nothing but the edited objects' own routes and statuses. */
import { isDeepStrictEqual } from 'node:util';
import type { ApiRoute } from '../resources/api-route.ts';
import { type ClassOwnership, ingressClassOf } from '../resources/classes.ts';
import { entryChanges } from '../resources/entry-changes.ts';
import type { Ingress } from '../resources/ingress.ts';
import type { Entry, ResourceSet } from '../resources/resource-set.ts';
import { PREFIX } from './annotation-values.ts';
import { BACKEND_ANNOTATIONS } from './ingress-backend-protocol.ts';
import { CANARY_ANNOTATIONS } from './ingress-canary.ts';

export type RouteEntry = Entry<Ingress> | Entry<ApiRoute>;

/** Of one object; `before` and `after` are not both absent. */
export interface RouteEdit {
  readonly before: RouteEntry | undefined;
  readonly after: RouteEntry | undefined;
}

export function isIngress(entry: RouteEntry): entry is Entry<Ingress> {
  return entry.kind === 'Ingress';
}

/** @returns undefined where more differs than Ingresses, ApiRoutes and EndpointSlices, which are looked at by themselves */
export function routeEdits(before: ResourceSet, after: ResourceSet): readonly RouteEdit[] | undefined {
  const others = (Object.keys(after) as (keyof ResourceSet)[]).filter((field) => !LOOKED_AT.has(field));
  // Sources keep the map of each kind that did not change.
  if (!others.every((field) => before[field] === after[field])) return undefined;
  if (before.ingresses === after.ingresses && before.apiRoutes === after.apiRoutes) return undefined;
  return [...entryChanges(before.ingresses, after.ingresses), ...entryChanges(before.apiRoutes, after.apiRoutes)];
}

const LOOKED_AT: ReadonlySet<keyof ResourceSet> = new Set(['ingresses', 'apiRoutes', 'endpointSlices', 'fileProblems', 'rejected']);

/** An object that is another controller's, and was: nothing is translated of it. Where policies target it they tell of it all the same. */
export function isOthers({ before, after }: RouteEdit, classes: ClassOwnership): boolean {
  return (before === undefined || namesOthers(before, classes)) && (after === undefined || namesOthers(after, classes));
}

function namesOthers(entry: RouteEntry, classes: ClassOwnership): boolean {
  if (entry.object === undefined) return false;
  if (!isIngress(entry)) return !classes.ownsApiRoute(entry.object as ApiRoute);
  // One that names no class may be told so.
  return ingressClassOf(entry.object as Ingress) !== undefined && !classes.ownsIngress(entry.object as Ingress);
}

/** What an object says that holds for Services and hosts, whoever else leads there. */
export function concernsOthers({ before, after }: RouteEdit): boolean {
  if ((before !== undefined && before.object === undefined) || (after !== undefined && after.object === undefined)) return true;
  return hasTies(before) || hasTies(after) || !sameCertificates(before, after);
}

function hasTies(entry: RouteEntry | undefined): boolean {
  if (entry === undefined) return false;
  if (isIngress(entry)) {
    for (const name in entry.object?.metadata.annotations) {
      if (!name.startsWith(PREFIX)) continue;
      const short = name.slice(PREFIX.length);
      if (BACKEND_ANNOTATIONS.has(short) || CANARY_ANNOTATIONS.has(short)) return true;
    }
    return false;
  }
  const tls = entry.object?.spec.tls;
  return tls?.mode === 'Passthrough' || tls?.clientValidation !== undefined;
}

function sameCertificates(one: RouteEntry | undefined, other: RouteEntry | undefined): boolean {
  const [before, after] = [certificatesOf(one), certificatesOf(other)];
  return before === after || isDeepStrictEqual(before, after);
}

/** Secrets and the hosts that they are for. */
function certificatesOf(entry: RouteEntry | undefined): unknown {
  if (entry?.object === undefined) return undefined;
  if (isIngress(entry)) {
    const { spec } = entry.object as Ingress;
    return spec.tls.every(({ secretName }) => secretName === undefined) ? undefined : [spec.tls, spec.rules.map(({ host }) => host)];
  }
  const { tls, hostnames } = (entry.object as ApiRoute).spec;
  return tls?.secretName === undefined ? undefined : [tls.secretName, hostnames];
}

/** Whether all that policies see of their targets is the same before and after: rules by what policies call them, hosts and paths. */
export function looksTheSame({ before, after }: RouteEdit): boolean {
  return before !== undefined && after !== undefined && isDeepStrictEqual(lookOf(before), lookOf(after));
}

function lookOf(entry: RouteEntry): unknown {
  if (isIngress(entry)) {
    const { rules, defaultBackend } = (entry.object as Ingress).spec;
    return [rules.map(({ host }) => host), defaultBackend === undefined];
  }
  const { hostnames, rules } = (entry.object as ApiRoute).spec;
  return [hostnames, rules.map(({ name, matches }) => [name, matches.map(({ path }) => path)])];
}

/** Whether a policy targets the object, and tells of it in its own status. */
export function isTarget({ before, after }: RouteEdit, set: ResourceSet): boolean {
  const { kind, namespace, name } = (after ?? before) as RouteEntry;
  for (const policies of [set.rateLimitPolicies, set.authPolicies]) {
    for (const policy of policies.values()) {
      if (policy.namespace !== namespace) continue;
      if (policy.object === undefined || policy.object.spec.targetRefs.some((target) => target.kind === kind && target.name === name)) return true;
    }
  }
  return false;
}
