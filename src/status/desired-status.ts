/** The status that an object should carry, and the server-side apply that brings it there. */
import { CONTROLLER_NAME } from '../resources/ingress-class.ts';
import type { ObjectStatus } from '../snapshot/status.ts';
import { type Ancestor, mergeAncestors, mergeConditions, othersAncestors, ourConditions, sameAncestors, sameConditions } from './conditions.ts';
import type { Observed } from './observed-objects.ts';
import { type PublishedAddress, sameAddresses } from './published-address.ts';

export interface ReportedKind {
  readonly kind: string;
  readonly apiVersion: string;
  readonly plural: string;
  /** What of the status is ours. */
  readonly status: 'loadBalancer' | 'conditions' | 'ancestors';
}

export const REPORTED_KINDS: readonly ReportedKind[] = [
  { kind: 'Ingress', apiVersion: 'networking.k8s.io/v1', plural: 'ingresses', status: 'loadBalancer' },
  { kind: 'ApiRoute', apiVersion: 'tidegate.dev/v1alpha1', plural: 'apiroutes', status: 'conditions' },
  { kind: 'RateLimitPolicy', apiVersion: 'tidegate.dev/v1alpha1', plural: 'ratelimitpolicies', status: 'ancestors' },
  { kind: 'AuthPolicy', apiVersion: 'tidegate.dev/v1alpha1', plural: 'authpolicies', status: 'ancestors' },
  { kind: 'ApiConsumer', apiVersion: 'tidegate.dev/v1alpha1', plural: 'apiconsumers', status: 'conditions' },
  { kind: 'BackendPolicy', apiVersion: 'tidegate.dev/v1alpha1', plural: 'backendpolicies', status: 'ancestors' },
];

export interface ObjectName {
  readonly kind: ReportedKind;
  readonly namespace: string;
  readonly name: string;
}

export interface DesiredStatus extends ObjectName {
  readonly generation: number;
  /** Undefined: the object is none of ours. */
  readonly status: ObjectStatus | undefined;
  /** It was ours, and what it still has of us goes: what we own and do not apply, the server removes. */
  readonly lost: boolean;
}

/** Path of an object in the API. */
export function objectPath({ kind, namespace, name }: ObjectName): string {
  return `/apis/${kind.apiVersion}/namespaces/${namespace}/${kind.plural}/${name}`;
}

/**
 * @param addresses where the gateway is reached; undefined: not known at present, and left as it is
 * @param now RFC 3339, for conditions that change now
 * @returns the body of a server-side apply to the `status` subresource; undefined where the object carries it already
 */
export function statusPatch(
  desired: DesiredStatus,
  observed: Observed,
  addresses: readonly PublishedAddress[] | undefined,
  now: string,
): Readonly<Record<string, unknown>> | undefined {
  const { kind, namespace, name } = desired;
  // The uid keeps it from another object that has come by the same name.
  const metadata = { name, namespace, ...(observed.uid === '' ? {} : { uid: observed.uid }) };
  const head = { apiVersion: kind.apiVersion, kind: kind.kind };
  if (kind.status === 'loadBalancer') {
    const wanted = publishes(desired) ? addresses : [];
    if (wanted === undefined) return undefined;
    // What others wrote there is theirs to remove.
    if (wanted.length === 0) return observed.writtenByUs && observed.addresses.length > 0 ? { ...head, metadata } : undefined;
    return sameAddresses(wanted, observed.addresses) ? undefined : { ...head, metadata, status: { loadBalancer: { ingress: wanted } } };
  }
  if (desired.status === undefined) return !desired.lost ? undefined : withoutOurs(observed, head, metadata);
  const conditions = mergeConditions(desired.status.conditions, observed.conditions, now);
  const isSame = sameConditions(conditions, observed.conditions);
  if (kind.status === 'conditions') return isSame ? undefined : { ...head, metadata, status: { conditions } };
  const ours: readonly Ancestor[] = desired.status.ancestors ?? [];
  const ancestors = mergeAncestors(ours, observed.ancestors, CONTROLLER_NAME, now);
  if (isSame && sameAncestors(ancestors, observed.ancestors, CONTROLLER_NAME)) return undefined;
  return { ...head, metadata: guarded(metadata, observed), status: { conditions, ancestors } };
}

/** An Ingress of ours of which something is in force, if only its last good version: its address must not go from DNS. */
function publishes({ status }: DesiredStatus): boolean {
  return status?.conditions.some(({ type, status }) => type === 'Programmed' && status === 'True') === true;
}

/** Of an object that is no longer ours. */
function withoutOurs(observed: Observed, head: object, metadata: object): Readonly<Record<string, unknown>> | undefined {
  const others = othersAncestors(observed.ancestors, CONTROLLER_NAME);
  if (!observed.writtenByUs || (ourConditions(observed.conditions).length === 0 && others.length === observed.ancestors.length)) return undefined;
  return { ...head, metadata: guarded(metadata, observed), ...(others.length === 0 ? {} : { status: { ancestors: others } }) };
}

/** The list of ancestors is one value: with others' entries in it, it may only take the place of the very version that was seen. */
function guarded(metadata: object, observed: Observed): object {
  const isShared = othersAncestors(observed.ancestors, CONTROLLER_NAME).length > 0;
  return isShared && observed.resourceVersion !== '' ? { ...metadata, resourceVersion: observed.resourceVersion } : metadata;
}
