/** ApiRoutes and Ingresses as targets of policies. */
import type { ApiRoute } from '../resources/api-route.ts';
import type { ClassOwnership } from '../resources/classes.ts';
import type { Ingress } from '../resources/ingress.ts';
import type { Entry, Problem, ResourceSet } from '../resources/resource-set.ts';
import { isCanary } from './ingress-canary.ts';
import { type PolicyTarget, targetNotFound } from './policy-targets.ts';
import { ruleLabel } from './routes.ts';

/** What a rule of a route, or all of it, is called by policies: `Kind/namespace/name`. */
export function routeKey(kind: 'ApiRoute' | 'Ingress', namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}

/** @returns why a policy of that namespace can't have this target; undefined where it can */
export function judgeRouteTarget(
  { apiRoutes, ingresses }: Pick<ResourceSet, 'apiRoutes' | 'ingresses'>,
  classes: ClassOwnership,
  namespace: string,
  target: PolicyTarget,
  field: string,
): Problem | undefined {
  const key = `${namespace}/${target.name}`;
  return target.kind === 'ApiRoute'
    ? judgeTarget(apiRoutes.get(key), (route) => lookAtApiRoute(route, classes), namespace, target, field)
    : judgeTarget(ingresses.get(key), (ingress) => lookAtIngress(ingress, classes), namespace, target, field);
}

/** What there is to know of the object that a policy names. */
interface Target {
  readonly isOurs: boolean;
  /** It has no routes of its own, but a share of another one's. */
  readonly isAside?: boolean;
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
  const { isOurs, isAside, hasSection, sectionHint } = look(entry.object);
  if (!isOurs) return targetNotFound(`${field}.name`, `${what} is of an ingress class that is not ours`, `name an ${kind} that Tidegate serves`);
  if (isAside)
    return targetNotFound(`${field}.name`, `${what} is a canary, which has the policies of the Ingress beside it and none of its own`, 'name that Ingress');
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
    isAside: isCanary(ingress),
    hasSection: (name) => ingress.spec.rules.some((_rule, index) => String(index) === name),
    sectionHint: 'rules of an Ingress have no names: leave sectionName out, or write the index of a rule',
  };
}
