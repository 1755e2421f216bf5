import type { Exchange } from '../../exchange/exchange.ts';
import type { Departure } from './departures.ts';

/** A request that waits for its turn in the queue of a leaky bucket. */
export class WaitingExchange implements Departure {
  readonly at: number;
  isGone = false;
  readonly #exchange: Exchange;

  /**
   * @param at when it leaves, on the limiter's clock (ms)
   * @param giveBack for one whose client goes away before that
   */
  constructor(exchange: Exchange, at: number, giveBack: () => void) {
    this.at = at;
    this.#exchange = exchange;
    exchange.onAbandoned = () => {
      if (this.isGone) return;
      this.isGone = true;
      giveBack();
    };
  }

  leave(): void {
    this.#exchange.resume();
  }
}
