/** Conditions as they should be beside those that an object carries (metav1.Condition, Gateway API's PolicyAncestorStatus). */
import type { Condition, ObjectStatus } from '../snapshot/status.ts';

/** A condition as an object carries it. */
export interface StoredCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  /** RFC 3339, whole seconds. */
  readonly lastTransitionTime: string;
  readonly observedGeneration?: number;
}

export type Ancestor = NonNullable<ObjectStatus['ancestors']>[number];

export interface StoredAncestor {
  readonly ancestorRef: Ancestor['ancestorRef'];
  readonly controllerName: string;
  readonly conditions?: readonly StoredCondition[];
}

/** The types that are ours to write; others beside them are somebody else's. */
const OUR_TYPES: ReadonlySet<string> = new Set(['Accepted', 'ResolvedRefs', 'Programmed'] satisfies Condition['type'][]);

/** Entries in `status.ancestors`, by Gateway API's and our own schema. */
const MOST_ANCESTORS = 16;
/** Characters of a condition's message, by the schema. */
const MOST_MESSAGE = 32_768;

/** What an object's status tells first of what is wrong with it. */
export interface Failing {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

/** The first of Accepted and ResolvedRefs that does not hold; undefined for an object that is good. */
export function failingOf(conditions: readonly (Condition | StoredCondition)[]): Failing | undefined {
  for (const type of ['Accepted', 'ResolvedRefs']) {
    const condition = conditions.find((one) => one.type === type);
    if (condition?.status === 'False') return { type, reason: condition.reason, message: condition.message };
  }
  return undefined;
}

/**
 * @param now RFC 3339, for conditions that change now
 * @returns the conditions as they are to be stored, in the given order; `lastTransitionTime` is the old one where the status
 *   stays the same
 */
export function mergeConditions(desired: readonly Condition[], stored: readonly StoredCondition[], now: string): StoredCondition[] {
  return desired.map((condition) => {
    const before = stored.find((one) => one.type === condition.type);
    const message = condition.message.length > MOST_MESSAGE ? `${condition.message.slice(0, MOST_MESSAGE - 3)}...` : condition.message;
    return { ...condition, message, lastTransitionTime: before?.status === condition.status ? before.lastTransitionTime : now };
  });
}

/** Whether the conditions of our types are those of `merged`, in whatever order. */
export function sameConditions(merged: readonly StoredCondition[], stored: readonly StoredCondition[]): boolean {
  const ours = ourConditions(stored);
  return ours.length === merged.length && merged.every((condition) => ours.some((one) => sameCondition(one, condition)));
}

/** Those of the types that are ours to write. */
export function ourConditions(stored: readonly StoredCondition[]): StoredCondition[] {
  return stored.filter(({ type }) => OUR_TYPES.has(type));
}

function sameCondition(one: StoredCondition, other: StoredCondition): boolean {
  return (
    one.type === other.type &&
    one.status === other.status &&
    one.reason === other.reason &&
    one.message === other.message &&
    one.observedGeneration === other.observedGeneration
  );
}

/**
 * The list is one value to the API server, and several controllers write into it: others' entries stay as they are, before ours.
 * @returns the whole list. When it is full, the last of ours are left out, as Gateway API wants
 */
export function mergeAncestors(desired: readonly Ancestor[], stored: readonly StoredAncestor[], controllerName: string, now: string): StoredAncestor[] {
  const others = othersAncestors(stored, controllerName);
  const ours = desired.map((ancestor) => {
    const before = stored.find((one) => one.controllerName === controllerName && sameRef(one.ancestorRef, ancestor.ancestorRef));
    return { ...ancestor, conditions: mergeConditions(ancestor.conditions, before?.conditions ?? [], now) };
  });
  return [...others, ...ours.slice(0, Math.max(0, MOST_ANCESTORS - others.length))];
}

/** Entries that another controller wrote. */
export function othersAncestors(stored: readonly StoredAncestor[], controllerName: string): StoredAncestor[] {
  return stored.filter((one) => one.controllerName !== controllerName);
}

export function sameAncestors(merged: readonly StoredAncestor[], stored: readonly StoredAncestor[], controllerName: string): boolean {
  const [wanted, have] = [merged, stored].map((list) => list.filter((one) => one.controllerName === controllerName)) as [StoredAncestor[], StoredAncestor[]];
  return (
    wanted.length === have.length &&
    wanted.every((one) => have.some((other) => sameRef(one.ancestorRef, other.ancestorRef) && sameConditions(one.conditions ?? [], other.conditions ?? [])))
  );
}

function sameRef(one: Ancestor['ancestorRef'], other: Ancestor['ancestorRef']): boolean {
  const fields = ['group', 'kind', 'namespace', 'name', 'sectionName'] as const;
  return fields.every((field) => (one[field] ?? '') === (other[field] ?? ''));
}
