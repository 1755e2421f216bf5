import type { CallTarget } from './calls.ts';

/** JSON requests onto unary gRPC methods. */
export interface GrpcJson {
  readonly target: CallTarget;
  /** A FileDescriptorSet in base64; absent: there is none that could be used, and every request is answered with 500. */
  readonly descriptors?: string;
  /** Full names, as `shop.v1.Orders`. */
  readonly services: readonly string[];
  /** Lower-case names of the request's headers that go along as metadata. Absent: none but what goes along with every call. */
  readonly requestHeaders?: readonly string[];
  /** Lower-case names of the answer's metadata that become headers. Absent: none. */
  readonly responseHeaders?: readonly string[];
  /** The rule has a cache. */
  readonly cached?: true;
}
