import { HeaderEdits } from '../policies/header-edits.ts';
import type { Backend, Route } from '../snapshot/route.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { BackendReport } from './report.ts';

/** Where a route may send a request, in the order of its backendRefs. */
export function reportBackends(snapshot: Pick<Snapshot, 'upstreams' | 'endpoints'>, route: Pick<Route, 'backends'>): readonly BackendReport[] {
  const totalWeight = route.backends.reduce((sum, backend) => (backend.backup ? sum : sum + backend.weight), 0);
  return route.backends.map((backend): BackendReport => {
    const { upstream: key, weight, backup, unresolvedStatus } = backend;
    const common = { weight, totalWeight, backup, filters: describeModifiers(backend) };
    if (key === undefined) return { ...common, ...(unresolvedStatus === undefined ? {} : { unresolvedStatus }), endpoints: [] };
    const loadBalancer = snapshot.upstreams.get(key)?.loadBalancer;
    const hash = loadBalancer?.consistentHash;
    const balancing = hash === undefined ? loadBalancer?.type : `${loadBalancer?.type} by ${hash.type}${hash.name === undefined ? '' : ` ${hash.name}`}`;
    return {
      upstream: key,
      ...common,
      ...(balancing === undefined ? {} : { loadBalancer: balancing }),
      endpoints: (snapshot.endpoints.get(key) ?? []).map(({ address, port, state, zone }) => ({
        address,
        port,
        state,
        ...(zone === undefined ? {} : { zone }),
      })),
    };
  });
}

/** Names without values, as for the filters of the whole route. */
function describeModifiers({ requestHeaderModifier, responseHeaderModifier }: Backend): readonly string[] {
  return [
    ...(requestHeaderModifier === undefined ? [] : [new HeaderEdits('request', requestHeaderModifier).describe()]),
    ...(responseHeaderModifier === undefined ? [] : [new HeaderEdits('response', responseHeaderModifier).describe()]),
  ];
}
