/** What the translations of Ingress and ApiRoute share. */
import type { ApiRouteRule } from '../resources/api-route.ts';
import { objectKey } from '../resources/entry.ts';
import type { Entry, Problem, ResourceSet } from '../resources/resource-set.ts';
import type { HostPattern } from '../snapshot/match.ts';
import type { Route } from '../snapshot/route.ts';
import { describeHost } from '../snapshot/words.ts';
import type { AuthPolicies } from './auth-policies.ts';
import type { Certificates } from './certificates.ts';
import type { ClientValidations } from './client-validation.ts';
import type { ClaimKey, Claims } from './conflicts.ts';
import type { Canaries } from './ingress-canary.ts';
import type { Issues } from './issues.ts';
import type { Passthroughs } from './passthrough.ts';
import type { RateLimits } from './rate-limits.ts';
import type { Upstreams } from './services.ts';
import type { SessionHosts } from './session-hosts.ts';

/** A route without its rank, which comes from its place in the list. */
export type RouteDraft = Omit<Route, 'rank'>;

/** Whose rule it is, and where in the object. */
export interface RuleOwner {
  readonly entry: Entry<unknown>;
  readonly field: string;
}

/** A host and match that a rule has claimed, and has. */
export interface Claimed {
  readonly key: ClaimKey;
  readonly owner: RuleOwner;
}

/** What objects are translated with; one for a whole set. Objects go through it in order of age. */
export interface RouteContext {
  readonly issues: Issues;
  readonly upstreams: Upstreams;
  readonly rateLimits: RateLimits;
  readonly authPolicies: AuthPolicies;
  readonly sessionHosts: SessionHosts;
  readonly certificates: Certificates;
  readonly clientValidations: ClientValidations;
  readonly claims: Claims<RuleOwner>;
  readonly canaries: Canaries;
  readonly passthroughs: Passthroughs;
  readonly configMaps: ResourceSet['configMaps'];
}

/** What policies call the default backend of an Ingress. Rules go by their index, so that nothing else bears this name. */
export const DEFAULT_SECTION = 'default';

/** What policies, metrics and logs call a rule: its name, else its index. */
export function ruleLabel(rule: Pick<ApiRouteRule, 'name'>, index: number): string {
  return rule.name ?? String(index);
}

/** @param what the path or match that both have */
export function conflict(owner: RuleOwner, older: RuleOwner, host: HostPattern, what: string): Problem {
  const same = older.entry === owner.entry;
  const other = `${older.entry.kind} ${objectKey(older.entry)}`;
  return {
    severity: 'warning',
    reason: 'Conflicted',
    field: owner.field,
    message: same
      ? `${what} on ${describeHost(host)} is there already, in ${older.field}, which wins`
      : `${what} on ${describeHost(host)} belongs to ${other} (${older.field}), which is older and wins`,
    hint: same ? 'leave one of them out' : 'change the host or the match, or take the rule out of one of the two objects',
  };
}

export function unreachablePath(field: string, value: string): Problem {
  return {
    severity: 'error',
    reason: 'Invalid',
    field,
    message: `no request can have the path ${JSON.stringify(value.slice(0, 80))}`,
    hint: 'leave out ?, #, backslashes, encoded slashes, and % that escape nothing',
  };
}
