/** Endpoints of all upstreams, brought up to date for those alone whose slices changed. */
import type { ResourceSet } from '../resources/resource-set.ts';
import { sameEndpoints, withEndpoints } from '../snapshot/equal.ts';
import { LayeredMap } from '../snapshot/layered-map.ts';
import type { Endpoint, Upstream, UpstreamKey } from '../snapshot/upstream.ts';
import { endpointsOf, sliceFindings, strayFindings } from './endpoints.ts';
import type { Finding } from './issues.ts';
import type { ServiceOptions } from './services.ts';
import { indexSlices, type ServiceKey, type SliceIndex } from './slice-index.ts';

type UpstreamsByService = ReadonlyMap<ServiceKey, readonly Upstream[]>;
type Endpoints = ReadonlyMap<UpstreamKey, readonly Endpoint[]>;
/** Only Services with something to tell. */
type Findings = LayeredMap<ServiceKey, readonly Finding[]>;

interface Basis extends Pick<ResourceSet, 'services' | 'apiServer'> {
  readonly options: ServiceOptions;
}

export class EndpointTable {
  readonly endpoints: Endpoints;
  readonly #upstreams: UpstreamsByService;
  readonly #index: SliceIndex;
  readonly #findings: Findings;
  /** What the table was made of besides. */
  readonly #basis: Basis;

  private constructor(endpoints: Endpoints, upstreams: UpstreamsByService, index: SliceIndex, findings: Findings, basis: Basis) {
    this.#basis = basis;
    this.endpoints = endpoints;
    this.#upstreams = upstreams;
    this.#index = index;
    this.#findings = findings;
  }

  /** @param previous of an older set: what it has of Services of which nothing changed is taken from there */
  static build(set: ResourceSet, upstreams: ReadonlyMap<UpstreamKey, Upstream>, options: ServiceOptions, previous: EndpointTable | undefined): EndpointTable {
    const { index, touched } = indexSlices(set.endpointSlices, previous === undefined ? undefined : previous.#index);
    const byService = groupByService(upstreams);
    // In the order of upstreams, whatever the order of Services.
    const endpoints = new Map<UpstreamKey, readonly Endpoint[]>([...upstreams.keys()].map((key) => [key, []]));
    const findings = new Map<ServiceKey, readonly Finding[]>();
    const strays = [...index.byService.keys()].filter(isStray);
    const basis = { services: set.services, apiServer: set.apiServer, options };
    for (const service of [...byService.keys(), ...strays]) {
      const own = byService.get(service) ?? [];
      if (previous === undefined || touched.has(service) || !previous.#holds(service, own, basis)) {
        const found = judge(service, set, byService, index, options, endpoints);
        if (found.length > 0) findings.set(service, found);
        continue;
      }
      for (const { key } of own) endpoints.set(key, previous.endpoints.get(key) as readonly Endpoint[]);
      const found = previous.#findings.get(service);
      if (found !== undefined) findings.set(service, found);
    }
    return new EndpointTable(endpoints, byService, index, LayeredMap.of(findings), basis);
  }

  /** Whether a Service with these upstreams comes to the same as here, its slices being the same. */
  #holds(service: ServiceKey, upstreams: readonly Upstream[], { services, apiServer, options }: Basis): boolean {
    const basis = this.#basis;
    const before = this.#upstreams.get(service) ?? [];
    return (
      basis.apiServer === apiServer &&
      basis.options === options &&
      basis.services.get(service) === services.get(service) &&
      before.length === upstreams.length &&
      upstreams.every(({ key }, index) => before[index]?.key === key)
    );
  }

  /** @param set differs from the one that the table was made of in its EndpointSlices alone */
  update(set: ResourceSet, options: ServiceOptions): { readonly table: EndpointTable; readonly changes: Endpoints } {
    const { index, touched } = indexSlices(set.endpointSlices, this.#index);
    const fresh = new Map<UpstreamKey, readonly Endpoint[]>();
    const told: [ServiceKey, readonly Finding[] | undefined][] = [];
    for (const service of touched) {
      const found = judge(service, set, this.#upstreams, index, options, fresh);
      if (found.length > 0 || this.#findings.has(service)) told.push([service, found.length === 0 ? undefined : found]);
    }
    const findings = told.length === 0 ? this.#findings : this.#findings.with(told);
    const changes = new Map([...fresh].filter(([key, list]) => !sameEndpoints(list, this.endpoints.get(key))));
    let endpoints = this.endpoints;
    if (changes.size > 0) endpoints = withEndpoints(this.endpoints, changes);
    return { table: new EndpointTable(endpoints, this.#upstreams, index, findings, this.#basis), changes };
  }

  findings(): Finding[] {
    return [...this.#findings.values()].flat();
  }

  /** Whether there is nothing else to tell than there was. @param before the table that this one was updated from */
  tellsAs(before: EndpointTable): boolean {
    return this.#findings === before.#findings;
  }
}

/** Writes what one Service comes to into `endpoints`. @returns what is wrong with its slices */
function judge(
  key: ServiceKey,
  set: ResourceSet,
  byService: UpstreamsByService,
  index: SliceIndex,
  options: ServiceOptions,
  endpoints: Map<UpstreamKey, readonly Endpoint[]>,
): readonly Finding[] {
  const slices = index.byService.get(key) ?? [];
  const upstreams = byService.get(key) ?? [];
  const service = set.services.get(key)?.object;
  for (const upstream of upstreams) endpoints.set(upstream.key, endpointsOf(upstream, service, slices, options, set.apiServer));
  // Slices of Services that no route uses are nobody's business here.
  return isStray(key) ? strayFindings(slices) : upstreams.length === 0 ? [] : sliceFindings(upstreams, service, slices, options, set.apiServer);
}

/** Slices without the label that names their Service. */
function isStray(service: ServiceKey): boolean {
  return service.endsWith('/');
}

function groupByService(upstreams: ReadonlyMap<UpstreamKey, Upstream>): Map<ServiceKey, Upstream[]> {
  const groups = new Map<ServiceKey, Upstream[]>();
  for (const upstream of upstreams.values()) {
    const key = `${upstream.namespace}/${upstream.service}`;
    const list = groups.get(key);
    if (list === undefined) groups.set(key, [upstream]);
    else list.push(upstream);
  }
  return groups;
}
