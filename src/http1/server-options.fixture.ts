/** For tests: how a listener treats its connections, where a test asks for nothing else. */
import type { Deadlines } from '../exchange/deadlines.ts';
import type { ServerOptions } from './server-options.ts';

export function serverOptions(deadlines: Deadlines, changes: Partial<ServerOptions> = {}): ServerOptions {
  return {
    scheme: 'http',
    deadlines,
    headerTimeout: 10_000,
    keepAliveTimeout: 75_000,
    maxHeaderBytes: 16_384,
    maxFields: 100,
    maxRequestsPerConnection: 1000,
    isDraining: () => false,
    onFieldsDropped() {},
    ...changes,
  };
}
