/** Whether two snapshots say the same, so that nothing is published that changes nothing. */
import { isDeepStrictEqual } from 'node:util';
import { LayeredMap } from './layered-map.ts';
import type { Route } from './route.ts';
import type { Sensitive } from './sensitive.ts';
import type { Snapshot } from './snapshot.ts';
import type { Certificate } from './tls.ts';
import type { Endpoint, UpstreamKey } from './upstream.ts';

/** Everything but the endpoints, which travel by themselves; the upstreams that have endpoints are the same then, too. */
export function equalButEndpoints(one: Snapshot, other: Snapshot): boolean {
  return (
    one.defaultCertificate === other.defaultCertificate &&
    sameCertificates(one.certificates, other.certificates) &&
    isDeepStrictEqual(one.serverNames, other.serverNames) &&
    isDeepStrictEqual(one.passthrough, other.passthrough) &&
    isDeepStrictEqual(one.clientValidation, other.clientValidation) &&
    isDeepStrictEqual(one.documents, other.documents) &&
    sameConsumers(one.consumers, other.consumers) &&
    sameSecrets(one.secrets, other.secrets) &&
    isDeepStrictEqual(one.upstreams, other.upstreams) &&
    sameRoutes(one.routes, other.routes)
  );
}

/** Endpoints of `next` that are not those of `previous`. Both must have the same upstreams. */
export function changedEndpoints(previous: Snapshot, next: Snapshot): Map<UpstreamKey, readonly Endpoint[]> {
  const changes = new Map<UpstreamKey, readonly Endpoint[]>();
  if (next.endpoints === previous.endpoints) return changes;
  for (const [key, list] of next.endpoints) if (!sameEndpoints(list, previous.endpoints.get(key))) changes.set(key, list);
  return changes;
}

/** All endpoints after some have changed; pods come and go all the time, and it costs what the changes are. */
export function withEndpoints(endpoints: Snapshot['endpoints'], changes: Snapshot['endpoints']): Snapshot['endpoints'] {
  return (endpoints instanceof LayeredMap ? endpoints : LayeredMap.of(endpoints)).with(changes);
}

/** Most are the very same ones. */
function sameRoutes(one: readonly Route[], other: readonly Route[]): boolean {
  return one === other || (one.length === other.length && one.every((route, place) => route === other[place] || isDeepStrictEqual(route, other[place])));
}

/** @param one, other sorted, as they are in snapshots */
export function sameEndpoints(one: readonly Endpoint[], other: readonly Endpoint[] | undefined): boolean {
  return one === other || isDeepStrictEqual(one, other);
}

/** Keys hide themselves from any comparison but their own. */
export function sameCertificates(one: ReadonlyMap<string, Certificate>, other: ReadonlyMap<string, Certificate>): boolean {
  if (one.size !== other.size) return false;
  for (const [id, { chain, key }] of one) {
    const counterpart = other.get(id);
    if (counterpart === undefined || chain !== counterpart.chain || !key.equals(counterpart.key)) return false;
  }
  return true;
}

/** Consumers that say the same are the very same. */
export function sameConsumers(one: Snapshot['consumers'], other: Snapshot['consumers']): boolean {
  if (one === other) return true;
  if (one?.size !== other?.size) return false;
  for (const [id, consumer] of one ?? []) if (other?.get(id) !== consumer) return false;
  return true;
}

export function sameSecrets(one: ReadonlyMap<string, Sensitive> | undefined, other: ReadonlyMap<string, Sensitive> | undefined): boolean {
  if (one === other) return true;
  if (one?.size !== other?.size) return false;
  for (const [id, secret] of one ?? []) {
    const counterpart = other?.get(id);
    if (counterpart === undefined || !secret.equals(counterpart)) return false;
  }
  return true;
}
