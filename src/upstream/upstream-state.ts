import { isDeepStrictEqual } from 'node:util';
import type { Deadlines } from '../exchange/deadlines.ts';
import { SHARED_OFFSET } from '../exchange/shared-clock.ts';
import type { SessionAffinity, Upstream, UpstreamKey } from '../snapshot/upstream.ts';
import type { UpstreamMetrics } from '../telemetry/upstream-metrics.ts';
import { type AffineUpstream, EndpointDigests } from './affinity.ts';
import type { AffinityKeys } from './affinity-keys.ts';
import type { Balanced, Balancer, BalancerContext } from './balancers/balancer.ts';
import { createBalancer, sameLoadBalancer } from './balancers/index.ts';
import type { BreakerMemory } from './breaker/breaker-memory.ts';
import { CircuitBreaker } from './breaker/circuit-breaker.ts';
import { ConnectionBudget } from './breaker/connection-budget.ts';
import type { Connector } from './connector.ts';
import { chooseEndpoints } from './endpoint-choice.ts';
import { EndpointState, endpointName, type SlottedEndpoint } from './endpoint-state.ts';
import { FailureCounter, type WorkerHealth } from './health/worker-health.ts';
import { ConnectionPool } from './pool.ts';
import type { InFlight } from './shared-counters.ts';
import { grownShare, STEPS } from './slow-start.ts';

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
  readonly health: WorkerHealth;
  /** The gateway's own; empty: unknown. */
  readonly zone: string;
  readonly breakers: BreakerMemory;
}

/** What gives back what nobody has counted. */
function uncounted(): void {}

/** With these, the request says which endpoint it is. */
const HASHES: ReadonlySet<string> = new Set(['SourceIP', 'ConsistentHash']);

/**
 * One worker's side of an upstream: its endpoints with their connections, and the balancer over those in use. It is
 * updated in place, so that connections and counters outlive snapshots.
 */
export class UpstreamState implements AffineUpstream {
  readonly key: UpstreamKey;
  readonly metrics: UpstreamMetrics;
  /** Undefined: there are no limits, and nothing to be counted. */
  breaker: CircuitBreaker | undefined = undefined;
  readonly #context: UpstreamContext;
  #upstream: Upstream;
  #balancer: Balancer;
  #listed: readonly SlottedEndpoint[] = [];
  #states: ReadonlyMap<string, EndpointState> = new Map();
  #inUse: readonly EndpointState[] = [];
  /** Once it had a breaker: its pools keep this one, whatever becomes of that. */
  #budget: ConnectionBudget | undefined = undefined;
  #digests: { readonly serviceUid: string | undefined; readonly digests: EndpointDigests } | undefined = undefined;
  /** Usable ones of other zones. */
  #elsewhere: readonly EndpointState[] = [];
  #failures: FailureCounter | undefined;
  /** Milliseconds from one step of slow start to the next; 0: none of the endpoints in use is in it. */
  #step = 0;
  #nextStep = 0;

  /** @param breakerSlot its place in the memory of breakers; undefined where it has none */
  constructor(upstream: Upstream, endpoints: readonly SlottedEndpoint[], context: UpstreamContext, breakerSlot?: number) {
    this.key = upstream.key;
    this.metrics = context.metrics.upstream(upstream.key);
    this.#upstream = upstream;
    this.#context = context;
    this.#balancer = createBalancer(upstream.loadBalancer, context);
    this.#failures = this.#failureCounter();
    this.#setBreaker(breakerSlot);
    this.#setEndpoints(endpoints);
  }

  get upstream(): Upstream {
    return this.#upstream;
  }

  /** Every endpoint that is listed, ready or terminating. */
  get endpoints(): Iterable<EndpointState> {
    return this.#states.values();
  }

  /** No endpoint is listed, healthy or not. */
  get isEmpty(): boolean {
    return this.#states.size === 0;
  }

  /** There is an endpoint to pick: a ready and healthy one, or else one that is terminating and still serves. */
  get available(): boolean {
    return this.#inUse.length > 0;
  }

  /**
   * @param avoid an endpoint that has just failed: returned only when there is no other
   * @returns undefined when there is no usable endpoint at all
   */
  pick(request: Balanced, avoid: EndpointState | undefined): EndpointState | undefined {
    if (this.#step > 0 && this.#context.now() >= this.#nextStep) this.#grow();
    const endpoint = this.#balancer.pick(request, avoid);
    if (endpoint !== avoid || this.#elsewhere.length === 0) return endpoint;
    return this.#elsewhere[Math.floor(this.#context.random() * this.#elsewhere.length)];
  }

  /** For a request that some have failed already: any that is in use and none of these, near ones first. */
  pickBeyond(tried: readonly EndpointState[]): EndpointState | undefined {
    for (const some of [this.#inUse, this.#elsewhere]) {
      const others = some.filter((one) => !tried.includes(one));
      if (others.length > 0) return others[Math.floor(this.#context.random() * others.length)];
    }
    return undefined;
  }

  /** For a connection that no pool holds. @returns what to call once it is gone; undefined: there are as many as the circuit breaker allows */
  takeConnection(): (() => void) | undefined {
    return this.#budget === undefined ? uncounted : this.#budget.takeForOther();
  }

  findByDigest(value: string, affinity: SessionAffinity): EndpointState | undefined {
    return this.#digestsFor(affinity).find(value, this.#states);
  }

  digestOf(endpoint: EndpointState, affinity: SessionAffinity): string {
    return this.#digestsFor(affinity).of(endpoint, this.#states);
  }

  isInUse(endpoint: EndpointState): boolean {
    return this.#inUse.includes(endpoint) || this.#elsewhere.includes(endpoint);
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
  update(upstream: Upstream, endpoints: readonly SlottedEndpoint[], breakerSlot?: number): void {
    const before = this.#upstream;
    this.#upstream = upstream;
    this.#setBreaker(breakerSlot);
    if (!sameLoadBalancer(before.loadBalancer, upstream.loadBalancer)) {
      this.#balancer = createBalancer(upstream.loadBalancer, this.#context);
      this.#balancer.update(this.#inUse);
    }
    if (!isDeepStrictEqual(before.sessionAffinity, upstream.sessionAffinity)) this.#context.availability.version++;
    for (const state of this.#states.values()) state.pool.configure(upstream);
    const isSame = isDeepStrictEqual(before.healthCheck, upstream.healthCheck) && isDeepStrictEqual(before.loadBalancer, upstream.loadBalancer);
    if (!isSame) {
      this.#failures = this.#failureCounter();
      for (const state of this.#states.values()) state.failures = this.#failures;
    }
    if (!this.#setEndpoints(endpoints) && !isSame) this.#choose();
  }

  /** New endpoints only; the upstream's settings stay. */
  setEndpoints(endpoints: readonly SlottedEndpoint[]): void {
    this.#setEndpoints(endpoints);
  }

  /** Some endpoint's health is not what it was. */
  healthChanged(): void {
    this.#choose();
  }

  /** Connections that wait for requests take what is needed elsewhere. */
  closeIdle(): void {
    for (const state of this.#states.values()) state.pool.closeAllIdle();
  }

  /**
   * The upstream is gone from the snapshot: idle connections close, the others once their requests are done. Exchanges of an
   * older snapshot can still pick its endpoints.
   */
  close(): void {
    for (const state of this.#states.values()) state.pool.close();
    this.#budget?.configure(undefined);
  }

  #setBreaker(slot: number | undefined): void {
    const { circuitBreaker } = this.#upstream;
    const { breakers, deadlines } = this.#context;
    if (circuitBreaker === undefined || slot === undefined) {
      this.breaker = undefined;
      this.#budget?.configure(undefined);
    } else if (this.breaker === undefined) {
      this.breaker = new CircuitBreaker(circuitBreaker, breakers, slot, SHARED_OFFSET);
      if (this.#budget === undefined) this.#openBudget(new ConnectionBudget(circuitBreaker, breakers, slot, deadlines));
      else this.#budget.configure(circuitBreaker);
    } else {
      this.breaker.settings = circuitBreaker;
      this.#budget?.configure(circuitBreaker);
    }
  }

  #openBudget(budget: ConnectionBudget): void {
    this.#budget = budget;
    for (const state of this.#states.values()) state.pool.setBudget(budget);
  }

  /** @returns whether they differ from those before */
  #setEndpoints(endpoints: readonly SlottedEndpoint[]): boolean {
    if (sameEndpoints(this.#listed, endpoints)) return false;
    this.#listed = endpoints;
    const before = this.#states;
    const states = new Map<string, EndpointState>();
    for (const endpoint of endpoints) {
      const name = endpointName(endpoint.address, endpoint.port);
      if (states.has(name)) continue;
      const state = this.#refreshed(before.get(name), endpoint);
      state.failures = this.#failures;
      states.set(name, state);
    }
    this.#states = states;
    for (const [name, state] of before) {
      if (states.has(name)) continue;
      state.pool.close();
      // Its slot may be another's soon.
      state.failures = undefined;
    }
    this.#choose();
    return true;
  }

  /** Which of them are in use. */
  #choose(): void {
    const { availability, health, zone } = this.#context;
    const all = [...this.#states.values()];
    const isChecked = this.#upstream.healthCheck !== undefined;
    for (const state of all) state.isUsable = !isChecked || health.shared.isUsable(state.slot);
    const wasAvailable = this.available;
    const { inUse, elsewhere } = chooseEndpoints(all, this.#upstream, zone);
    this.#inUse = inUse;
    this.#elsewhere = elsewhere;
    this.#grow();
    if (this.available !== wasAvailable) availability.version++;
  }

  /** Sets the shares of endpoints that are new or healthy again, and tells the balancer. */
  #grow(): void {
    const { loadBalancer } = this.#upstream;
    const slowStart = HASHES.has(loadBalancer.type) ? 0 : (loadBalancer.slowStart ?? 0);
    this.#step = 0;
    let most = 1;
    if (slowStart > 0) {
      const now = this.#context.now();
      most = 0;
      for (const state of this.#inUse) {
        state.grown = grownShare(now - this.#context.health.shared.inUseSince(state.slot), slowStart);
        most = Math.max(most, state.grown);
        if (state.grown < 1) this.#step = slowStart / STEPS;
      }
      this.#nextStep = now + this.#step;
    }
    // Shares are relative: endpoints that are all as new share evenly.
    for (const state of this.#inUse) state.grown = slowStart > 0 ? state.grown / most : 1;
    this.#balancer.update(this.#inUse);
  }

  #failureCounter(): FailureCounter | undefined {
    const passive = this.#upstream.healthCheck?.passive;
    return passive === undefined ? undefined : new FailureCounter(this.key, passive, this.#context.health);
  }

  #refreshed(state: EndpointState | undefined, endpoint: SlottedEndpoint): EndpointState {
    const { connector, deadlines, inFlight } = this.#context;
    if (state === undefined) {
      const pool = new ConnectionPool(endpoint.address, endpoint.port, this.#upstream, connector, deadlines);
      if (this.#budget !== undefined) pool.setBudget(this.#budget);
      return new EndpointState(endpoint, pool, inFlight);
    }
    state.state = endpoint.state;
    state.weight = endpoint.weight ?? 1;
    state.zone = endpoint.zone;
    state.forZones = endpoint.forZones;
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
    if (a.zone !== b.zone || (a.forZones !== b.forZones && !isDeepStrictEqual(a.forZones, b.forZones))) return false;
  }
  return true;
}
