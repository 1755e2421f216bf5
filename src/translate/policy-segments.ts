/** Path segments that expressions of policies name, and that no path of their targets has. */
import type { Entry, ResourceSet } from '../resources/resource-set.ts';
import { type NamedSegment, segmentsOfPath } from '../resources/segment-names.ts';
import type { Issues } from './issues.ts';
import type { Attachment, Attachments } from './policy-targets.ts';
import { ruleLabel } from './routes.ts';

/**
 * Tells each policy of segments that are never there. Where some target has one, nothing is told: a policy may be for routes that differ.
 * @param segmentsOf of a policy; asked once for each
 */
export function tellMissingSegments<T extends object>(
  set: Pick<ResourceSet, 'apiRoutes'>,
  attachments: Attachments,
  segmentsOf: (policy: T) => NamedSegment[],
  issues: Issues,
): void {
  for (const [entry, list] of attachments as ReadonlyMap<Entry<T>, readonly Attachment[]>) {
    const policy = entry.object;
    if (policy === undefined) continue;
    const segments = known(policy, segmentsOf);
    if (segments.length === 0) continue;
    const there = new Set<string>();
    let isTold = false;
    for (const { ancestorRef, problem } of list) {
      if (problem !== undefined) continue;
      isTold = true;
      for (const name of segmentsOfTarget(set, ancestorRef)) there.add(name);
    }
    if (!isTold) continue;
    for (const { name, field } of segments) {
      if (there.has(name)) continue;
      issues.add(entry, 'ResolvedRefs', {
        severity: 'error',
        reason: 'Invalid',
        field,
        message: `no path of the targets has a segment {${name}}: requests that need it are answered with 503`,
        hint: `name it in a path of an ApiRoute, as in /users/{${name}}`,
      });
    }
  }
}

/** Of policies that were looked at before; an edit makes another object. */
const looked = new WeakMap<object, NamedSegment[]>();

function known<T extends object>(policy: T, segmentsOf: (policy: T) => NamedSegment[]): NamedSegment[] {
  let segments = looked.get(policy);
  if (segments === undefined) {
    segments = segmentsOf(policy);
    looked.set(policy, segments);
  }
  return segments;
}

interface Target {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly sectionName?: string;
}

/** Paths of an Ingress name none. */
function segmentsOfTarget({ apiRoutes }: Pick<ResourceSet, 'apiRoutes'>, { kind, namespace, name, sectionName }: Target): string[] {
  const route = kind === 'ApiRoute' ? apiRoutes.get(`${namespace}/${name}`)?.object : undefined;
  const rules = route?.spec.rules.filter((rule, index) => sectionName === undefined || ruleLabel(rule, index) === sectionName) ?? [];
  return rules.flatMap(({ matches }) => matches.flatMap(({ path }) => (path.type === 'RegularExpression' ? [] : [...segmentsOfPath(path.value)])));
}
