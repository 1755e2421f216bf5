/** RateLimitPolicies: which limits apply to each rule, their names in headers, and whose buckets they share. */
import type { ClassOwnership } from '../resources/classes.ts';
import type { RateLimit, RateLimitPolicy } from '../resources/rate-limit-policy.ts';
import type { Entry, Problem, ResourceSet } from '../resources/resource-set.ts';
import { segmentsOfRateLimitPolicy } from '../resources/segment-names.ts';
import type { Limit } from '../snapshot/rate-limit.ts';
import type { Issues } from './issues.ts';
import { tellMissingSegments } from './policy-segments.ts';
import { type Attachments, attachPolicies, type PolicyTarget } from './policy-targets.ts';
import { judgeRouteTarget, routeKey } from './route-targets.ts';

/** A policy in force on a route, or on one rule of it. */
interface Applied {
  readonly entry: Entry<RateLimitPolicy>;
  readonly policy: RateLimitPolicy;
  /** Kind and `namespace/name` of the target. */
  readonly target: string;
  readonly section: string | undefined;
}

export class RateLimits {
  readonly attachments: Attachments;
  readonly #applied = new Map<string, Applied[]>();
  /** Rules to which the same policies apply share one list. */
  readonly #lists = new Map<string, readonly Limit[]>();

  /** @param hasRedis whether replicas can count together; undefined: not known */
  constructor(set: ResourceSet, classes: ClassOwnership, issues: Issues, hasRedis: boolean | undefined) {
    this.attachments = attachPolicies(set.rateLimitPolicies, issues, (entry, policy, target, field) =>
      this.#attach(set, classes, entry, policy, target, field),
    );
    tellMissingSegments(set, this.attachments, segmentsOfRateLimitPolicy, issues);
    if (hasRedis !== false) return;
    for (const entry of set.rateLimitPolicies.values()) {
      if (entry.object !== undefined && isGlobal(entry)) issues.add(entry, 'ResolvedRefs', withoutRedis(entry.object));
    }
  }

  /** Whether a policy is in force on the route, or on any rule of it. */
  anyFor(kind: 'ApiRoute' | 'Ingress', namespace: string, name: string): boolean {
    return this.#applied.size > 0 && this.#applied.has(routeKey(kind, namespace, name));
  }

  /**
   * @param rule its label: the name, else the index
   * @returns limits of the whole route and of the rule, the oldest policy's first; undefined when there are none
   */
  limits(kind: 'ApiRoute' | 'Ingress', namespace: string, name: string, rule: string): readonly Limit[] | undefined {
    const target = routeKey(kind, namespace, name);
    const applied = this.#applied.get(target);
    if (applied === undefined) return undefined;
    const here = applied.filter(({ section }) => section === undefined || section === rule);
    if (here.length === 0) return undefined;
    const key = here.length === applied.length && applied.every(({ section }) => section === undefined) ? target : `${target}/${rule}`;
    let list = this.#lists.get(key);
    if (list === undefined) {
      list = buildLimits(here);
      this.#lists.set(key, list);
    }
    return list;
  }

  #attach(
    set: ResourceSet,
    classes: ClassOwnership,
    entry: Entry<RateLimitPolicy>,
    policy: RateLimitPolicy,
    target: PolicyTarget,
    field: string,
  ): Problem | undefined {
    const { namespace } = entry;
    const problem = judgeRouteTarget(set, classes, namespace, target, field);
    if (problem !== undefined) return problem;
    const key = routeKey(target.kind as 'ApiRoute' | 'Ingress', namespace, target.name);
    const list = this.#applied.get(key);
    const applied = { entry, policy, target: key, section: target.sectionName };
    if (list === undefined) this.#applied.set(key, [applied]);
    else list.push(applied);
    return undefined;
  }
}

/** Whether it refers to the Redis that `--redis` names. */
export function isGlobal({ object }: Entry<RateLimitPolicy>): boolean {
  return object?.spec.scope === 'Global';
}

/** It is in force all the same: as the policy wants it while the store is down. */
function withoutRedis({ spec }: RateLimitPolicy): Problem {
  return {
    severity: 'warning',
    reason: 'UnsupportedValue',
    field: 'spec.scope',
    message: `scope Global needs Redis, and the gateway has none: ${WITHOUT_REDIS[spec.onStoreFailure]}, as onStoreFailure: ${spec.onStoreFailure} says`,
    hint: 'start the gateway with --redis, or write scope: Local',
  };
}

const WITHOUT_REDIS = {
  Allow: 'its limits let every request through',
  Deny: 'every request of its targets is answered with 503',
  Local: 'its limits count in each pod by itself',
} as const;

interface Draft {
  readonly applied: Applied;
  readonly limit: RateLimit;
  readonly place: number;
  readonly name: string;
}

function buildLimits(applied: readonly Applied[]): Limit[] {
  const drafts = applied.flatMap(draftLimits);
  const uses = new Map<string, number>();
  for (const { name } of drafts) uses.set(name, (uses.get(name) ?? 0) + 1);
  const taken = new Set<string>();
  return drafts.map(({ applied: { entry, policy, target, section }, limit, place, name }) => {
    const { scope, onStoreFailure } = policy.spec;
    const { key, algorithm, requests, period, calendar, burst, when, cost, mode } = limit;
    // Where two limits of one answer share a name, the policy's name goes before it with a dot (api.md, "Limits").
    const unique = takeName(taken, uses.get(name) === 1 ? name : `${entry.name}.${name}`);
    const identity = [
      `${entry.namespace}/${entry.name}`,
      target,
      section ?? null,
      limit.name ?? place,
      algorithm,
      calendar ?? period,
      key.map((part) => [part.type, part.name ?? part.expression ?? null]),
    ];
    return {
      name: unique,
      id: JSON.stringify(identity),
      policy: `${entry.namespace}/${entry.name}`,
      algorithm,
      requests,
      period,
      ...(calendar === undefined ? {} : { calendar }),
      burst,
      key,
      ...(when === undefined ? {} : { when }),
      ...(cost === undefined ? {} : { cost }),
      mode,
      ...(scope === 'Global' && { onStoreFailure }),
    };
  });
}

/** A limit without a name takes the policy's, later ones with -2, -3 (api.md, "Limits"). */
function draftLimits(applied: Applied): Draft[] {
  let unnamed = 0;
  return applied.policy.spec.limits.map((limit, place) => {
    if (limit.name !== undefined) return { applied, limit, place, name: limit.name };
    unnamed++;
    return { applied, limit, place, name: unnamed === 1 ? applied.entry.name : `${applied.entry.name}-${unnamed}` };
  });
}

/** Still the same where a policy is on a route and on its rule as well: then the later one is counted up. */
function takeName(taken: Set<string>, name: string): string {
  let unique = name;
  for (let count = 2; taken.has(unique); count++) unique = `${name}-${count}`;
  taken.add(unique);
  return unique;
}
