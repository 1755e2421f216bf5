/**
 * The snapshot: all that the data plane needs, as plain data that is never changed after it was made. It crosses
 * threads by structured clone, so it holds no functions and no class instances, but for `Sensitive` values, which
 * the publisher carries over by name (see workers/). Durations are milliseconds, sizes are bytes.
 */

import type { ConsumerSpec, SecretId } from './auth.ts';
import type { DocumentRequest } from './documents.ts';
import type { Route } from './route.ts';
import type { Sensitive } from './sensitive.ts';
import type { Certificate, Passthrough, ServerName, SnapshotClientValidation } from './tls.ts';
import type { Endpoint, Upstream, UpstreamKey } from './upstream.ts';

export interface Snapshot {
  readonly routes: readonly Route[];
  /** Absent: nothing is passed through. */
  readonly passthrough?: Passthrough;
  readonly upstreams: ReadonlyMap<UpstreamKey, Upstream>;
  /** Kept apart from `upstreams`, because it changes often and travels as deltas. Sorted by address, then port. */
  readonly endpoints: ReadonlyMap<UpstreamKey, readonly Endpoint[]>;
  readonly certificates: ReadonlyMap<string, Certificate>;
  readonly serverNames: readonly ServerName[];
  /** Id of the certificate for unknown names; absent: a self-signed one. */
  readonly defaultCertificate?: string;
  /** Absent: no client is asked for a certificate. */
  readonly clientValidation?: SnapshotClientValidation;
  /** What the filters of `routes` need from elsewhere; absent: nothing. The same one may be there more than once. */
  readonly documents?: readonly DocumentRequest[];
  /** ApiConsumers by `namespace/name`; the very same map, and the very same values, while nothing of them changes. Absent: none. */
  readonly consumers?: ReadonlyMap<string, ConsumerSpec>;
  /** Values of Secrets that policies use. One that is missing here can't be had. Absent: none. */
  readonly secrets?: ReadonlyMap<SecretId, Sensitive>;
}
