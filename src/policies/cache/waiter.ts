import type { Exchange } from '../../exchange/exchange.ts';
import type { Asking } from './asking.ts';
import type { StoredEntry } from './entry-blocks.ts';

/** A request that waits for what comes. */
export interface Waiter {
  readonly exchange: Exchange;
  readonly asking: Asking;
  /** What its Cache-Status says of why the origin is asked. */
  readonly forwarded: string;
}

/** What becomes of requests that can't have the answer of another one. */
export interface Returns {
  /** To its backend by itself. */
  alone(waiter: Waiter): void;
  /** As if it had just come. */
  again(waiter: Waiter): void;
  /** Sets its Cache-Status. */
  tell(exchange: Exchange, status: string): void;
}

/** A stored answer whose origin is asked whether it is still good. */
export interface Validated {
  readonly entry: StoredEntry;
  readonly body: Buffer;
}
