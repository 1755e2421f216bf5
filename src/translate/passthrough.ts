/**
 * TLS that is passed through, and hosts whose TLS is the gateway's own: a host has one or the other, and whoever is older decides.
 */
import type { ApiRoute } from '../resources/api-route.ts';
import { objectKey } from '../resources/entry.ts';
import type { Ingress } from '../resources/ingress.ts';
import type { Entry, Problem } from '../resources/resource-set.ts';
import { PASSTHROUGH_IDLE } from '../snapshot/defaults.ts';
import type { HostPattern } from '../snapshot/match.ts';
import type { Backend } from '../snapshot/route.ts';
import type { Passthrough, PassthroughRoute } from '../snapshot/tls.ts';
import type { UpstreamKey } from '../snapshot/upstream.ts';
import { describeHost } from '../snapshot/words.ts';
import { hostPattern } from './hosts-and-paths.ts';
import type { RouteContext, RuleOwner } from './routes.ts';
import { ruleLabel } from './routes.ts';

type Mode = 'Passthrough' | 'Terminate';

interface Claim {
  readonly host: HostPattern;
  readonly mode: Mode;
  readonly owner: RuleOwner;
}

/** A connection's server name falls to one of them whatever number of labels a wildcard covers. */
function placeOf(host: HostPattern): string {
  switch (host.type) {
    case 'Exact':
      return host.value;
    case 'Any':
      return '';
    default:
      return `*.${host.value}`;
  }
}

/** Who has a host's TLS. Objects must claim in order of age. */
export class Passthroughs {
  readonly #claims = new Map<string, Claim>();
  readonly #routes: PassthroughRoute[] = [];
  readonly #serving = new Set<Entry<unknown>>();

  /** Whether nobody passes the host through. */
  mayTerminate(host: HostPattern): boolean {
    return this.#claims.get(placeOf(host))?.mode !== 'Passthrough';
  }

  /** TLS for the host is to be the gateway's own. @returns the older claim that stands against it, which wins */
  terminate(host: HostPattern, owner: RuleOwner): Claim | undefined {
    // A route without a host takes what others leave.
    if (host.type === 'Any') return undefined;
    return this.#claim({ host, mode: 'Terminate', owner });
  }

  /** The host is to be passed through. @returns the older claim that stands against it, which wins */
  passThrough(host: HostPattern, owner: RuleOwner): Claim | undefined {
    return this.#claim({ host, mode: 'Passthrough', owner });
  }

  add(entry: Entry<unknown>, route: PassthroughRoute): void {
    this.#serving.add(entry);
    this.#routes.push(route);
  }

  /** Whether something of the object is passed through. */
  serves(entry: Entry<unknown>): boolean {
    return this.#serving.has(entry);
  }

  /** Once everything is claimed. */
  build(): { readonly passthrough?: Passthrough } {
    const routes = this.#routes;
    if (routes.length === 0) return {};
    const wildcards = routes.flatMap(({ hosts }) => hosts).flatMap((host) => (host.type === 'Exact' || host.type === 'Any' ? [] : [`.${host.value}`]));
    const terminated: HostPattern[] = [];
    if (wildcards.length > 0) {
      for (const { host, mode } of this.#claims.values()) {
        if (mode === 'Terminate' && host.type !== 'Any' && wildcards.some((suffix) => host.value.endsWith(suffix))) terminated.push(host);
      }
    }
    return { passthrough: { routes, terminated } };
  }

  #claim(claim: Claim): Claim | undefined {
    const place = placeOf(claim.host);
    const older = this.#claims.get(place);
    if (older === undefined) {
      this.#claims.set(place, claim);
      return undefined;
    }
    return older.mode === 'Terminate' && claim.mode === 'Terminate' ? undefined : older;
  }
}

/** An ApiRoute with `tls.mode: Passthrough`, which the schema has bound to one rule with backendRefs alone. */
export function translatePassthrough(entry: Entry<ApiRoute>, { spec }: Pick<ApiRoute, 'spec'>, backends: readonly Backend[], context: RouteContext): void {
  const rule = spec.rules[0] as ApiRoute['spec']['rules'][number];
  const hosts: HostPattern[] = [];
  for (const [index, hostname] of spec.hostnames.entries()) {
    const host = hostPattern(hostname, 'Suffix');
    const owner = { entry, field: `spec.hostnames[${index}]` };
    const older = context.passthroughs.passThrough(host, owner);
    // The same name twice in one list is once.
    if (older?.owner.entry === entry) continue;
    if (older === undefined) hosts.push(host);
    else context.issues.add(entry, 'Accepted', passthroughConflict(owner, host, older));
  }
  tellLimits(entry, 'ApiRoute', context);
  for (const [index, { upstream }] of backends.entries())
    if (upstream !== undefined) tellUnseen(entry, `spec.rules[0].backendRefs[${index}]`, upstream, context);
  if (hosts.length === 0 || isGuarded(entry, 'ApiRoute', 'spec.tls.mode', context)) return;
  const label = ruleLabel(rule, 0);
  const { namespace, name } = entry;
  const idle = rule.timeouts.idle;
  context.passthroughs.add(entry, {
    ...{ id: `ApiRoute/${namespace}/${name}/${label}`, kind: 'ApiRoute', namespace, name, rule: label, hosts },
    // As elsewhere `0s` is none.
    idleTimeout: idle === undefined ? PASSTHROUGH_IDLE : idle || Number.MAX_SAFE_INTEGER,
    backends,
  });
}

/** A host of an Ingress with `ssl-passthrough`; `label` is that of the rule. @returns whether it is passed through */
export function passIngressHost(entry: Entry<Ingress>, host: HostPattern, label: string, backend: () => Backend, context: RouteContext): boolean {
  const owner = { entry, field: `spec.rules[${label}].host` };
  const older = context.passthroughs.passThrough(host, owner);
  if (older?.owner.entry === entry) return true;
  if (older !== undefined) {
    context.issues.add(entry, 'Accepted', passthroughConflict(owner, host, older));
    return false;
  }
  if (isGuarded(entry, 'Ingress', 'metadata.annotations', context)) return true;
  const { namespace, name } = entry;
  context.passthroughs.add(entry, {
    ...{ id: `Ingress/${namespace}/${name}/${label}`, kind: 'Ingress', namespace, name, rule: label, hosts: [host] },
    idleTimeout: PASSTHROUGH_IDLE,
    backends: [backend()],
  });
  return true;
}

/** Routes whose TLS is the gateway's own: hosts that an older object passes through are not theirs over HTTPS, and it is told. */
export function claimTermination(entry: Entry<unknown>, hosts: readonly { readonly host: HostPattern; readonly field: string }[], context: RouteContext): void {
  for (const { host, field } of hosts) {
    const owner = { entry, field };
    const older = context.passthroughs.terminate(host, owner);
    if (older !== undefined && older.owner.entry !== entry) context.issues.add(entry, 'Accepted', terminationConflict(owner, host, older));
  }
}

/** Limits count requests, and there are none to be seen. */
function tellLimits(entry: Entry<unknown>, kind: 'ApiRoute' | 'Ingress', { issues, rateLimits }: RouteContext): void {
  if (!rateLimits.anyFor(kind, entry.namespace, entry.name)) return;
  issues.add(entry, 'told', {
    severity: 'warning',
    reason: 'UnsupportedValue',
    field: 'spec.tls.mode',
    message: 'a RateLimitPolicy targets the route, and has no effect: with TLS passed through the gateway sees no requests',
    hint: 'use tls.mode: Terminate, or take the policy away',
  });
}

/** What a BackendPolicy would choose an endpoint by, where that is part of a request. */
function tellUnseen(entry: Entry<ApiRoute>, field: string, key: UpstreamKey, { issues, upstreams }: RouteContext): void {
  const upstream = upstreams.used.get(key);
  const hash = upstream?.loadBalancer.consistentHash?.type ?? 'SourceIP';
  const unseen = [...(upstream?.sessionAffinity === undefined ? [] : ['sessionAffinity']), ...(hash === 'SourceIP' ? [] : [`consistentHash by ${hash}`])];
  if (unseen.length === 0) return;
  issues.add(entry, 'told', {
    severity: 'warning',
    reason: 'UnsupportedValue',
    field,
    message: `${unseen.join(' and ')} of a BackendPolicy ${unseen.length === 1 ? 'has' : 'have'} no effect: with TLS passed through the gateway sees no requests`,
    hint: 'use loadBalancer.type SourceIP, or tls.mode: Terminate',
  });
}

/** Who calls can't be seen, so nobody gets through: the host is claimed, and led nowhere. */
function isGuarded(entry: Entry<unknown>, kind: 'ApiRoute' | 'Ingress', field: string, { issues, authPolicies }: RouteContext): boolean {
  if (!authPolicies.anyFor(kind, entry.namespace, entry.name)) return false;
  issues.add(entry, 'Accepted', {
    severity: 'error',
    reason: 'UnsupportedValue',
    field,
    message: 'an AuthPolicy targets the route, and with TLS passed through the gateway sees no credentials: connections are closed',
    hint: 'let TLS end at the gateway, or take the policy away',
  });
  return true;
}

function passthroughConflict(owner: RuleOwner, host: HostPattern, older: Claim): Problem {
  const { entry, field } = older.owner;
  const other = `${entry.kind} ${objectKey(entry)} (${field})`;
  return {
    severity: 'warning',
    reason: 'Conflicted',
    field: owner.field,
    message:
      older.mode === 'Passthrough'
        ? `${describeHost(host)} is passed through by ${other} already, which is older and wins`
        : `TLS for ${describeHost(host)} ends at the gateway for ${other}, which is older and wins: the host is not passed through`,
    hint: 'take the host out of one of the two objects; one that is to serve plain HTTP beside a passthrough matches scheme: http',
  };
}

function terminationConflict(owner: RuleOwner, host: HostPattern, older: Claim): Problem {
  const { entry, field } = older.owner;
  return {
    severity: 'warning',
    reason: 'Conflicted',
    field: owner.field,
    message: `TLS for ${describeHost(host)} is passed through by ${entry.kind} ${objectKey(entry)} (${field}), which is older and wins: over HTTPS nothing of this object is served for it`,
    hint: 'take the host out of one of the two objects, or match scheme: http to serve plain HTTP alone',
  };
}
