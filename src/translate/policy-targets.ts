/** Attaching policies to what their `targetRefs` name (Gateway API GEP-713). */
import { objectKey } from '../resources/entry.ts';
import type { Entries, Entry, Problem } from '../resources/resource-set.ts';
import type { ObjectStatus } from '../snapshot/status.ts';
import type { Issues } from './issues.ts';
import { oldestFirst } from './order.ts';

export interface PolicyTarget {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly sectionName?: string;
}

interface TargetingPolicy {
  readonly spec: { readonly targetRefs: readonly PolicyTarget[] };
}

export type AncestorRef = NonNullable<ObjectStatus['ancestors']>[number]['ancestorRef'];

/** One target of one policy, and why the policy does not apply to it, if it does not. */
export interface Attachment {
  readonly ancestorRef: AncestorRef;
  readonly problem: Problem | undefined;
}

/** Attachments of each policy that has a good version, or closes its targets for want of one. */
export type Attachments = ReadonlyMap<Entry<unknown>, readonly Attachment[]>;

/**
 * Tries each target of each policy, the oldest policy first. A target that a policy names twice counts once.
 * @param attach applies the policy to the target, or says why not
 * @param close the same for a policy that never was good and fails closed
 */
export function attachPolicies<T extends TargetingPolicy>(
  policies: Entries<T>,
  issues: Issues,
  attach: (entry: Entry<T>, policy: T, target: PolicyTarget, field: string) => Problem | undefined,
  close?: (entry: Entry<T>, target: PolicyTarget, field: string) => Problem | undefined,
): Attachments {
  const attachments = new Map<Entry<unknown>, Attachment[]>();
  for (const entry of oldestFirst(policies)) {
    const policy = entry.object;
    const targets = policy?.spec.targetRefs ?? entry.closes;
    if (targets === undefined) continue;
    const list: Attachment[] = [];
    const seen = new Set<string>();
    for (const [index, target] of targets.entries()) {
      const { group, kind, name, sectionName } = target;
      const key = `${kind}/${name}/${sectionName ?? ''}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const field = `spec.targetRefs[${index}]`;
      const problem = policy === undefined ? close?.(entry, target, field) : attach(entry, policy, target, field);
      if (problem !== undefined) issues.add(entry, 'told', problem);
      list.push({ ancestorRef: { group, kind, namespace: entry.namespace, name, ...(sectionName === undefined ? {} : { sectionName }) }, problem });
    }
    attachments.set(entry, list);
  }
  return attachments;
}

export function targetNotFound(field: string, message: string, hint: string, severity: Problem['severity'] = 'warning'): Problem {
  return { severity, reason: 'TargetNotFound', field, message, hint };
}

/** @param older the one that has it @param part what a sectionName of that kind of target names */
export function targetTaken(field: string, older: Entry<unknown>, part: 'rule' | 'port'): Problem {
  return {
    severity: 'warning',
    reason: 'Conflicted',
    field,
    message: `${older.kind} ${objectKey(older)}, which is older, has the same target`,
    hint: `keep one of the two policies, or narrow one to a ${part} with sectionName`,
  };
}
