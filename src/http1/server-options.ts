import type { Deadlines } from '../exchange/deadlines.ts';
import type { RequestLimits } from './request-head.ts';

/** Shared by all connections of a listener. Times are in milliseconds. */
export interface ServerOptions extends RequestLimits {
  readonly scheme: 'http' | 'https';
  readonly deadlines: Deadlines;
  /** From a head's first byte, or for the first head from the connection's beginning, to its last byte. */
  readonly headerTimeout: number;
  readonly keepAliveTimeout: number;
  readonly maxRequestsPerConnection: number;
  /** Whether every answer is to be the last of its connection. */
  isDraining(): boolean;
  /** Hears how many fields of a request were dropped because of an underscore in the name. */
  onFieldsDropped(count: number): void;
}
