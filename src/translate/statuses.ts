/** Conditions of each object, as Gateway API has them (api.md, "Statuses" and "in a cluster"). */
import { CONTROLLER_NAME } from '../resources/ingress-class.ts';
import type { Entry, Problem } from '../resources/resource-set.ts';
import type { Condition, ObjectStatus } from '../snapshot/status.ts';
import type { Consequence, Issue } from './issues.ts';
import type { Attachment } from './policy-targets.ts';

/** Problems beyond these are counted, so that a message stays readable (and within the API server's 32 KiB). */
const MOST_TOLD = 8;

/**
 * Status of an Ingress or ApiRoute.
 * @param serves whether the snapshot holds a route of it that is not closed
 */
export function routeStatus(entry: Entry<unknown>, issues: readonly Issue[], serves: boolean): ObjectStatus {
  const invalid = errorsOf(entry);
  const refused = invalid.length > 0 ? invalid : problemsWith(issues, 'Accepted');
  const conditions = [refused.length === 0 ? accepted(entry, 'the object is valid') : failed(entry, 'Accepted', refused)];
  if (entry.object !== undefined) conditions.push(resolved(entry, issues));
  conditions.push(programmed(entry, invalid, refused, serves));
  return { kind: entry.kind, namespace: entry.namespace, name: entry.name, conditions };
}

/**
 * Status of a policy.
 * @param attachments its targets; empty when it never was good
 * @param references issues with what it refers to besides; undefined: it refers to nothing
 */
export function policyStatus(entry: Entry<unknown>, attachments: readonly Attachment[], references?: readonly Issue[]): ObjectStatus {
  const invalid = errorsOf(entry);
  const unattached = attachments.flatMap(({ problem }) => (problem === undefined ? [] : [problem]));
  const applies = attachments.some(({ problem }) => problem === undefined);
  const refused = invalid.length > 0 ? invalid : applies ? [] : unattached;
  const conditions = [
    refused.length === 0
      ? accepted(entry, `the policy applies to ${attachments.length - unattached.length} of ${attachments.length} targets`)
      : failed(entry, 'Accepted', refused),
    ...(references === undefined ? [] : [resolved(entry, references)]),
    programmed(entry, invalid, refused, applies),
  ];
  const ancestors = attachments.map(({ ancestorRef, problem }) => {
    const flaws = invalid.length > 0 ? invalid : problem === undefined ? [] : [problem];
    return {
      ancestorRef,
      controllerName: CONTROLLER_NAME,
      conditions: [flaws.length === 0 ? accepted(entry, 'the policy applies to this target') : failed(entry, 'Accepted', flaws)],
    };
  });
  return { kind: entry.kind, namespace: entry.namespace, name: entry.name, conditions, ancestors };
}

function errorsOf(entry: Entry<unknown>): Problem[] {
  return entry.problems.filter((problem) => problem.severity === 'error');
}

function problemsWith(issues: readonly Issue[], consequence: Consequence): Problem[] {
  return issues.filter((issue) => issue.consequence === consequence).map((issue) => issue.problem);
}

function resolved(entry: Entry<unknown>, issues: readonly Issue[]): Condition {
  const unresolved = problemsWith(issues, 'ResolvedRefs');
  return unresolved.length === 0 ? holds(entry, 'ResolvedRefs', 'every reference leads somewhere') : failed(entry, 'ResolvedRefs', unresolved);
}

function accepted(entry: Entry<unknown>, message: string): Condition {
  return holds(entry, 'Accepted', message);
}

/**
 * @param invalid errors of the newest version
 * @param refused why the newest version is not accepted, or not as a whole
 * @param serves whether something of the object is in force
 */
function programmed(entry: Entry<unknown>, invalid: readonly Problem[], refused: readonly Problem[], serves: boolean): Condition {
  if (entry.object === undefined || (refused.length > 0 && !serves)) {
    const reason = refused[0]?.reason ?? 'Invalid';
    return {
      type: 'Programmed',
      status: 'False',
      reason,
      message: closes(entry) ? 'the policy never was good: what it targets answers 503' : 'nothing of the object is in force, for what Accepted says',
      observedGeneration: entry.generation,
    };
  }
  if (invalid.length > 0) return holds(entry, 'Programmed', 'the last good version is in force');
  return holds(entry, 'Programmed', refused.length === 0 ? 'the object is in force' : 'all of the object but what Accepted names is in force');
}

/** It can't do what it is to guard its targets by, so that nobody gets there. */
function closes({ object, closes: targets = [] }: Entry<unknown>): boolean {
  return object === undefined && targets.length > 0;
}

function holds(entry: Entry<unknown>, type: Condition['type'], message: string): Condition {
  return { type, status: 'True', reason: type, message, observedGeneration: entry.generation };
}

/** The first problem gives the reason. */
function failed(entry: Entry<unknown>, type: Condition['type'], problems: readonly Problem[]): Condition {
  const told = problems.slice(0, MOST_TOLD).map(describeProblem);
  if (problems.length > MOST_TOLD) told.push(`and ${problems.length - MOST_TOLD} more`);
  const reason = problems[0]?.reason ?? 'Invalid';
  return { type, status: 'False', reason, message: told.join(' | '), observedGeneration: entry.generation };
}

/** On one line: field, what is wrong, what would be right. */
export function describeProblem({ field, message, hint }: Problem): string {
  return `${field === '' ? '' : `${field}: `}${message}${hint === '' ? '' : `; ${hint}`}`;
}
