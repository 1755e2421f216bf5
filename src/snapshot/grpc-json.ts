import type { CallTarget } from './calls.ts';

/** JSON requests onto unary gRPC methods. */
export interface GrpcJson {
  readonly target: CallTarget;
  /** A FileDescriptorSet in base64; absent: there is none that could be used, and every request is answered with 500. */
  readonly descriptors?: string;
  /** Full names, as `shop.v1.Orders`. */
  readonly services: readonly string[];
  /** The rule has a cache. */
  readonly cached?: true;
}
