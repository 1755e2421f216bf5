/** What the admin port shows of a running gateway. */
import { BadQuery } from '../admin/admin-server.ts';
import type { Controller } from '../controller/controller.ts';
import { ExplainUsageError, explainRequest, renderExplanation } from '../explain/explain.ts';
import { KINDS } from '../resources/kinds.ts';
import type { Entries } from '../resources/resource-set.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { ConfigState, EndpointCounts } from '../telemetry/metrics.ts';
import type { WorkerPool } from '../workers/worker-pool.ts';

const NO_ENTRIES: Entries<unknown> = new Map();

/** Objects and endpoints by their state, for the metrics. */
export function configState({ resources }: Controller, published: Snapshot | undefined, pool: WorkerPool): ConfigState {
  const objects = new Map<string, { valid: number; invalid: number }>();
  const endpoints = new Map<string, EndpointCounts>();
  for (const { field } of KINDS) {
    for (const entry of (resources?.[field] ?? NO_ENTRIES).values()) {
      const counts = objects.get(entry.kind) ?? { valid: 0, invalid: 0 };
      objects.set(entry.kind, counts);
      if (entry.problems.some((problem) => problem.severity === 'error')) counts.invalid++;
      else counts.valid++;
    }
  }
  for (const [key, list] of published?.endpoints ?? []) {
    const counts = { healthy: 0, unhealthy: 0, ejected: 0, terminating: 0 };
    for (const endpoint of list) counts[endpoint.state === 'Terminating' ? 'terminating' : pool.healthOf(key, endpoint)]++;
    endpoints.set(key, counts);
  }
  return { objects, endpoints };
}

/** The snapshot, with the health of those endpoints that are not healthy. */
export function withHealth(snapshot: Snapshot, pool: WorkerPool): unknown {
  const endpoints = [...snapshot.endpoints].map(([key, list]) => {
    const told = list.map((endpoint) => {
      const health = pool.healthOf(key, endpoint);
      return health === 'healthy' ? endpoint : { ...endpoint, health };
    });
    return [key, told] as const;
  });
  return { ...snapshot, endpoints: new Map(endpoints) };
}

/** @throws BadQuery */
export function explainQuery(snapshot: Snapshot | undefined, query: URLSearchParams): { json: unknown; text: string } {
  const url = query.get('url');
  if (url === null) throw new BadQuery('explain needs ?method=GET&url=http://host/path; further: header=name:value (repeatable), clientIp=');
  if (snapshot === undefined) throw new BadQuery('there is no snapshot yet');
  const headers = query.getAll('header').map((header): readonly [string, string] => {
    const colon = header.indexOf(':');
    if (colon < 1) throw new BadQuery(`"${header}" is no header; expected 'name: value'`);
    return [header.slice(0, colon).trim(), header.slice(colon + 1).trim()];
  });
  try {
    const report = explainRequest(snapshot, { method: query.get('method') ?? 'GET', url, headers, clientIp: query.get('clientIp') ?? '127.0.0.1' });
    return { json: report, text: renderExplanation(report) };
  } catch (error) {
    throw error instanceof ExplainUsageError ? new BadQuery(error.message) : error;
  }
}
