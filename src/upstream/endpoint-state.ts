import type { Endpoint } from '../snapshot/upstream.ts';
import type { FailureCounter, TryResult } from './health/worker-health.ts';
import type { PeakLatency } from './peak-latency.ts';
import type { ConnectionPool } from './pool.ts';
import type { InFlight } from './shared-counters.ts';

/** An endpoint with its cell in the shared in-flight counters, as it reaches a worker. */
export interface SlottedEndpoint extends Endpoint {
  readonly slot: number;
}

/** `10.0.0.1:8080`, `[2001:db8::1]:8080`: an endpoint's identity within its upstream, and its name in logs. */
export function endpointName(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/**
 * What one worker knows of one address of one upstream: its connections and how busy it is. It lives as long as the
 * address is listed, through any number of snapshots, and after that until its last request is done.
 */
export class EndpointState {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly pool: ConnectionPool;
  state: Endpoint['state'];
  weight: number;
  zone: string | undefined;
  forZones: readonly string[] | undefined;
  /** As checks and ejections have it; always, where the upstream has neither. */
  isUsable = true;
  /** Its part of a full share, above 0 and at most 1: less for those that have just come into use (slow start). */
  grown = 1;
  /** Where failed tries are counted; absent: nowhere. */
  failures: FailureCounter | undefined = undefined;
  /** Set by the balancer that looks at it. */
  latency: PeakLatency | undefined = undefined;
  /** The last try that is over found no connection. */
  unreachable = false;
  /** Requests under way from this worker. */
  running = 0;
  #slot: number;
  readonly #inFlight: InFlight;

  constructor(endpoint: SlottedEndpoint, pool: ConnectionPool, inFlight: InFlight) {
    this.name = endpointName(endpoint.address, endpoint.port);
    this.address = endpoint.address;
    this.port = endpoint.port;
    this.pool = pool;
    this.state = endpoint.state;
    this.weight = endpoint.weight ?? 1;
    this.zone = endpoint.zone;
    this.forZones = endpoint.forZones;
    this.#slot = endpoint.slot;
    this.#inFlight = inFlight;
  }

  get slot(): number {
    return this.#slot;
  }

  /** Requests under way from the whole pod. */
  get inFlight(): number {
    return this.#inFlight.total(this.#slot);
  }

  /** A try begins. Each call is followed by one of `finished`. */
  started(): void {
    this.running++;
    this.#inFlight.add(this.#slot, 1);
  }

  /**
   * A try is over, one way or another.
   * @param latencyMs from its start to the response head, or to its end when there was none
   * @param failed no answer came, or none that counts as one
   * @param result what it says of the endpoint's health
   */
  finished(latencyMs: number, failed: boolean, result: TryResult): void {
    this.running--;
    this.#inFlight.add(this.#slot, -1);
    if (this.latency !== undefined) this.latency.observe(latencyMs, failed);
    if (this.failures !== undefined) this.failures.count(this.name, this.#slot, result);
  }

  /** The address was gone for a moment and has another cell now: what is under way moves there. */
  moveTo(slot: number): void {
    if (slot === this.#slot) return;
    for (let count = 0; count < this.running; count++) {
      this.#inFlight.add(this.#slot, -1);
      this.#inFlight.add(slot, 1);
    }
    this.#slot = slot;
  }
}
