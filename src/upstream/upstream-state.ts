import { isDeepStrictEqual } from 'node:util';
import type { Deadlines } from '../exchange/deadlines.ts';
import type { SessionAffinity, Upstream, UpstreamKey } from '../snapshot/snapshot.ts';
import type { UpstreamMetrics } from '../telemetry/worker-metrics.ts';
import { type AffineUpstream, EndpointDigests } from './affinity.ts';
import type { AffinityKeys } from './affinity-keys.ts';
import type { Balanced, Balancer, BalancerContext } from './balancers/balancer.ts';
import { createBalancer, sameLoadBalancer } from './balancers/index.ts';
import type { Connector } from './connector.ts';
import { EndpointState, endpointName, type SlottedEndpoint } from './endpoint-state.ts';
import { ConnectionPool } from './pool.ts';
import type { InFlight } from './shared-counters.ts';

/** Changes whenever an upstream of the worker becomes available or stops being so, or its session affinity is another one. */
export interface Availability {
  version: number;
}

/** What a worker's upstreams have in common. */
export interface UpstreamContext extends BalancerContext {
  readonly connector: Connector;
  readonly deadlines: Deadlines;
  readonly inFlight: InFlight;
  readonly metrics: {
    upstream(key: UpstreamKey): UpstreamMetrics;
  };
  readonly availability: Availability;
  readonly affinityKeys: AffinityKeys;
}

/**
 * One worker's side of an upstream: its endpoints with their connections, and the balancer over those in use. It is
 * updated in place, so that connections and counters outlive snapshots.
 */
export class UpstreamState implements AffineUpstream {
  readonly key: UpstreamKey;
  readonly metrics: UpstreamMetrics;
  readonly #context: UpstreamContext;
  #upstream: Upstream;
  #balancer: Balancer;
  #listed: readonly SlottedEndpoint[] = [];
  #states: ReadonlyMap<string, EndpointState> = new Map();
  #inUse: readonly EndpointState[] = [];
  #digests: { readonly serviceUid: string | undefined; readonly digests: EndpointDigests } | undefined = undefined;

  constructor(upstream: Upstream, endpoints: readonly SlottedEndpoint[], context: UpstreamContext) {
    this.key = upstream.key;
    this.metrics = context.metrics.upstream(upstream.key);
    this.#upstream = upstream;
    this.#context = context;
    this.#balancer = createBalancer(upstream.loadBalancer, context);
    this.#setEndpoints(endpoints);
  }

  get upstream(): Upstream {
    return this.#upstream;
  }

  /** Every endpoint that is listed, ready or terminating. */
  get endpoints(): Iterable<EndpointState> {
    return this.#states.values();
  }

  /** There is an endpoint to pick: a ready one, or else one that is terminating and still serves. */
  get available(): boolean {
    return this.#inUse.length > 0;
  }

  /**
   * @param avoid an endpoint that has just failed: returned only when there is no other
   * @returns undefined when there is no usable endpoint at all
   */
  pick(request: Balanced, avoid: EndpointState | undefined): EndpointState | undefined {
    return this.#balancer.pick(request, avoid);
  }

  findByDigest(value: string, affinity: SessionAffinity): EndpointState | undefined {
    return this.#digestsFor(affinity).find(value, this.#states);
  }

  digestOf(endpoint: EndpointState, affinity: SessionAffinity): string {
    return this.#digestsFor(affinity).of(endpoint);
  }

  isInUse(endpoint: EndpointState): boolean {
    return this.#inUse.includes(endpoint);
  }

  #digestsFor({ serviceUid }: SessionAffinity): EndpointDigests {
    if (this.#digests === undefined || this.#digests.serviceUid !== serviceUid) {
      this.#digests = {
        serviceUid,
        digests: new EndpointDigests(this.#context.affinityKeys.digester(this.key, { ...(serviceUid === undefined ? {} : { serviceUid }) })),
      };
    }
    return this.#digests.digests;
  }

  /** Takes over what changed. Endpoints whose address stays keep their connections and counters. */
  update(upstream: Upstream, endpoints: readonly SlottedEndpoint[]): void {
    const before = this.#upstream;
    this.#upstream = upstream;
    if (!sameLoadBalancer(before.loadBalancer, upstream.loadBalancer)) {
      this.#balancer = createBalancer(upstream.loadBalancer, this.#context);
      this.#balancer.update(this.#inUse);
    }
    if (!isDeepStrictEqual(before.sessionAffinity, upstream.sessionAffinity)) this.#context.availability.version++;
    for (const state of this.#states.values()) state.pool.configure(upstream);
    this.#setEndpoints(endpoints);
  }

  /** New endpoints only; the upstream's settings stay. */
  setEndpoints(endpoints: readonly SlottedEndpoint[]): void {
    this.#setEndpoints(endpoints);
  }

  /**
   * The upstream is gone from the snapshot: idle connections close, the others once their requests are done. Exchanges of an
   * older snapshot can still pick its endpoints.
   */
  close(): void {
    for (const state of this.#states.values()) state.pool.close();
  }

  #setEndpoints(endpoints: readonly SlottedEndpoint[]): void {
    if (sameEndpoints(this.#listed, endpoints)) return;
    this.#listed = endpoints;
    const before = this.#states;
    const states = new Map<string, EndpointState>();
    for (const endpoint of endpoints) {
      const name = endpointName(endpoint.address, endpoint.port);
      if (states.has(name)) continue;
      states.set(name, this.#refreshed(before.get(name), endpoint));
    }
    this.#states = states;
    for (const [name, state] of before) if (!states.has(name)) state.pool.close();

    const all = [...states.values()];
    const ready = all.filter((state) => state.state === 'Ready');
    const wasAvailable = this.available;
    this.#inUse = ready.length > 0 ? ready : all;
    this.#balancer.update(this.#inUse);
    if (this.available !== wasAvailable) this.#context.availability.version++;
  }

  #refreshed(state: EndpointState | undefined, endpoint: SlottedEndpoint): EndpointState {
    const { connector, deadlines, inFlight } = this.#context;
    if (state === undefined) {
      return new EndpointState(endpoint, new ConnectionPool(endpoint.address, endpoint.port, this.#upstream, connector, deadlines), inFlight);
    }
    state.state = endpoint.state;
    state.weight = endpoint.weight ?? 1;
    state.moveTo(endpoint.slot);
    return state;
  }
}

/** Whether two lists mean the same to a worker. Lists are sorted, so those that differ in order only are rare enough to count as different. */
function sameEndpoints(one: readonly SlottedEndpoint[], other: readonly SlottedEndpoint[]): boolean {
  if (one.length !== other.length) return false;
  for (let index = 0; index < one.length; index++) {
    const a = one[index] as SlottedEndpoint;
    const b = other[index] as SlottedEndpoint;
    if (a.address !== b.address || a.port !== b.port || a.state !== b.state || a.slot !== b.slot || a.weight !== b.weight) return false;
  }
  return true;
}
