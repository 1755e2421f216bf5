/** RateLimitPolicies: which limits apply to each rule, their names in headers, and whose buckets they share. */
import type { ApiRoute } from '../resources/api-route.ts';
import type { ClassOwnership } from '../resources/classes.ts';
import type { Ingress } from '../resources/ingress.ts';
import type { RateLimit, RateLimitPolicy } from '../resources/rate-limit-policy.ts';
import type { Entry, Problem, ResourceSet } from '../resources/resource-set.ts';
import type { Limit } from '../snapshot/snapshot.ts';
import type { Issues } from './issues.ts';
import { type Attachments, attachPolicies, type PolicyTarget, targetNotFound } from './policy-targets.ts';
import { ruleLabel } from './routes.ts';

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

  constructor(set: ResourceSet, classes: ClassOwnership, issues: Issues) {
    this.attachments = attachPolicies(set.rateLimitPolicies, issues, (entry, policy, target, field) =>
      this.#attach(set, classes, entry, policy, target, field),
    );
  }

  /** Whether a policy is in force on the route, or on any rule of it. */
  anyFor(kind: 'ApiRoute' | 'Ingress', namespace: string, name: string): boolean {
    return this.#applied.size > 0 && this.#applied.has(`${kind}/${namespace}/${name}`);
  }

  /**
   * @param rule its label: the name, else the index
   * @returns limits of the whole route and of the rule, the oldest policy's first; undefined when there are none
   */
  limits(kind: 'ApiRoute' | 'Ingress', namespace: string, name: string, rule: string): readonly Limit[] | undefined {
    const target = `${kind}/${namespace}/${name}`;
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
    const name = `${namespace}/${target.name}`;
    const problem =
      target.kind === 'ApiRoute'
        ? judgeTarget(set.apiRoutes.get(name), (route) => lookAtApiRoute(route, classes), namespace, target, field)
        : judgeTarget(set.ingresses.get(name), (ingress) => lookAtIngress(ingress, classes), namespace, target, field);
    if (problem !== undefined) return problem;
    const key = `${target.kind}/${name}`;
    const list = this.#applied.get(key);
    const applied = { entry, policy, target: key, section: target.sectionName };
    if (list === undefined) this.#applied.set(key, [applied]);
    else list.push(applied);
    return undefined;
  }
}

/** What there is to know of the object that a policy names. */
interface Target {
  readonly isOurs: boolean;
  /** Whether a policy's `sectionName` may be this. */
  hasSection(name: string): boolean;
  /** What would be right where it has not. */
  readonly sectionHint: string;
}

function judgeTarget<T>(entry: Entry<T> | undefined, look: (object: T) => Target, namespace: string, target: PolicyTarget, field: string): Problem | undefined {
  const { kind, name, sectionName } = target;
  const what = `${kind} ${namespace}/${name}`;
  if (entry === undefined) return targetNotFound(`${field}.name`, `${what} does not exist`, `name an ${kind} of the same namespace`);
  // One that never was good is there all the same, and tells of its own trouble.
  if (entry.object === undefined) return undefined;
  const { isOurs, hasSection, sectionHint } = look(entry.object);
  if (!isOurs) return targetNotFound(`${field}.name`, `${what} is of an ingress class that is not ours`, `name an ${kind} that Tidegate serves`);
  if (sectionName === undefined || hasSection(sectionName)) return undefined;
  return targetNotFound(`${field}.sectionName`, `${what} has no rule ${JSON.stringify(sectionName)}`, sectionHint);
}

function lookAtApiRoute(route: ApiRoute, classes: ClassOwnership): Target {
  const { rules } = route.spec;
  const named = rules.flatMap(({ name }) => (name === undefined ? [] : [name])).slice(0, 10);
  return {
    isOurs: classes.ownsApiRoute(route),
    hasSection: (name) => rules.some((rule, index) => ruleLabel(rule, index) === name),
    sectionHint: named.length === 0 ? 'its rules have no names: give the rule a name, or leave sectionName out' : `name one of its rules: ${named.join(', ')}`,
  };
}

function lookAtIngress(ingress: Ingress, classes: ClassOwnership): Target {
  return {
    isOurs: classes.ownsIngress(ingress),
    hasSection: (name) => ingress.spec.rules.some((_rule, index) => String(index) === name),
    sectionHint: 'rules of an Ingress have no names: leave sectionName out, or write the index of a rule',
  };
}

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
  return drafts.map(({ applied: { entry, target, section }, limit, place, name }) => {
    const { key, algorithm, requests, period, calendar, burst, mode } = limit;
    // Where two limits of one answer share a name, the policy's name goes before it with a dot (api.md, "Limits").
    const unique = takeName(taken, uses.get(name) === 1 ? name : `${entry.name}.${name}`);
    const identity = [
      `${entry.namespace}/${entry.name}`,
      target,
      section ?? null,
      limit.name ?? place,
      algorithm,
      calendar ?? period,
      key.map((part) => [part.type, part.name ?? null]),
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
      mode,
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
