/** Follows one request through the gateway without sending it, and reports each decision. */
import { noCalls } from '../exchange/calls.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { NO_FETCHER } from '../fetch/fetcher.ts';
import { NO_DOCUMENTS } from '../fetch/worker-documents.ts';
import { Consumers } from '../policies/auth/consumers.ts';
import { Introspectors } from '../policies/auth/introspection/introspectors.ts';
import { JwtVerifiers } from '../policies/auth/jwt/verifiers.ts';
import { NO_REFRESHES } from '../policies/auth/oidc/refreshes.ts';
import { Passwords } from '../policies/auth/passwords/passwords.ts';
import { ResponseCache } from '../policies/cache/response-cache.ts';
import type { PolicyContext } from '../policies/policy.ts';
import { Verdict } from '../policies/policy.ts';
import { RateLimiter } from '../policies/rate-limit/limiter.ts';
import { Secrets } from '../policies/secrets.ts';
import { ClientIdentity } from '../proxy/client-identity.ts';
import { compileFilters } from '../proxy/compiled-route.ts';
import * as replies from '../proxy/replies.ts';
import { type Explanation, explain } from '../router/explanation.ts';
import { hostFits } from '../router/judge.ts';
import { compareHosts } from '../router/oracle.ts';
import type { Match } from '../snapshot/match.ts';
import type { Limit } from '../snapshot/rate-limit.ts';
import type { Route } from '../snapshot/route.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { describeHost, describeParts } from '../snapshot/words.ts';
import { reportBackends } from './backends.ts';
import { loginAnswer } from './logins.ts';
import { reportPassthrough } from './passthrough.ts';
import type { AnswerReport, BackendReport, ExplainReport, FilterReport, LimitReport, RequestReport, SentReport } from './report.ts';
import { type ExplainInput, readRequest } from './request.ts';

export { renderExplanation } from './render.ts';
export type { ExplainReport } from './report.ts';
export { type ExplainInput, ExplainUsageError } from './request.ts';

/**
 * @returns what the gateway would do with the request, as JSON-able data
 * @throws ExplainUsageError when the input can't be written as a request
 */
export function explainRequest(snapshot: Snapshot, input: ExplainInput): ExplainReport {
  const read = readRequest(input);
  if (read.exchange === undefined) {
    const { fault, authority, target, scheme } = read;
    return {
      request: { method: input.method, scheme, authority, host: '', path: target, query: '', clientIp: input.clientIp },
      answer: { status: fault.status, reason: fault.reason, by: 'gateway', detail: fault.detail },
      filters: [],
      rateLimits: [],
      backends: [],
      outranked: [],
      nearMisses: [],
    };
  }
  const { exchange } = read;
  const request = reportRequest(snapshot, exchange);
  const passed = reportPassthrough(snapshot, request);
  if (passed !== undefined) return passed;
  // Routes see the fields as the gateway has completed them.
  new ClientIdentity([]).stamp(exchange);
  const explanation = explain(snapshot.routes, exchange);
  const { winner } = explanation;
  if (winner === undefined) {
    const { status, reason, detail } = replies.noRoute;
    return {
      request,
      answer: { status, reason, by: 'gateway', ...(detail === undefined ? {} : { detail }) },
      filters: [],
      rateLimits: [],
      backends: [],
      ...reportOthers(explanation),
    };
  }
  const { route, matchIndex } = winner;
  const match = route.matches[matchIndex] as Match;
  exchange.routeId = route.id;
  exchange.matchedPath = match.path;
  const run = runFilters(route, exchange);
  const backends = reportBackends(snapshot, route);
  const answer = run.answer ?? answerWithoutEndpoint(backends);
  return {
    request,
    ...(answer === undefined ? { sent: reportSent(exchange) } : { answer }),
    route: {
      id: route.id,
      kind: route.kind,
      namespace: route.namespace,
      name: route.name,
      rule: route.rule,
      isDefaultBackend: route.isDefaultBackend,
      host: describeHost(winner.host),
      match: matchIndex,
      matches: route.matches.length,
      parts: partsOf(match, exchange),
      timeouts: route.timeouts,
      ...(route.retry === undefined ? {} : { retry: route.retry }),
      ...(route.hedge === undefined ? {} : { hedge: route.hedge }),
      ...(route.fallback === undefined ? {} : { fallback: route.fallback }),
    },
    filters: run.filters,
    rateLimits: (route.filters.rateLimit ?? []).map(reportLimit),
    backends,
    ...reportOthers(explanation),
  };
}

/** With what stands where the path names a segment. */
function partsOf(match: Match, exchange: Exchange): readonly string[] {
  const [path, ...others] = describeParts(match) as [string, ...string[]];
  const segments = match.path.names?.filter((name) => name !== '') ?? [];
  return [path, ...segments.map((name) => `segment ${name} = ${JSON.stringify(segmentOf(exchange, name))}`), ...others];
}

function segmentOf(exchange: Exchange, name: string): string | undefined {
  try {
    return exchange.pathSegment(name);
  } catch {
    return 'not UTF-8';
  }
}

function reportRequest(snapshot: Snapshot, { method, scheme, authority, host, path, query, clientAddress }: Exchange): RequestReport {
  const request = { method, scheme, authority, host, path, query, clientIp: clientAddress };
  if (scheme !== 'https') return request;
  const [name] = snapshot.serverNames.filter((serverName) => hostFits(serverName.host, host)).sort((a, b) => compareHosts(a.host, b.host));
  return { ...request, certificates: name?.certificates ?? (snapshot.defaultCertificate === undefined ? [] : [snapshot.defaultCertificate]) };
}

function reportLimit({ policy, name, algorithm, requests, period, calendar, burst, key, when, cost, mode, onStoreFailure }: Limit): LimitReport {
  const keys = key.map((part) => {
    const what = part.name ?? part.expression;
    return what === undefined ? part.type : `${part.type} ${what}`;
  });
  return {
    ...{ policy, limit: name, algorithm, requests, period: calendar ?? period, burst, key: keys },
    ...(when === undefined ? {} : { when }),
    ...(cost === undefined ? {} : { cost }),
    ...{ mode, scope: onStoreFailure === undefined ? 'Local' : 'Global' },
    ...(onStoreFailure === undefined ? {} : { onStoreFailure }),
  };
}

function reportOthers({ outranked, nearMisses }: Explanation): Pick<ExplainReport, 'outranked' | 'nearMisses'> {
  return {
    outranked: outranked.map(({ fit, decidedBy }) => ({ route: fit.route.id, match: fit.matchIndex, decidedBy })),
    nearMisses: nearMisses.map(({ route, matchIndex, mismatch }) => ({ route: route.id, match: matchIndex, ...mismatch })),
  };
}

/** What hangs on the requests before, or on chance, is told, not asked. */
const UNASKED: Readonly<Record<string, FilterReport['outcome']>> = {
  auth: 'depends on who calls',
  rateLimit: 'depends on earlier requests',
  cache: 'depends on earlier requests',
  faultInjection: 'by chance',
  mirror: 'by chance',
};

/** Answers by calls, which only workers make; with the reason where all goes well. */
const BY_CALLS: Readonly<Record<string, string>> = { aggregate: 'aggregate', grpcJson: 'grpc_json' };

/** Runs the request steps of a route's filters on the exchange, as the proxy does. */
function runFilters(route: Route, exchange: Exchange): { readonly answer: AnswerReport | undefined; readonly filters: readonly FilterReport[] } {
  let answer: AnswerReport | undefined;
  if (route.httpsRedirect && exchange.scheme === 'http') answer = reportAnswer(replies.httpsRedirect(exchange), 'gateway');
  const filters = compileFilters(route.filters, unsharedContext()).map((filter): FilterReport => {
    const described = { policy: filter.policy, does: filter.describe() };
    if (filter.onRequest === undefined) return { ...described, outcome: 'on the answer' };
    if (answer !== undefined) return { ...described, outcome: 'not reached' };
    const login = filter.policy === 'auth' ? loginAnswer(route.filters.auth, exchange) : undefined;
    if (login !== undefined) {
      answer = login;
      return { ...described, outcome: 'answers' };
    }
    const unasked = UNASKED[filter.policy];
    if (unasked !== undefined) return { ...described, outcome: unasked };
    const calling = BY_CALLS[filter.policy];
    if (calling !== undefined) {
      answer = { status: 200, reason: calling, by: filter.policy, detail: 'Status and body are what its calls come to.' };
      return { ...described, outcome: 'answers' };
    }
    if (filter.onRequest(exchange) === Verdict.Continue) return { ...described, outcome: 'passed' };
    answer = reportAnswer(exchange.reply ?? replies.internalError, filter.policy);
    return { ...described, outcome: 'answers' };
  });
  return { answer, filters };
}

/** For filters of this request alone: no worker sees what they count. */
function unsharedContext(): PolicyContext {
  const memory = RateLimiter.allocate({ counterSets: 1, logSets: 1 });
  const secrets = new Secrets();
  return {
    rateLimiter: new RateLimiter(memory, 0),
    cache: ResponseCache.unused(),
    calls: noCalls,
    auth: {
      consumers: new Consumers(),
      passwords: new Passwords(() => {}),
      refreshes: NO_REFRESHES,
      podSecret: new Uint8Array(32),
      log: () => {},
      jwt: new JwtVerifiers(NO_DOCUMENTS, secrets),
      introspectors: new Introspectors(NO_FETCHER, secrets),
      decisions: () => ({ allowed: 0, refused: 0, failed: 0 }),
    },
    secrets,
    countCall: () => {},
    random: Math.random,
    counter: () => ({ value: 0 }),
    limitDecisions: () => ({ allowed: 0, refused: 0, shadowRefused: 0, nearlyRefused: 0 }),
    documents: NO_DOCUMENTS,
    fetcher: NO_FETCHER,
  };
}

function reportAnswer(reply: NonNullable<Exchange['reply']>, by: string): AnswerReport {
  const location = reply.fields?.find(([name]) => name.toLowerCase() === 'location')?.[1];
  return {
    status: reply.status,
    reason: reply.reason,
    by,
    ...(reply.detail === undefined ? {} : { detail: reply.detail }),
    ...(location === undefined ? {} : { location }),
  };
}

/** Without any backend to go to, the gateway answers; where only some refs are bad, each answers its own share. */
function answerWithoutEndpoint(backends: readonly BackendReport[]): AnswerReport | undefined {
  // A rule without any, whose redirect was skipped, has nothing to serve.
  if (backends.length === 0) return reportAnswer(replies.noBackend, 'gateway');
  const taking = backends.filter((backend) => backend.weight > 0);
  if (taking.some((backend) => backend.endpoints.length > 0)) return undefined;
  const unresolved = taking.filter((backend) => backend.upstream === undefined);
  if (unresolved.length === 0) return reportAnswer(replies.noEndpoint, 'gateway');
  return reportAnswer(unresolved.some((backend) => backend.unresolvedStatus === 503) ? replies.unresolvedBackend503 : replies.unresolvedBackend500, 'gateway');
}

function reportSent(exchange: Exchange): SentReport {
  const fields: (readonly [string, string])[] = [];
  exchange.requestFields.forEach((name, value) => {
    if (!ADDED_TO_ALL.has(name.toLowerCase())) fields.push([name, value]);
  });
  return { method: exchange.method, host: exchange.upstreamHost, target: exchange.upstreamPath + exchange.upstreamQuery, fields };
}

/** Host is told by itself; the others are on every request, and some of them are random. */
const ADDED_TO_ALL = new Set([
  'host',
  'x-request-id',
  'traceparent',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-real-ip',
]);
