import type { CircuitBreaker, Refusal } from '../../upstream/breaker/circuit-breaker.ts';
import type { UpstreamState } from '../../upstream/upstream-state.ts';
import * as replies from '../replies.ts';

type Admitting = Pick<UpstreamState, 'breaker' | 'takeConnection' | 'metrics'>;

/**
 * What a try to connect holds of its upstream's circuit breaker: a place among `maxRequests` until it is known whether there is a
 * connection, one among `maxConnections` until that is gone. Nobody can wait, as requests may: the client has sent what there is.
 */
export class Admission {
  readonly #breaker: CircuitBreaker | undefined;
  readonly #ticket: number;
  readonly #giveConnection: () => void;
  #isSettled = false;
  #isOver = false;

  private constructor(breaker: CircuitBreaker | undefined, ticket: number, giveConnection: () => void) {
    this.#breaker = breaker;
    this.#ticket = ticket;
    this.#giveConnection = giveConnection;
  }

  /** @param now of `performance.now()` @returns a text: why it is not let through */
  static to(upstream: Admitting, now: number): Admission | string {
    const { breaker, metrics } = upstream;
    const ticket = breaker === undefined ? 0 : breaker.admit(now);
    if (ticket < 0) {
      const { reason } = replies.circuitRefusal(ticket as Refusal, 0);
      metrics.countRefusal(reason);
      return reason;
    }
    const giveConnection = upstream.takeConnection();
    if (giveConnection !== undefined) return new Admission(breaker, ticket, giveConnection);
    breaker?.release(ticket, false);
    metrics.countRefusal(MAX_CONNECTIONS);
    return MAX_CONNECTIONS;
  }

  /** It is known whether there is a connection. */
  settle(failed: boolean, now: number): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#breaker?.settle(this.#ticket, failed, now);
    this.#breaker?.release(this.#ticket, true);
  }

  /** The connection is gone, or there will be none. Any number of times. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (!this.#isSettled) this.#breaker?.release(this.#ticket, false);
    this.#giveConnection();
  }
}

const MAX_CONNECTIONS = 'circuit_max_connections';
