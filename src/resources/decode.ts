/**
 * One object as read, into its kind's normal form or a list of what is wrong with it. Everything that can be judged
 * by looking at the object alone is judged here; what needs other objects is for translation.
 */
import type { z } from 'zod';
import { withPatternAllowance } from '../expressions/pattern-size.ts';
import { fieldPath } from './field-path.ts';
import { identify, type Kind } from './kinds.ts';
import { problemsOf } from './problems.ts';
import type { ClosedTarget, Problem } from './resource-set.ts';
import type { Flaw } from './strict-object.ts';

/** Every name that identifies an object, and the object itself where it has no error. */
export interface Decoded {
  /** As written; empty where it is missing. */
  readonly kindName: string;
  /** Absent: of no kind that a ResourceSet has a map for. */
  readonly kind?: Kind;
  /** `default` where a namespaced object names none, empty for cluster-scoped kinds. */
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  readonly creationTimestamp?: string;
  /** Absent where `problems` has an error. */
  readonly object?: unknown;
  /** As `Entry.closes`, where there is no object. */
  readonly closes?: readonly ClosedTarget[];
  readonly problems: readonly Problem[];
}

/**
 * @param raw a document as JSON gives it; not changed
 * @param options.now milliseconds since the epoch, for warnings about what has expired; absent: none of those
 * @returns undefined for an object that is none of ours (a Deployment, say)
 */
export function decode(raw: unknown, options: { readonly now?: number } = {}): Decoded | undefined {
  if (!isMapping(raw)) {
    const what = raw === null || raw === undefined ? 'the document is empty' : `the document is ${Array.isArray(raw) ? 'a list' : 'no mapping'}`;
    return { ...identity('', {}), problems: [problem({ message: `${what}, not an object`, hint: 'write apiVersion, kind, metadata and spec' })] };
  }
  // In Go, and so in Kubernetes, a null is the same as a field that is not there.
  const value = withoutNulls(raw) as Record<string, unknown>;
  const { apiVersion, kind } = value;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string' || apiVersion === '' || kind === '') {
    const field = typeof apiVersion === 'string' && apiVersion !== '' ? 'kind' : 'apiVersion';
    const flaw = { message: `${field} is ${value[field] === undefined ? 'missing' : 'no name'}`, hint: 'every object has apiVersion and kind', path: [field] };
    return { ...identity(typeof kind === 'string' ? kind : '', value), problems: [problem(flaw)] };
  }
  // With items that are a list it is taken apart before; null is what Go writes for a list of none.
  if (apiVersion === 'v1' && kind === 'List' && raw.items !== null) {
    const what = raw.items === undefined ? 'items is missing' : 'items is no list';
    return { ...identity(kind, value), problems: [problem({ message: what, hint: 'write the objects as a list under items', path: ['items'] })] };
  }
  const identified = identify(apiVersion, kind);
  if (identified.type === 'NotOurs') return undefined;
  if (identified.type === 'Rejected') return { ...identity(kind, value), problems: [problem(identified.flaw)] };
  const known = { ...identity(kind, value, identified.kind), kind: identified.kind };
  if (identified.type === 'WrongVersion') return { ...known, problems: [problem(identified.flaw)] };
  return { ...known, ...judge(identified.kind, value, options.now) };
}

type Judged = Pick<Decoded, 'object' | 'closes' | 'problems'>;

/** Never throws: whoever reads an object has others to read, and a check of ours that fails must not take them along. */
export function judge(kind: Kind, value: Readonly<Record<string, unknown>>, now: number | undefined): Judged {
  try {
    return check(kind, value, now);
  } catch (error) {
    const closes = kind.closes?.(value);
    const flaw = {
      message: `the object can not be judged: ${(error as Error).message}`,
      hint: 'this is a fault of Tidegate; please report it with the object',
    };
    return { ...(closes === undefined ? {} : { closes }), problems: [problem(flaw)] };
  }
}

function check(kind: Kind, value: Readonly<Record<string, unknown>>, now: number | undefined): Judged {
  const result = withPatternAllowance(() => kind.schema.safeParse(value));
  if (!result.success) {
    const problems = problemsOf(result.error.issues as z.core.$ZodIssue[], kind.schema, value);
    const closes = kind.closes?.(value);
    return { ...(closes === undefined ? {} : { closes }), problems };
  }
  const warnings = kind.warnings?.(result.data as never, now) ?? [];
  return { object: result.data, problems: warnings.map((flaw) => ({ ...problem(flaw), severity: 'warning' as const })) };
}

function problem(flaw: Flaw): Problem {
  return { severity: 'error', reason: flaw.reason ?? 'Invalid', field: fieldPath(flaw.path ?? []), message: flaw.message, hint: flaw.hint };
}

function identity(kindName: string, value: Readonly<Record<string, unknown>>, kind?: Kind): Pick<Decoded, 'kindName' | 'namespace' | 'name' | 'generation'> {
  const metadata = isMapping(value.metadata) ? value.metadata : {};
  const name = typeof metadata.name === 'string' ? metadata.name : '';
  const namespace = kind?.scope === 'Cluster' ? '' : typeof metadata.namespace === 'string' && metadata.namespace !== '' ? metadata.namespace : 'default';
  const generation = Number.isSafeInteger(metadata.generation) ? (metadata.generation as number) : 0;
  const created = metadata.creationTimestamp;
  return {
    kindName,
    namespace,
    name,
    generation,
    ...(typeof created === 'string' && !Number.isNaN(Date.parse(created)) ? { creationTimestamp: created } : {}),
  };
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value without fields that are null; the same reference where there are none. Nulls in lists stay, and are told. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) {
    let copy: unknown[] | undefined;
    for (const [index, item] of value.entries()) {
      const cleaned = withoutNulls(item);
      if (cleaned !== item) {
        copy ??= [...value];
        copy[index] = cleaned;
      }
    }
    return copy ?? value;
  }
  if (!isMapping(value)) return value;
  let copy: Record<string, unknown> | undefined;
  for (const key of Object.keys(value)) {
    const cleaned = withoutNulls(value[key]);
    if (cleaned === value[key] && cleaned !== null && cleaned !== undefined) continue;
    copy ??= { ...value };
    if (cleaned === null || cleaned === undefined) delete copy[key];
    else Object.defineProperty(copy, key, { value: cleaned, enumerable: true, configurable: true, writable: true });
  }
  return copy ?? value;
}
