/** tidegate.dev/v1alpha1 ApiRoute: a route for each rule. */

import type { ApiRoute, ApiRouteRule } from '../resources/api-route.ts';
import type { Entry } from '../resources/resource-set.ts';
import { MAX_BODY_BYTES, ROUTE_TIMEOUTS } from '../snapshot/defaults.ts';
import type { RouteFilters } from '../snapshot/filters.ts';
import { hostKey } from '../snapshot/host-key.ts';
import type { HostPattern, Match } from '../snapshot/match.ts';
import type { Backend, Route, Timeouts } from '../snapshot/route.ts';
import { describeMatch } from '../snapshot/words.ts';
import { cachedBy, translateAggregate } from './aggregate.ts';
import { translateMirror, translateRecovery } from './api-route-recovery.ts';
import { keepsReplies, modifierReads, translateCache } from './cached-rules.ts';
import { claimKey, matchKey, mayClaim } from './conflicts.ts';
import { translateGrpcJson } from './grpc-json.ts';
import { ANY_HOST, hostPattern, namedPathMatch } from './hosts-and-paths.ts';
import { loginRoutes } from './login-routes.ts';
import { claimTermination, translatePassthrough } from './passthrough.ts';
import { preflightMatches } from './preflights.ts';
import { type Claimed, conflict, type RouteContext, type RouteDraft, ruleLabel, unreachablePath } from './routes.ts';

type WrittenMatch = ApiRouteRule['matches'][number];

export interface TranslatedApiRoute {
  readonly drafts: readonly RouteDraft[];
  readonly claims: readonly Claimed[];
}

export function translateApiRoute(entry: Entry<ApiRoute>, { spec }: ApiRoute, context: RouteContext): TranslatedApiRoute {
  if (spec.tls?.mode === 'Passthrough') {
    const [rule] = spec.rules;
    if (rule !== undefined) translatePassthrough(entry, { spec }, translateBackends(entry, rule, 'spec.rules[0]', context), context);
    return { drafts: [], claims: [] };
  }
  const hosts = hostsOf(spec.hostnames);
  claimTermination(entry, ownTlsHosts(spec), context);
  if (spec.tls?.secretName !== undefined) context.certificates.claim(entry, 'spec.tls.secretName', spec.tls.secretName, hosts);
  const written = spec.tls?.clientValidation;
  const clientValidation = written && context.clientValidations.claim(entry, written, hosts);
  const claiming = mayClaim(
    hosts.length,
    spec.rules.reduce((sum, rule) => sum + rule.matches.length, 0),
  );
  const routes: RouteDraft[] = [];
  const claims: Claimed[] = [];
  for (const [index, rule] of spec.rules.entries()) {
    const field = `spec.rules[${index}]`;
    const matches = translateMatches(entry, rule, field, context);
    if (claiming) claimMatches(entry, hosts, matches, context, claims);
    if (matches.length === 0) continue;
    const taken = matches.map(({ match }) => match);
    if (rule.filters.cors !== undefined) taken.push(...preflightMatches(taken));
    const label = ruleLabel(rule, index);
    routes.push({
      id: `ApiRoute/${entry.namespace}/${entry.name}/${label}`,
      kind: 'ApiRoute',
      namespace: entry.namespace,
      name: entry.name,
      rule: label,
      hosts,
      matches: taken,
      isDefaultBackend: false,
      httpsRedirect: spec.tls?.redirect ?? false,
      ...(clientValidation === undefined ? {} : { clientValidation }),
      filters: translateFilters(entry, rule, field, { label, hosts, hasClientCertificates: clientValidation !== undefined }, context),
      timeouts: translateTimeouts(rule.timeouts),
      ...priorityOf(rule.priority ?? spec.priority),
      backends: translateBackends(entry, rule, field, context),
      ...translateRecovery(entry, rule, field, context),
    });
  }
  return { drafts: [...routes, ...loginRoutes(entry, routes, context.issues)], claims };
}

function priorityOf(written: ApiRouteRule['priority']): Pick<Route, 'priority'> {
  return written === undefined || written === 'Normal' ? {} : { priority: written };
}

/** A route that takes plain HTTP alone may stand beside one that passes TLS through. */
function ownTlsHosts({ hostnames, rules }: ApiRoute['spec']): { readonly host: HostPattern; readonly field: string }[] {
  if (rules.every(({ matches }) => matches.every(({ scheme }) => scheme === 'http'))) return [];
  return hostnames.map((hostname, index) => ({ host: hostPattern(hostname, 'Suffix'), field: `spec.hostnames[${index}]` }));
}

function hostsOf(hostnames: readonly string[]): readonly HostPattern[] {
  if (hostnames.length === 0) return [ANY_HOST];
  const hosts = new Map<string, HostPattern>();
  for (const hostname of hostnames) {
    const host = hostPattern(hostname, 'Suffix');
    hosts.set(hostKey(host), host);
  }
  return [...hosts.values()];
}

interface PlacedMatch {
  readonly match: Match;
  readonly field: string;
}

function translateMatches(entry: Entry<ApiRoute>, rule: ApiRouteRule, ruleField: string, { issues }: RouteContext): PlacedMatch[] {
  const placed: PlacedMatch[] = [];
  for (const [index, written] of rule.matches.entries()) {
    const field = `${ruleField}.matches[${index}]`;
    const path = namedPathMatch(written.path.type, written.path.value);
    if (path === undefined) issues.add(entry, 'Accepted', unreachablePath(`${field}.path.value`, written.path.value));
    else placed.push({ match: { path, ...conditionsOf(written) }, field });
  }
  return placed;
}

/** Parts that a request fits whatever it is like are left out. */
function conditionsOf({ methods, headers, queryParams, cookies, clientCIDRs, scheme }: WrittenMatch): Omit<Match, 'path'> {
  return {
    ...(methods.length === 0 ? {} : { methods }),
    headers,
    queryParams,
    cookies,
    ...(clientCIDRs.length === 0 ? {} : { clientCIDRs }),
    ...(scheme === undefined ? {} : { scheme }),
  };
}

/**
 * An older match that is the very same takes all requests: that is told, and changes nothing, since the oldest wins by rank.
 * @param claimed gets what was free
 */
function claimMatches(
  entry: Entry<ApiRoute>,
  hosts: readonly HostPattern[],
  matches: readonly PlacedMatch[],
  { claims, issues }: RouteContext,
  claimed: Claimed[],
): void {
  for (const { match, field } of matches) {
    const owner = { entry, field };
    const key = matchKey(match);
    let told = false;
    for (const host of hosts) {
      const claim = claimKey(host, key);
      const older = claims.claim(claim, owner);
      if (older === undefined) claimed.push({ key: claim, owner });
      if (older === undefined || told) continue;
      issues.add(entry, 'told', conflict(owner, older, host, describeMatch(match)));
      told = true;
    }
  }
}

/** What `0s` stands for: longer than any request lasts, and still a number to count with. */
const NO_TIMEOUT = Number.MAX_SAFE_INTEGER;

function translateTimeouts(written: ApiRouteRule['timeouts']): Timeouts {
  const { request, backendRequest, idle } = { ...ROUTE_TIMEOUTS, ...written };
  return {
    request: request || NO_TIMEOUT,
    backendRequest: backendRequest || NO_TIMEOUT,
    idle: idle || NO_TIMEOUT,
    // Whoever writes one down means tunnels as well; the default is not meant for them.
    ...(written.request ? { tunnel: written.request } : {}),
  };
}

function translateFilters(
  entry: Entry<ApiRoute>,
  rule: ApiRouteRule,
  field: string,
  { label, hosts, hasClientCertificates }: { readonly label: string; readonly hosts: readonly HostPattern[]; readonly hasClientCertificates: boolean },
  context: RouteContext,
): RouteFilters {
  const { mirror: written, aggregate, cache, grpcJson, ...filters } = rule.filters;
  const { rateLimits, authPolicies, sessionHosts } = context;
  const mirror = translateMirror(entry, written, `${field}.filters.mirror`, context);
  const rateLimit = rateLimits.limits('ApiRoute', entry.namespace, entry.name, label);
  const isKept = keepsReplies(entry, rule.filters, `${field}.filters`, context);
  const guards = authPolicies.filters('ApiRoute', entry.namespace, entry.name, label);
  const guarded = guards.auth !== undefined || hasClientCertificates;
  const rpc = grpcJson && translateGrpcJson(entry, grpcJson, rule.timeouts, `${field}.filters.grpcJson`, context);
  return {
    ...filters,
    limits: { maxRequestBodyBytes: MAX_BODY_BYTES, ...filters.limits },
    ...guards,
    ...sessionHosts.filter(hosts, guards.auth),
    ...(cache === undefined
      ? {}
      : { cache: translateCache(entry, cache, rule, { guarded, descriptors: rpc?.descriptors }, `${field}.filters.cache`, context) }),
    ...(rateLimit === undefined ? {} : { rateLimit }),
    ...(mirror === undefined ? {} : { mirror }),
    ...(rpc === undefined ? {} : { grpcJson: { ...rpc, ...(isKept ? { cached: true } : {}) } }),
    ...(aggregate === undefined
      ? {}
      : {
          aggregate: {
            ...translateAggregate(entry, aggregate, rule.timeouts, `${field}.filters.aggregate`, context),
            ...(isKept ? cachedBy(entry, aggregate, modifierReads(rule.filters), `${field}.filters.cache`, context) : {}),
          },
        }),
  };
}

function translateBackends(entry: Entry<ApiRoute>, rule: ApiRouteRule, field: string, { upstreams }: RouteContext): Backend[] {
  return rule.backendRefs.map(({ name, namespace, port, weight, backup, filters }, index) => {
    const ref = `${field}.backendRefs[${index}]`;
    const fields = { namespace: `${ref}.namespace`, name: `${ref}.name`, port: `${ref}.port` };
    const upstream = upstreams.resolve(entry, { namespace: namespace ?? entry.namespace, name, port }, fields);
    // Its share is answered with 500, as in Gateway API (api.md, "Backends that can't serve").
    return { ...(upstream === undefined ? { unresolvedStatus: 500 as const } : { upstream }), weight, backup, ...filters };
  });
}
