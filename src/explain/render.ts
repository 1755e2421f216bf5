/** The report as text, for people. */
import { describeDuration } from '../snapshot/words.ts';
import type { BackendReport, ExplainReport, LimitReport, PassthroughReport, RouteReport } from './report.ts';

/** In text; the JSON has them all. */
const MAX_ENDPOINTS = 10;

/** @returns lines without an end of line after the last */
export function renderExplanation(report: ExplainReport): string {
  const { request, answer, route, sent } = report;
  const lines = [`${request.method} ${request.scheme}://${request.authority}${request.path}${request.query} from ${request.clientIp}`];
  if (request.certificates !== undefined) {
    section(lines, 'certificate', [request.certificates.length === 0 ? 'self-signed' : request.certificates.join(', ')]);
  }
  if (report.passthrough !== undefined) {
    section(lines, 'passthrough', renderPassthrough(report.passthrough));
  } else if (route === undefined) {
    section(lines, 'route', ['none']);
  } else {
    section(lines, 'route', [
      `${route.id}${route.isDefaultBackend ? ' (default backend)' : ''}`,
      `host: ${route.host}; match ${route.match + 1} of ${route.matches}: ${route.parts.join(', ')}`,
      renderTimeouts(route.timeouts),
      ...renderRecovery(route),
    ]);
    section(
      lines,
      'filters',
      report.filters.length === 0 ? ['none'] : report.filters.map(({ policy, does, outcome }, index) => `${index + 1}. ${policy}: ${does} [${outcome}]`),
    );
  }
  if (report.rateLimits.length > 0) section(lines, 'rate limits', report.rateLimits.map(renderLimit));
  if (answer !== undefined) {
    const by = answer.by === 'gateway' ? '' : ` by ${answer.by}`;
    const where = answer.location === undefined ? '' : `, Location: ${answer.location}`;
    section(lines, 'answer', [`${answer.status} (${answer.reason})${by}${where}`, ...(answer.detail === undefined ? [] : [answer.detail])]);
  }
  if (sent !== undefined) {
    section(lines, 'sent', [`${sent.method} ${sent.target}`, `Host: ${sent.host}`, ...sent.fields.map(([name, value]) => `${name}: ${value}`)]);
  }
  if (report.backends.length > 0) section(lines, 'backends', report.backends.flatMap(renderBackend));
  if (route !== undefined && report.outranked.length > 0) {
    section(
      lines,
      'also fit',
      report.outranked.map(({ route: id, match, decidedBy }) => `${id} match ${match + 1}: loses to ${route.id}: ${decidedBy}`),
    );
  }
  if (report.nearMisses.length > 0) {
    section(
      lines,
      'near misses',
      report.nearMisses.map(({ route: id, match, part, expected, got }) => `${id} match ${match + 1}: ${part}: expected ${expected}; got ${got}`),
    );
  }
  return lines.join('\n');
}

function renderPassthrough({ id, host, idleTimeout, closed }: PassthroughReport): string[] {
  return [
    id,
    `server name: ${host}; the connection goes to a backend with its TLS, and nothing of requests is seen`,
    `timeouts: idle ${describeTimeout(idleTimeout)}`,
    ...(closed === undefined ? [] : [`connections are closed: ${closed}`]),
  ];
}

function renderTimeouts({ request, backendRequest, idle, tunnel }: RouteReport['timeouts']): string {
  const parts = [`request ${describeTimeout(request)}`, `backendRequest ${describeTimeout(backendRequest)}`, `idle ${describeTimeout(idle)}`];
  if (tunnel !== undefined) parts.push(`tunnel ${describeTimeout(tunnel)}`);
  return `timeouts: ${parts.join(', ')}`;
}

/** What manifests write as `0s` is a number that is never reached. */
function describeTimeout(milliseconds: number): string {
  return milliseconds === Number.MAX_SAFE_INTEGER ? 'none' : describeDuration(milliseconds);
}

function renderRecovery({ retry, hedge, fallback }: RouteReport): string[] {
  const lines: string[] = [];
  if (retry !== undefined) {
    const any = retry.nonIdempotent ? ', any method' : '';
    lines.push(`retry: ${retry.attempts} on ${retry.on.join(', ')}, budget ${retry.budgetPercent} %${any}`);
  }
  if (hedge !== undefined) lines.push(`hedge: ${hedge.max} after ${describeDuration(hedge.after)}`);
  if (fallback !== undefined) {
    const to = fallback.response === undefined ? (fallback.upstream ?? 'nothing (not resolved)') : `answer ${fallback.response.statusCode}`;
    lines.push(`fallback: ${to} on ${fallback.on.join(', ')}`);
  }
  return lines;
}

function renderLimit({ policy, limit, algorithm, requests, period, burst, key, when, cost, mode, scope, onStoreFailure }: LimitReport): string {
  const per = typeof period === 'number' ? describeDuration(period) : period;
  const bucket = algorithm === 'TokenBucket' || algorithm === 'LeakyBucket' ? `, burst ${burst}` : '';
  const by = key.length === 0 ? 'one bucket' : `by ${key.join(', ')}`;
  const parts = [`${algorithm}, ${requests} per ${per}${bucket}, ${by}`];
  if (when !== undefined) parts.push(`when ${when}`);
  if (cost !== undefined) parts.push(`cost ${cost}`);
  if (scope === 'Global') parts.push(`Global (without Redis: ${onStoreFailure})`);
  if (mode === 'Shadow') parts.push('Shadow');
  return `RateLimitPolicy ${policy}, limit ${limit}: ${parts.join(', ')}`;
}

function renderBackend(backend: BackendReport): readonly string[] {
  const share = backend.backup ? `backup, weight ${backend.weight}` : `weight ${backend.weight} of ${backend.totalWeight}`;
  if (backend.upstream === undefined) {
    const status = backend.unresolvedStatus === undefined ? '' : `: its share is answered with ${backend.unresolvedStatus}`;
    return [`not resolved (${share})${status}`];
  }
  const shown = backend.endpoints.slice(0, MAX_ENDPOINTS);
  const rest = backend.endpoints.length - shown.length;
  return [
    `${backend.upstream} (${share}${backend.loadBalancer === undefined ? '' : `, ${backend.loadBalancer}`})${backend.endpoints.length === 0 ? ': no endpoint' : ''}`,
    ...backend.filters.map((filter) => `  ${filter}`),
    ...shown.map(
      ({ address, port, state, zone }) => `  ${address.includes(':') ? `[${address}]` : address}:${port} ${state}${zone === undefined ? '' : ` in ${zone}`}`,
    ),
    ...(rest > 0 ? [`  and ${rest} more`] : []),
  ];
}

const INDENT = ' '.repeat(13);

function section(lines: string[], title: string, content: readonly string[]): void {
  for (const [index, line] of content.entries()) lines.push(`${index === 0 ? `${title}:`.padEnd(INDENT.length) : INDENT}${line}`);
}
