import type { ActiveCheck } from '../../snapshot/upstream.ts';

/** What an endpoint's checks say: it changes its mind after as many in a row that say otherwise as the thresholds ask for. */
export class CheckStreak {
  healthy: boolean;
  /** Checks in a row that say otherwise. */
  #against = 0;

  constructor(healthy: boolean) {
    this.healthy = healthy;
  }

  /** @returns whether the endpoint has turned */
  observe(passed: boolean, { healthyThreshold, unhealthyThreshold }: Pick<ActiveCheck, 'healthyThreshold' | 'unhealthyThreshold'>): boolean {
    if (passed === this.healthy) {
      this.#against = 0;
      return false;
    }
    this.#against++;
    if (this.#against < (passed ? healthyThreshold : unhealthyThreshold)) return false;
    this.healthy = passed;
    this.#against = 0;
    return true;
  }
}
