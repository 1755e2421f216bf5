import { hostFits } from '../router/judge.ts';
import { compareHosts } from '../router/oracle.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { describeHost } from '../snapshot/words.ts';
import { reportBackends } from './backends.ts';
import type { ExplainReport, RequestReport } from './report.ts';

/** What becomes of a request over HTTPS, where TLS of its host is passed through; undefined where it ends at the gateway. */
export function reportPassthrough({ passthrough, ...snapshot }: Snapshot, request: RequestReport): ExplainReport | undefined {
  if (passthrough === undefined || request.scheme !== 'https') return undefined;
  const { routes, terminated } = passthrough;
  const hosts = [...routes.flatMap((route) => route.hosts.map((host) => ({ host, route }))), ...terminated.map((host) => ({ host, route: undefined }))];
  const [found] = hosts.filter(({ host }) => hostFits(host, request.host)).sort((one, other) => compareHosts(one.host, other.host));
  if (found?.route === undefined) return undefined;
  const { host, route } = found;
  const { id, kind, namespace, name, rule, idleTimeout } = route;
  const backends = reportBackends(snapshot, route);
  const taking = backends.filter(({ weight }) => weight > 0);
  const closed = taking.every(({ upstream }) => upstream === undefined)
    ? 'backend_not_resolved'
    : taking.every(({ endpoints }) => endpoints.length === 0)
      ? 'no_endpoint'
      : undefined;
  const { certificates: _, ...seen } = request;
  return {
    request: seen,
    passthrough: { id, kind, namespace, name, rule, host: describeHost(host), idleTimeout, ...(closed === undefined ? {} : { closed }) },
    filters: [],
    rateLimits: [],
    backends,
    outranked: [],
    nearMisses: [],
  };
}
