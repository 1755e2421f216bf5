/** Hosts on which browsers keep sessions of OpenID logins. What is sealed there for the gateway is nothing for another route's backend. */
import type { ResourceSet } from '../resources/resource-set.ts';
import type { AuthSpec } from '../snapshot/auth.ts';
import type { RouteFilters } from '../snapshot/filters.ts';
import type { HostPattern } from '../snapshot/match.ts';
import type { AuthPolicies } from './auth-policies.ts';
import { hostPattern, hostsOverlap } from './hosts-and-paths.ts';
import { DEFAULT_SECTION, ruleLabel } from './routes.ts';

interface SessionHost {
  readonly host: HostPattern;
  readonly cookieName: string;
}

export class SessionHosts {
  /** Those that are one host, by name, and all. */
  readonly #exact = new Map<string, SessionHost[]>();
  readonly #patterns: SessionHost[] = [];
  readonly #all: SessionHost[] = [];

  constructor(set: Pick<ResourceSet, 'apiRoutes' | 'ingresses' | 'authPolicies'>, authPolicies: AuthPolicies) {
    const seen = new Set<string>();
    for (const { namespace, object } of set.authPolicies.values()) {
      if (object?.spec.methods.some(({ oidc }) => oidc !== undefined) !== true) continue;
      for (const { kind, name } of object.spec.targetRefs) {
        const route = `${kind}/${namespace}/${name}`;
        if (seen.has(route)) continue;
        seen.add(route);
        for (const { rule, hosts } of kind === 'Ingress' ? ingressRules(set, namespace, name) : apiRouteRules(set, namespace, name)) {
          const names = cookieNamesOf(authPolicies.filters(kind as 'ApiRoute' | 'Ingress', namespace, name, rule).auth);
          for (const cookieName of names) for (const host of hosts) this.#add({ host, cookieName });
        }
      }
    }
  }

  /** What a route on these hosts is to take away. @param auth its own policy, which sees to its own cookies, and may look for others */
  filter(hosts: readonly HostPattern[], auth: AuthSpec | undefined): Pick<RouteFilters, 'sessionCookies'> {
    if (this.isEmpty) return NOTHING;
    const own = new Set(auth === undefined ? [] : [...cookieNamesOf(auth), ...credentialCookiesOf(auth)]);
    const names = [...new Set(hosts.flatMap((host) => this.#namesOn(host)))].filter((name) => !own.has(name)).sort();
    return names.length === 0 ? NOTHING : { sessionCookies: names };
  }

  get isEmpty(): boolean {
    return this.#all.length === 0;
  }

  /** Equal where `filter` comes to the same for each of the hosts. */
  fingerprint(hosts: readonly HostPattern[]): string {
    return JSON.stringify(hosts.map((host) => this.#namesOn(host).sort()));
  }

  #namesOn(host: HostPattern): string[] {
    const near = host.type === 'Exact' ? [...(this.#exact.get(host.value) ?? []), ...this.#patterns] : this.#all;
    return [...new Set(near.filter((one) => hostsOverlap(one.host, host)).map(({ cookieName }) => cookieName))];
  }

  #add(one: SessionHost): void {
    this.#all.push(one);
    if (one.host.type !== 'Exact') {
      this.#patterns.push(one);
      return;
    }
    const list = this.#exact.get(one.host.value);
    if (list === undefined) this.#exact.set(one.host.value, [one]);
    else list.push(one);
  }
}

const NOTHING = {};

interface RuleHosts {
  /** What policies call it. */
  readonly rule: string;
  readonly hosts: readonly HostPattern[];
}

function apiRouteRules({ apiRoutes }: Pick<ResourceSet, 'apiRoutes'>, namespace: string, name: string): RuleHosts[] {
  const spec = apiRoutes.get(`${namespace}/${name}`)?.object?.spec;
  if (spec === undefined) return [];
  const hosts = spec.hostnames.length === 0 ? [hostPattern(undefined, 'Suffix')] : spec.hostnames.map((one) => hostPattern(one, 'Suffix'));
  return spec.rules.map((rule, index) => ({ rule: ruleLabel(rule, index), hosts }));
}

function ingressRules({ ingresses }: Pick<ResourceSet, 'ingresses'>, namespace: string, name: string): RuleHosts[] {
  const spec = ingresses.get(`${namespace}/${name}`)?.object?.spec;
  if (spec === undefined) return [];
  const rules = spec.rules.map(({ host }, index) => ({ rule: String(index), hosts: [hostPattern(host, 'OneLabel')] }));
  const all = rules.length === 0 ? [hostPattern(undefined, 'OneLabel')] : rules.flatMap(({ hosts }) => hosts);
  return [...rules, ...(spec.defaultBackend === undefined ? [] : [{ rule: DEFAULT_SECTION, hosts: all }])];
}

function cookieNamesOf(auth: AuthSpec | undefined): string[] {
  return auth?.methods.flatMap((method) => (method.type === 'oidc' ? [method.cookieName] : [])) ?? [];
}

function credentialCookiesOf({ methods }: AuthSpec): string[] {
  return methods.flatMap((method) => ('from' in method ? method.from.flatMap((source) => (source.type === 'Cookie' ? [source.name] : [])) : []));
}
