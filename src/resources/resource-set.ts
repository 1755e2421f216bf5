/**
 * A ResourceSet is every object that matters, as read, at one moment. Sources build it, `translate` reads it.
 * It is never changed: a source that sees an edit makes a new set, and every kind that the edit did not touch
 * keeps its very same map, and every untouched object its very same entry. The controller relies on that to tell
 * what changed by comparing references.
 */
import type { ApiConsumer } from './api-consumer.ts';
import type { ApiRoute } from './api-route.ts';
import type { AuthPolicy } from './auth-policy.ts';
import type { BackendPolicy } from './backend-policy.ts';
import type { ConfigMap } from './config-map.ts';
import type { EndpointSlice } from './endpoint-slice.ts';
import type { Ingress } from './ingress.ts';
import type { IngressClass } from './ingress-class.ts';
import type { RateLimitPolicy } from './rate-limit-policy.ts';
import type { ReferenceGrant } from './reference-grant.ts';
import type { Secret } from './secret.ts';
import type { Service } from './service.ts';

/** Where a version of an object was read. */
export interface Origin {
  /** Path of the file below the folder, or the API server's name. */
  readonly file: string;
  /** 1-based line on which the object begins. */
  readonly line: number;
  /**
   * 1-based line of a field of the newest version, or of its nearest parent that is there; the object's own line where
   * the source knows no better.
   * @param field as in `Problem.field`
   */
  lineOf(field: string): number;
}

/** What is wrong with one version of one object. */
export interface Problem {
  readonly severity: 'error' | 'warning';
  /** Condition reason, as Gateway API names them. */
  readonly reason:
    | 'Invalid'
    | 'UnsupportedValue'
    | 'BackendNotFound'
    | 'RefNotPermitted'
    | 'Conflicted'
    | 'InvalidCertificateRef'
    | 'InvalidSecretRef'
    | 'TargetNotFound';
  /** Path of the field, as `spec.rules[0].matches[1].path.value`; empty for the object as a whole. */
  readonly field: string;
  /** What is wrong, in one sentence without a full stop. */
  readonly message: string;
  /** What would be right; may be empty. */
  readonly hint: string;
  /** 1-based line of the field (or of its nearest parent that is there), where the source knows lines. */
  readonly line?: number;
}

/** One object: the newest version's identity and problems, and the newest version that was good. */
export interface Entry<T> {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** `metadata.generation` of the newest version; 0 where the source has none. */
  readonly generation: number;
  /**
   * Age order: smaller is older. Dated objects come first by creationTimestamp, undated ones after them, in the byte order
   * of their files' paths, then by place in the file. Objects of one age are in the order of their names.
   */
  readonly age: number;
  readonly origin: Origin;
  /** The newest version that was good; absent when there never was one. It stays in force while `problems` has errors. */
  readonly object?: T;
  /**
   * Of a policy without a good version that fails closed: what it was to guard. Absent where there is an `object`.
   */
  readonly closes?: readonly ClosedTarget[];
  /** Problems of the newest version. With an error among them, `object` is an older version. */
  readonly problems: readonly Problem[];
}

/** As a good policy's `targetRefs`. */
export interface ClosedTarget {
  readonly group: string;
  readonly kind: 'ApiRoute' | 'Ingress';
  readonly name: string;
  readonly sectionName?: string;
}

/** A file that could not be read as objects at all; what it held before stays in force. */
export interface FileProblem {
  readonly file: string;
  readonly line: number;
  readonly message: string;
  readonly hint: string;
}

/** `namespace/name`; an empty namespace part for cluster-scoped kinds is written as `name` alone. */
export type ObjectKey = string;

export type Entries<T> = ReadonlyMap<ObjectKey, Entry<T>>;

export interface ResourceSet {
  readonly ingressClasses: Entries<IngressClass>;
  readonly ingresses: Entries<Ingress>;
  readonly apiRoutes: Entries<ApiRoute>;
  readonly rateLimitPolicies: Entries<RateLimitPolicy>;
  readonly authPolicies: Entries<AuthPolicy>;
  readonly apiConsumers: Entries<ApiConsumer>;
  readonly backendPolicies: Entries<BackendPolicy>;
  readonly services: Entries<Service>;
  readonly endpointSlices: Entries<EndpointSlice>;
  readonly secrets: Entries<Secret>;
  readonly configMaps: Entries<ConfigMap>;
  readonly referenceGrants: Entries<ReferenceGrant>;
  /**
   * Where the API server itself can be reached, as `host port`: names in lower case, addresses as they are written. No backend
   * may be there. Empty where there is no API server.
   */
  readonly apiServer: readonly string[];
  /**
   * Objects that no map above can hold, each with the error that says why: a second object of the same kind, namespace
   * and name, a misspelt kind, another group, a kind of a later version, an object without a name. Translation
   * has nothing to do with them.
   */
  readonly rejected: readonly Entry<never>[];
  readonly fileProblems: readonly FileProblem[];
}
