/** What the objects in the API server carry now, as their watches show it: all that tells whether there is something to write. */
import { LEGACY_CLASS } from '../resources/classes.ts';
import type { StoredAncestor, StoredCondition } from './conditions.ts';
import type { PublishedAddress } from './published-address.ts';

/**
 * `managedFields` of server-side apply has what we wrote under this name. Another installation of Tidegate in the same cluster
 * has one of its own, so that none takes away what is the other's.
 * @param namespace the installation's, where its Lease is
 */
export function fieldManagerOf(namespace: string): string {
  return `tidegate.${namespace}`;
}

export interface Observed {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly conditions: readonly StoredCondition[];
  readonly ancestors: readonly StoredAncestor[];
  /** An Ingress's `status.loadBalancer.ingress`. */
  readonly addresses: readonly PublishedAddress[];
  /** Whether part of the status is ours. */
  readonly writtenByUs: boolean;
  /** The class that the newest version of an Ingress names, good or not. */
  readonly ingressClass: string | undefined;
}

/** An object as the API server sends it, as far as it matters here. */
export interface RawStatusObject {
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly managedFields?: readonly { readonly manager?: string; readonly subresource?: string }[];
  };
  readonly spec?: { readonly ingressClassName?: string };
  readonly status?: {
    readonly conditions?: readonly StoredCondition[];
    readonly ancestors?: readonly StoredAncestor[];
    readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[] };
  };
}

/** `Kind/namespace/name`. */
export type StatusKey = string;

export function statusKey(kind: string, namespace: string, name: string): StatusKey {
  return `${kind}/${namespace}/${name}`;
}

export class ObservedObjects {
  readonly #objects = new Map<StatusKey, Observed>();
  readonly #kinds: ReadonlySet<string>;
  /** As `fieldManagerOf` gives it. */
  readonly fieldManager: string;
  /** Called when the status of an object, or whose it is, is no longer what it was. */
  onChange: (key: StatusKey) => void = () => {};

  /** @param kinds those that have statuses of ours; others are passed over */
  constructor(kinds: Iterable<string>, fieldManager: string) {
    this.#kinds = new Set(kinds);
    this.fieldManager = fieldManager;
  }

  get(key: StatusKey): Observed | undefined {
    return this.#objects.get(key);
  }

  entries(): Iterable<[StatusKey, Observed]> {
    return this.#objects;
  }

  /** An object as it is now, from a watch or a list. Versions older than what is known do not count. */
  seen(kind: string, raw: RawStatusObject): void {
    if (!this.#kinds.has(kind)) return;
    const { name = '', namespace = '' } = raw.metadata ?? {};
    const key = statusKey(kind, namespace, name);
    const next = observe(kind, raw, this.fieldManager);
    const before = this.#objects.get(key);
    if (before !== undefined && before.uid === next.uid && isOlder(next.resourceVersion, before.resourceVersion)) return;
    this.#objects.set(key, next);
    if (before === undefined || !sameStatus(before, next)) this.onChange(key);
  }

  /** As `seen`, from the answer to a call: what comes after the watch has shown that the object is gone, or another one, counts for nothing. */
  answered(kind: string, raw: RawStatusObject): void {
    const { name = '', namespace = '', uid = '' } = raw.metadata ?? {};
    if (this.#objects.get(statusKey(kind, namespace, name))?.uid === uid) this.seen(kind, raw);
  }

  gone(kind: string, namespace: string, name: string): void {
    this.#objects.delete(statusKey(kind, namespace, name));
  }
}

function observe(kind: string, { metadata = {}, spec, status }: RawStatusObject, fieldManager: string): Observed {
  return {
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion ?? '',
    conditions: status?.conditions ?? NONE,
    ancestors: status?.ancestors ?? NONE,
    addresses: (status?.loadBalancer?.ingress ?? NONE).flatMap(({ ip, hostname }): PublishedAddress[] => [
      ...(ip === undefined || ip === '' ? [] : [{ ip }]),
      ...(hostname === undefined || hostname === '' ? [] : [{ hostname }]),
    ]),
    writtenByUs: (metadata.managedFields ?? []).some(({ manager, subresource }) => manager === fieldManager && subresource === 'status'),
    ingressClass: kind === 'Ingress' ? (spec?.ingressClassName ?? metadata.annotations?.[LEGACY_CLASS]) : undefined,
  };
}

const NONE: readonly never[] = [];

function sameStatus(one: Observed, other: Observed): boolean {
  const { resourceVersion: _one, ...before } = one;
  const { resourceVersion: _other, ...after } = other;
  return JSON.stringify(before) === JSON.stringify(after);
}

/** Kubernetes compares resourceVersions of one resource as numbers. */
function isOlder(version: string, than: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return false;
  return version.length === than.length ? version < than : version.length < than.length;
}
