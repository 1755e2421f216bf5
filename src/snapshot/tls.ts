/** What clients meet on the TLS port: certificates, requests for theirs, and connections that are passed through. */

import type { HostPattern } from './match.ts';
import type { Backend } from './route.ts';
import type { Sensitive } from './sensitive.ts';

export interface Certificate {
  /** `namespace/name` of its Secret. */
  readonly id: string;
  /** PEM chain, leaf first. */
  readonly chain: string;
  readonly key: Sensitive;
}

export interface ServerName {
  readonly host: HostPattern;
  /** Certificate ids, in order of preference; several where an RSA and an ECDSA one serve the same name. */
  readonly certificates: readonly string[];
}

/** Connections that go to a backend with their TLS, by the server name that they ask for. */
export interface PassthroughRoute {
  /** As `Route.id`. */
  readonly id: string;
  readonly kind: 'ApiRoute' | 'Ingress';
  readonly namespace: string;
  readonly name: string;
  readonly rule: string;
  /** Never `Any`; no two routes have the same. */
  readonly hosts: readonly HostPattern[];
  /** Without a byte in either direction. */
  readonly idleTimeout: number;
  readonly backends: readonly Backend[];
}

export interface Passthrough {
  readonly routes: readonly PassthroughRoute[];
  /** Hosts below wildcards of `routes` whose TLS is the gateway's own, for they are more specific. */
  readonly terminated: readonly HostPattern[];
}

/** What clients are asked for in a TLS handshake. */
export interface ClientValidation {
  /** A digest of all the rest: equal ids are the same. */
  readonly id: string;
  /** Require: nobody is served without a good certificate. Request: everybody is. */
  readonly mode: 'Require' | 'Request';
  /** PEM, one certificate each; none: no certificate is good. */
  readonly authorities: readonly string[];
  /** PEM, one list each. Where there are any, each authority of a chain needs one. */
  readonly revocationLists: readonly string[];
}

export interface ClientValidationHost {
  readonly host: HostPattern;
  /** Its id; absent: nobody is asked, though a wildcard around the host does. */
  readonly validation?: string;
}

export interface SnapshotClientValidation {
  readonly policies: ReadonlyMap<string, ClientValidation>;
  readonly hosts: readonly ClientValidationHost[];
}
