/** Decides which endpoints are healthy: by checks that it makes, and by the failures of which workers tell. */
import type { Upstream, UpstreamKey } from '../../snapshot/upstream.ts';
import { endpointName, type SlottedEndpoint } from '../endpoint-state.ts';
import { CheckQueue } from './check-queue.ts';
import { CheckedEndpoint } from './checked-endpoint.ts';
import { ejectionLimit, ejectionTime, remembered } from './ejection.ts';
import type { Probe, ProbeTarget } from './probe.ts';
import type { SharedHealth } from './shared-health.ts';

/** An upstream with a health check, and all its endpoints. */
export interface CheckedUpstream {
  readonly upstream: Upstream;
  readonly endpoints: readonly SlottedEndpoint[];
  /** The client certificate that the upstream's TLS names. */
  readonly certificate?: { readonly id: string; readonly chain: string; readonly key: string };
}

export interface HealthContext {
  readonly shared: SharedHealth;
  readonly probe: Probe;
  /** How that endpoint is spoken to; undefined: in clear. */
  readonly tlsOf: (upstream: Upstream, address: string, port: number) => ProbeTarget['tls'];
  /** Milliseconds, as `monotonicNow`. */
  readonly now: () => number;
  readonly random: () => number;
  /** setTimeout, clearTimeout or what stands for them. */
  readonly setTimer: (run: () => void, ms: number) => unknown;
  readonly clearTimer: (timer: unknown) => void;
  /** Runs it once what has come in by now has been read: setImmediate. */
  readonly afterInput: (run: () => void) => void;
  readonly log: (level: 'info' | 'warn', message: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Endpoints of that upstream are in use or out of use from now on. */
  readonly onTurned: (upstream: UpstreamKey) => void;
}

/** Of one upstream, since it has been checked. */
export interface HealthCounts {
  readonly upstream: UpstreamKey;
  passed: number;
  failed: number;
  ejections: number;
}

class Monitored {
  upstream: Upstream;
  endpoints: ReadonlyMap<string, CheckedEndpoint> = new Map();
  readonly counts: HealthCounts;

  constructor(upstream: Upstream) {
    this.upstream = upstream;
    this.counts = { upstream: upstream.key, passed: 0, failed: 0, ejections: 0 };
  }
}

export class HealthMonitor {
  readonly #context: HealthContext;
  readonly #queue = new CheckQueue();
  readonly #upstreams = new Map<UpstreamKey, Monitored>();

  constructor(context: HealthContext) {
    this.#context = context;
  }

  get counts(): readonly HealthCounts[] {
    return [...this.#upstreams.values()].map(({ counts }) => counts);
  }

  /**
   * @param set upstreams that are new or changed, with all their endpoints
   * @param removed those that are gone, or have no health check any more
   * @param keep take over what shared memory says of endpoints that are new here: another monitor has written it
   */
  update(set: readonly CheckedUpstream[], removed: readonly UpstreamKey[], keep = false): void {
    for (const key of removed) {
      for (const endpoint of this.#upstreams.get(key)?.endpoints.values() ?? []) endpoint.close();
      this.#upstreams.delete(key);
    }
    for (const { upstream, endpoints } of set) this.#set(upstream, endpoints, keep);
  }

  #set(upstream: Upstream, listed: readonly SlottedEndpoint[], keep: boolean): void {
    const monitored = this.#upstreams.get(upstream.key) ?? new Monitored(upstream);
    this.#upstreams.set(upstream.key, monitored);
    monitored.upstream = upstream;
    const endpoints = new Map<string, CheckedEndpoint>();
    for (const one of listed) {
      // Nothing is known of what is beyond the slots.
      if (one.slot === 0) continue;
      const name = endpointName(one.address, one.port);
      const before = monitored.endpoints.get(name);
      // One that was away for a moment is a new one.
      const endpoint = before?.slot === one.slot ? before : new CheckedEndpoint(one, keep, monitored, this.#queue, this.#context);
      endpoint.isReady = one.state === 'Ready';
      endpoints.set(name, endpoint);
    }
    for (const [name, endpoint] of monitored.endpoints) if (endpoints.get(name) !== endpoint) endpoint.close();
    monitored.endpoints = endpoints;
    for (const endpoint of endpoints.values()) endpoint.configure();
  }

  /** A worker has seen it fail as often in a row as is allowed, or a multiple of that. Ejects it if it can be done without. */
  failing(key: UpstreamKey, name: string): void {
    const monitored = this.#upstreams.get(key);
    const endpoint = monitored?.endpoints.get(name);
    const passive = monitored?.upstream.healthCheck?.passive;
    if (monitored === undefined || endpoint === undefined || passive === undefined) return;
    const { shared, now, log } = this.#context;
    const errors = shared.errors(endpoint.slot);
    if (!endpoint.isReady || shared.isEjected(endpoint.slot) || errors < passive.consecutiveErrors) return;
    const ready = [...monitored.endpoints.values()].filter((one) => one.isReady);
    const ejected = ready.filter(({ slot }) => shared.isEjected(slot)).length;
    const isLast = !ready.some((one) => one !== endpoint && shared.isUsable(one.slot));
    if (isLast || ejected >= ejectionLimit(ready.length, passive.maxEjectionPercent)) return;
    const at = now();
    const ejections = remembered(shared.ejections(endpoint.slot), at - shared.inUseSince(endpoint.slot), passive) + 1;
    const duration = ejectionTime(ejections, passive);
    shared.eject(endpoint.slot, at + duration, ejections);
    endpoint.scheduleReturn();
    monitored.counts.ejections++;
    log('warn', 'endpoint ejected', { upstream: key, endpoint: name, errors, ejections, ms: duration });
    this.#context.onTurned(key);
  }

  close(): void {
    this.update([], [...this.#upstreams.keys()]);
  }
}
