import type { PassiveCheck, UpstreamKey } from '../../snapshot/upstream.ts';
import type { SharedHealth } from './shared-health.ts';

/** One worker's side of health: it reads what is known, and tells when an endpoint has failed too often. */
export interface WorkerHealth {
  readonly shared: SharedHealth;
  /** An endpoint has failed as often in a row as its upstream allows. @param endpoint its name within the upstream */
  tellFailing(upstream: UpstreamKey, endpoint: string): void;
}

/** How a try ended, for those who judge endpoints by it: the status of its answer, or one of these. */
export type TryResult = number;
/** No answer, or none to its end: no connection, a reset, a time-out, nonsense. */
export const FAILED = 0;
/** It was ended from our side, which says nothing of the endpoint. */
export const CANCELLED = -1;

/** Counts failed tries of one upstream's endpoints, where it has a passive check. */
export class FailureCounter {
  readonly #upstream: UpstreamKey;
  readonly #health: WorkerHealth;
  readonly #consecutive: number;
  /** By status. */
  readonly #isError = new Uint8Array(600);

  constructor(upstream: UpstreamKey, check: PassiveCheck, health: WorkerHealth) {
    this.#upstream = upstream;
    this.#health = health;
    this.#consecutive = check.consecutiveErrors;
    this.#isError[FAILED] = 1;
    for (const { from, to } of check.errorStatuses) this.#isError.fill(1, from, to + 1);
  }

  /** @param endpoint its name; @param slot where it is counted */
  count(endpoint: string, slot: number, result: TryResult): void {
    if (result === CANCELLED) return;
    const { shared } = this.#health;
    if (this.#isError[result] !== 1) {
      shared.forgetErrors(slot);
      return;
    }
    // Again after as many more: it may have been impossible to do without the endpoint.
    if (shared.countError(slot) % this.#consecutive === 0) this.#health.tellFailing(this.#upstream, endpoint);
  }
}
