import { FieldKind, maskOf } from '../exchange/field-names.ts';
import { redactedQuery } from '../exchange/query.ts';
import type { AccessLog } from '../telemetry/access-log.ts';
import type { RoutedExchange } from './routed-exchange.ts';

const USER_AGENT = maskOf(FieldKind.UserAgent);
const REFERER = maskOf(FieldKind.Referer);

/** Writes the access log's line of an exchange that is over. */
export function logExchange(log: AccessLog, life: RoutedExchange, durationMs: number): void {
  const exchange = life.exchange;
  const endpoint = life.endpoint;
  const fields = exchange.requestFields;
  log.write({
    requestId: exchange.requestId,
    clientIp: exchange.clientAddress,
    method: exchange.method,
    host: exchange.host,
    path: exchange.query === '' ? exchange.path : exchange.path + loggedQuery(exchange.query, life),
    protocol: exchange.protocol,
    status: life.status,
    reason: life.reason,
    shadowRefusals: exchange.shadowRefusals,
    requestBytes: life.requestBytes,
    responseBytes: life.responseBytes,
    durationMs,
    route: life.route?.route.id ?? '',
    upstream: life.backend?.upstream?.key ?? '',
    endpoint: endpoint?.name ?? '',
    upstreamStatus: life.upstreamStatus,
    upstreamMs: life.upstreamMs,
    attempts: life.attempts,
    userAgent: fields.mayHave(USER_AGENT) ? (fields.get('user-agent') ?? '') : '',
    referer: fields.mayHave(REFERER) ? loggedReferer(fields.get('referer') ?? '', life) : '',
    traceId: exchange.traceId,
    consumer: exchange.identity?.consumer,
    calls: exchange.calls,
    tlsVersion: exchange.tls?.version ?? '',
    sni: exchange.tls?.serverName ?? '',
    peer: exchange.peer,
  });
}

/** Without the credentials that the route's AuthPolicy takes from the query, whatever they are called. */
function loggedQuery(query: string, { route }: RoutedExchange): string {
  const names = route?.route.filters.auth?.credentialParameters;
  return names === undefined ? query : redactedQuery(query, names);
}

/** A page of the same route, more often than not, whose URL has the same credentials. */
function loggedReferer(referer: string, life: RoutedExchange): string {
  const mark = referer.indexOf('?');
  return mark < 0 ? referer : referer.slice(0, mark) + loggedQuery(referer.slice(mark), life);
}
