import { onDemand } from '../on-demand.ts';
import type { Policy } from '../policy.ts';

const filter = onDemand<typeof import('./grpc-json-filter.ts')>(import.meta.url, './grpc-json-filter');

/** Answers JSON requests by unary methods of gRPC. */
export const grpcJson: Policy<'grpcJson'> = {
  name: 'grpcJson',
  compile: (spec, context) => new (filter().GrpcJsonFilter)(spec, context),
};
