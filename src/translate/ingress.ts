/** networking.k8s.io/v1 Ingress: a route for each path, and one for its default backend. */

import type { Ingress, IngressBackend } from '../resources/ingress.ts';
import type { Entry } from '../resources/resource-set.ts';
import { hostKey } from '../snapshot/host-key.ts';
import type { HostPattern, Match, PathMatch } from '../snapshot/match.ts';
import type { Backend } from '../snapshot/route.ts';
import type { UpstreamKey } from '../snapshot/upstream.ts';
import { claimKey, matchKey } from './conflicts.ts';
import { ANY_HOST, coversHost, hostPattern, pathMatch } from './hosts-and-paths.ts';
import { type IngressSettings, readAnnotations } from './ingress-annotations.ts';
import type { CanaryChoice, CanaryPath } from './ingress-canary.ts';
import { loginRoutes } from './login-routes.ts';
import { claimTermination, passIngressHost } from './passthrough.ts';
import { type Claimed, conflict, DEFAULT_SECTION, type RouteContext, type RouteDraft, type RuleOwner, unreachablePath } from './routes.ts';
import { type ReferenceFields, type ReferenceKey, referenceKey, type ServiceReference } from './services.ts';

const PATH_TYPES = { Exact: 'Exact', Prefix: 'PathPrefix', ImplementationSpecific: 'PathPrefix' } as const satisfies Record<string, PathMatch['type']>;

/** A match of the path alone. */
function onPath(path: PathMatch): Match {
  return { path, headers: [], queryParams: [], cookies: [] };
}

/** What the default backend claims of a host. */
const DEFAULT_CLAIM = 'default';

const EVERYTHING = onPath({ type: 'PathPrefix', value: '/' });

/** What the routes of an Ingress stand on beside the entry itself. */
export interface IngressBasis {
  readonly claims: readonly Claimed[];
  readonly backends: readonly { readonly reference: ServiceReference; readonly key: ReferenceKey; readonly upstream: UpstreamKey }[];
  /** Which logins there are on its hosts. */
  readonly sessions: string;
}

export interface TranslatedIngress {
  readonly drafts: readonly RouteDraft[];
  /** For `repeatIngress`; undefined where something was wrong with the Ingress, or a policy applies. */
  readonly basis: IngressBasis | undefined;
}

export function translateIngress(entry: Entry<Ingress>, ingress: Ingress, context: RouteContext): TranslatedIngress {
  const settings = readAnnotations(entry, ingress, context.issues);
  const recorder = new Recorder(context);
  const rules = translateRules(entry, ingress, settings, context, recorder);
  const drafts = [...rules, ...loginRoutes(entry, rules, context.issues)];
  claimTls(entry, ingress, settings, context, recorder);
  const isRepeatable =
    context.issues.of(entry).length === 0 &&
    !recorder.hasCanary &&
    !settings.sslPassthrough &&
    settings.sessionAffinity === undefined &&
    !context.authPolicies.anyFor('Ingress', entry.namespace, entry.name) &&
    drafts.every(({ filters }) => filters.rateLimit === undefined);
  claimCertificates(entry, ingress, context);
  const { claims, backends } = recorder;
  return { drafts, basis: isRepeatable ? { claims, backends, sessions: sessionsOn(ingress, context) } : undefined };
}

/**
 * What `translateIngress` would do, where it comes to the same as before: whatever the routes of an Ingress stand on beside the
 * entry itself is asked for again (claims, Services, limits), and the certificates are claimed.
 *
 * @param basis as `translateIngress` gave it for this very entry
 * @returns whether the routes are the same; if not, nothing was done
 */
export function repeatIngress(entry: Entry<Ingress>, ingress: Ingress, { claims, backends, sessions }: IngressBasis, context: RouteContext): boolean {
  if (context.rateLimits.anyFor('Ingress', entry.namespace, entry.name)) return false;
  if (context.authPolicies.anyFor('Ingress', entry.namespace, entry.name)) return false;
  if (sessionsOn(ingress, context) !== sessions) return false;
  for (const { key } of claims) if (!context.claims.isFree(key) || context.canaries.at(entry.namespace, key) !== undefined) return false;
  const hosts = hostsOf(ingress);
  for (const { host } of hosts) if (!context.passthroughs.mayTerminate(host)) return false;
  // Not before the claims: what loses to an older rule uses no Service.
  for (const { reference, key, upstream } of backends) if (context.upstreams.find(reference, key) !== upstream) return false;
  for (const { key, owner } of claims) context.claims.claim(key, owner);
  claimTermination(entry, hosts, context);
  claimCertificates(entry, ingress, context);
  return true;
}

function sessionsOn(ingress: Ingress, { sessionHosts }: RouteContext): string {
  if (sessionHosts.isEmpty) return '';
  const hosts = hostsOf(ingress).map(({ host }) => host);
  return sessionHosts.fingerprint(hosts.length === 0 ? [ANY_HOST] : hosts);
}

/** Claims and resolves, and keeps what it was asked for. */
class Recorder {
  readonly claims: Claimed[] = [];
  readonly backends: { readonly reference: ServiceReference; readonly key: ReferenceKey; readonly upstream: UpstreamKey }[] = [];
  hasCanary = false;
  readonly #context: RouteContext;

  constructor(context: RouteContext) {
    this.#context = context;
  }

  /** The canary of what was claimed last. */
  canary(namespace: string): CanaryPath | undefined {
    const last = this.claims.at(-1);
    const path = last === undefined ? undefined : this.#context.canaries.at(namespace, last.key);
    if (path !== undefined) this.hasCanary = true;
    return path;
  }

  claim(host: HostPattern, match: string, owner: RuleOwner): RuleOwner | undefined {
    const key = claimKey(host, match);
    this.claims.push({ key, owner });
    return this.#context.claims.claim(key, owner);
  }

  resolve(owner: Entry<unknown>, reference: ServiceReference, fields: ReferenceFields): UpstreamKey | undefined {
    const upstream = this.#context.upstreams.resolve(owner, reference, fields);
    if (upstream !== undefined) this.backends.push({ reference, key: referenceKey(reference), upstream });
    return upstream;
  }
}

function translateRules(entry: Entry<Ingress>, ingress: Ingress, settings: IngressSettings, context: RouteContext, recorder: Recorder): RouteDraft[] {
  const routes: RouteDraft[] = [];
  for (const [ruleIndex, rule] of ingress.spec.rules.entries()) {
    const host = hostPattern(rule.host, 'OneLabel');
    const httpsRedirect = redirects(ingress, settings, host);
    for (const [pathIndex, one] of rule.paths.entries()) {
      const field = `spec.rules[${ruleIndex}].http.paths[${pathIndex}]`;
      const path = pathMatch(PATH_TYPES[one.pathType], one.path);
      if (path === undefined) {
        context.issues.add(entry, 'Accepted', unreachablePath(`${field}.path`, one.path));
        continue;
      }
      const match = onPath(path);
      const owner = { entry, field };
      const older = recorder.claim(host, matchKey(match), owner);
      if (older !== undefined) {
        context.issues.add(entry, 'Accepted', conflict(owner, older, host, `${one.pathType} ${one.path}`));
        continue;
      }
      // The first path goes by the index of its rule alone, so that a path that is added renames none.
      const label = pathIndex === 0 ? String(ruleIndex) : `${ruleIndex}.${pathIndex}`;
      const canary = recorder.canary(entry.namespace);
      const backend = resolveBackend(entry, one.backend, `${field}.backend`, settings, context, recorder);
      const parts = { label, section: String(ruleIndex), hosts: [host], matches: [match], httpsRedirect, backends: [backend] };
      if (canary === undefined) routes.push(makeRoute(entry, settings, context, parts));
      else routes.push(...withCanary(entry, settings, context, parts, canary, recorder));
    }
  }
  routes.push(...translateDefaultBackend(entry, ingress, settings, context, recorder));
  return routes;
}

/**
 * `spec.defaultBackend` serves what no rule of the Ingress's hosts takes; of those without rules, the oldest serves
 * everything else (api.md, "Ingress").
 */
function translateDefaultBackend(entry: Entry<Ingress>, ingress: Ingress, settings: IngressSettings, context: RouteContext, recorder: Recorder): RouteDraft[] {
  const { defaultBackend, rules } = ingress.spec;
  if (defaultBackend === undefined) {
    for (const [index, rule] of rules.entries()) {
      if (rule.paths.length > 0) continue;
      context.issues.add(entry, 'told', {
        severity: 'warning',
        reason: 'Invalid',
        field: `spec.rules[${index}]`,
        message: 'the rule has no paths, and the Ingress no defaultBackend: nothing serves it',
        hint: 'write http.paths, or spec.defaultBackend',
      });
    }
    return [];
  }
  const owner = { entry, field: 'spec.defaultBackend' };
  const hosts = new Map<string, HostPattern>();
  for (const host of rules.length === 0 ? [ANY_HOST] : rules.map((rule) => hostPattern(rule.host, 'OneLabel'))) hosts.set(hostKey(host), host);
  const served: HostPattern[] = [];
  for (const host of hosts.values()) {
    const older = recorder.claim(host, DEFAULT_CLAIM, owner);
    if (older === undefined) served.push(host);
    else context.issues.add(entry, 'Accepted', conflict(owner, older, host, 'the default backend'));
  }
  if (served.length === 0) return [];
  const backend = resolveBackend(entry, defaultBackend, 'spec.defaultBackend', settings, context, recorder);
  const routes: RouteDraft[] = [];
  for (const httpsRedirect of [true, false]) {
    const group = served.filter((host) => redirects(ingress, settings, host) === httpsRedirect);
    if (group.length === 0) continue;
    const label = routes.length === 0 ? DEFAULT_SECTION : `${DEFAULT_SECTION}.1`;
    routes.push(
      makeRoute(entry, settings, context, { label, section: DEFAULT_SECTION, hosts: group, matches: [EVERYTHING], httpsRedirect, backends: [backend] }),
    );
  }
  return routes;
}

interface RouteParts {
  readonly label: string;
  /** What a policy's sectionName may call it. */
  readonly section: string;
  readonly hosts: readonly HostPattern[];
  readonly matches: readonly Match[];
  readonly httpsRedirect: boolean;
  readonly backends: readonly Backend[];
}

/** The routes of a path that has a canary: with it, without it, and by weight. */
function withCanary(
  entry: Entry<Ingress>,
  settings: IngressSettings,
  context: RouteContext,
  parts: RouteParts,
  canary: CanaryPath,
  recorder: Recorder,
): RouteDraft[] {
  context.canaries.take(canary);
  const { always, never, weight, total } = canary.choice;
  const [main] = parts.backends as [Backend];
  const theirs = resolveBackend(canary.entry, canary.backend, `${canary.field}.backend`, settings, context, recorder);
  const conditioned = (conditions: CanaryChoice['always']): Match[] => conditions.flatMap((one) => parts.matches.map((match) => ({ ...match, ...one })));
  const routes: RouteDraft[] = [];
  // Without a Service of its own it takes nothing away from the main one.
  const share = theirs.upstream === undefined ? 0 : weight;
  const backends =
    share === 0
      ? [main]
      : [
          { ...main, weight: total - share },
          { ...theirs, weight: share },
        ];
  routes.push(makeRoute(entry, settings, context, { ...parts, backends }));
  if (theirs.upstream === undefined) return routes;
  if (never.length > 0) routes.push(makeRoute(entry, settings, context, { ...parts, label: `${parts.label}.never`, matches: conditioned(never) }));
  if (always.length > 0) {
    const { namespace, name } = canary.entry;
    const route = makeRoute(entry, settings, context, { ...parts, label: canary.label, matches: conditioned(always), backends: [theirs] });
    routes.push({ ...route, id: `Ingress/${namespace}/${name}/${canary.label}`, name });
  }
  return routes;
}

function makeRoute({ namespace, name }: Entry<Ingress>, settings: IngressSettings, context: RouteContext, parts: RouteParts): RouteDraft {
  const { rateLimits, authPolicies, sessionHosts } = context;
  const { label, section, hosts, matches, httpsRedirect, backends } = parts;
  const rateLimit = rateLimits.limits('Ingress', namespace, name, section);
  const guards = authPolicies.filters('Ingress', namespace, name, section);
  return {
    id: `Ingress/${namespace}/${name}/${label}`,
    kind: 'Ingress',
    namespace,
    name,
    rule: label,
    hosts,
    matches,
    isDefaultBackend: section === DEFAULT_SECTION,
    httpsRedirect,
    filters: {
      ...guards,
      ...sessionHosts.filter(hosts, guards.auth),
      ...(settings.closed ? { closed: { reason: 'unsupported_guard' } } : {}),
      limits: { maxRequestBodyBytes: settings.maxRequestBodyBytes },
      ...(rateLimit === undefined ? {} : { rateLimit }),
    },
    ...settings.retries,
    backends,
  };
}

/** A backend that can't be reached answers 503 (api.md, "Backends"). */
function resolveBackend(
  entry: Entry<Ingress>,
  { service, resource }: IngressBackend,
  field: string,
  { sessionAffinity }: IngressSettings,
  { issues, upstreams }: RouteContext,
  recorder: Recorder,
): Backend {
  const unresolved: Backend = { unresolvedStatus: 503, weight: 1, backup: false };
  if (service === undefined) {
    const what = resource === undefined ? 'nothing' : `a ${resource.kind}`;
    issues.add(entry, 'ResolvedRefs', {
      severity: 'error',
      reason: 'UnsupportedValue',
      field: `${field}.resource`,
      message: `the backend is ${what}, and only Services are supported`,
      hint: 'write service: { name: shop, port: { number: 80 } }',
    });
    return unresolved;
  }
  const { number, name } = service.port;
  const portField = number === undefined ? 'name' : 'number';
  const reference = { namespace: entry.namespace, name: service.name, port: number ?? name ?? 0 };
  const fields = { namespace: `${field}.service`, name: `${field}.service.name`, port: `${field}.service.port.${portField}` };
  const upstream = recorder.resolve(entry, reference, fields);
  if (upstream === undefined) return unresolved;
  const affinity = sessionAffinity === undefined ? {} : { sessionAffinity: upstreams.affinityTo(entry.namespace, service.name, sessionAffinity) };
  return { upstream, weight: 1, backup: false, ...affinity };
}

/** As ingress-nginx does: with TLS, unless `ssl-redirect` is "false"; with `force-ssl-redirect`, always. */
function redirects({ spec }: Ingress, { sslRedirect, forceSslRedirect }: IngressSettings, host: HostPattern): boolean {
  if (forceSslRedirect) return true;
  return sslRedirect && spec.tls.some(({ hosts }) => hosts.length === 0 || hosts.some((pattern) => coversHost(pattern, host)));
}

function hostsOf({ spec }: Ingress): { readonly host: HostPattern; readonly field: string }[] {
  return spec.rules.map((rule, index) => ({ host: hostPattern(rule.host, 'OneLabel'), field: `spec.rules[${index}].host` }));
}

/**
 * As ingress-nginx has it: with `ssl-passthrough`, TLS for each host goes to the backend of its path `/`, while the rules serve
 * plain HTTP as they do without.
 */
function claimTls(entry: Entry<Ingress>, ingress: Ingress, settings: IngressSettings, context: RouteContext, recorder: Recorder): void {
  const { sslPassthrough, closed } = settings;
  const hosts = hostsOf(ingress);
  if (!sslPassthrough || closed) {
    claimTermination(entry, hosts, context);
    return;
  }
  for (const [index, { host, field }] of hosts.entries()) {
    const root = ingress.spec.rules[index]?.paths.findIndex(({ path }) => path === '/') ?? -1;
    const backend = ingress.spec.rules[index]?.paths[root]?.backend;
    if (host.type !== 'Any' && backend !== undefined) {
      const resolve = (): Backend => resolveBackend(entry, backend, `spec.rules[${index}].http.paths[${root}].backend`, settings, context, recorder);
      passIngressHost(entry, host, String(index), resolve, context);
      continue;
    }
    const isHost = host.type === 'Any';
    context.issues.add(entry, 'Accepted', {
      severity: 'error',
      reason: 'Invalid',
      field: isHost ? field : `spec.rules[${index}].http.paths`,
      message: isHost
        ? 'annotation ssl-passthrough needs a host: connections are told apart by the server name alone'
        : 'annotation ssl-passthrough needs a path /, whose backend gets the connections: TLS for the host is not passed through',
      hint: isHost ? 'write the host' : 'write a path / with pathType Prefix',
    });
    claimTermination(entry, [{ host, field }], context);
  }
}

/** A Secret without hosts is for all hosts of the rules. */
function claimCertificates(entry: Entry<Ingress>, { spec }: Ingress, { certificates }: RouteContext): void {
  for (const [index, { secretName, hosts }] of spec.tls.entries()) {
    if (secretName === undefined) continue;
    const names = hosts.length > 0 ? hosts : [...new Set(spec.rules.map((rule) => rule.host))];
    const patterns = names.length === 0 ? [ANY_HOST] : names.map((host) => hostPattern(host, 'OneLabel'));
    certificates.claim(entry, `spec.tls[${index}].secretName`, secretName, patterns);
  }
}
