/**
 * ApiConsumers: what each is known by. There may be a hundred thousand: an edit of one, or of a Secret, looks at those alone that it
 * concerns, and while nothing changed, nothing is done at all.
 */
import { hash } from 'node:crypto';
import { normalSubject } from '../exchange/certificate-subject.ts';
import type { ApiConsumer } from '../resources/api-consumer.ts';
import type { SecretReference } from '../resources/auth/secret-reference.ts';
import { objectKey } from '../resources/entry.ts';
import { entryChanges } from '../resources/entry-changes.ts';
import type { Entries, Entry, ObjectKey, Problem, ResourceSet } from '../resources/resource-set.ts';
import type { Secret } from '../resources/secret.ts';
import type { ConsumerSpec } from '../snapshot/auth.ts';
import { tellChanges } from '../snapshot/map-changes.ts';
import { Sensitive } from '../snapshot/sensitive.ts';
import type { ObjectStatus } from '../snapshot/status.ts';
import { ConsumerClaims, type Want } from './consumer-claims.ts';
import type { Issue, Issues } from './issues.ts';
import { byAge, compareAge } from './order.ts';
import { secretValue } from './secret-values.ts';
import { routeStatus } from './statuses.ts';

export interface ConsumersResult {
  readonly of: Pick<ResourceSet, 'apiConsumers' | 'secrets'>;
  readonly specs: ReadonlyMap<string, ConsumerSpec>;
  /** By age. */
  readonly statuses: readonly ObjectStatus[];
  /** Those that something is wrong with, the oldest first. */
  readonly told: readonly { readonly entry: Entry<ApiConsumer>; readonly issues: readonly Issue[] }[];
}

export function translateConsumers(set: Pick<ResourceSet, 'apiConsumers' | 'secrets'>, issues: Issues, previous: ConsumersResult | undefined): ConsumersResult {
  const { apiConsumers, secrets } = set;
  const isSame = previous !== undefined && previous.of.apiConsumers === apiConsumers && previous.of.secrets === secrets;
  const result = isSame ? previous : translateChanges(apiConsumers, secrets, previous);
  for (const { entry, issues: own } of result.told) for (const { consequence, problem } of own) issues.add(entry, consequence, problem);
  return result;
}

/** What is known of all of them after a translation, to be brought up to date by the next one. */
interface Book {
  readonly made: Map<ObjectKey, Made>;
  readonly claims: ConsumerClaims;
  /** Consumers by the Secrets that they name; most have one of their own, which stands there by itself. */
  readonly bySecret: Map<ObjectKey, ObjectKey | Set<ObjectKey>>;
  /** The oldest first, and the status of each. */
  readonly order: Entry<ApiConsumer>[];
  readonly told: Set<ObjectKey>;
}

/** A book goes on to the result that comes of it; a result without one is translated anew, which comes to the same. */
const books = new WeakMap<ConsumersResult, Book>();

/** What was made of one. */
interface Made {
  readonly entry: Entry<ApiConsumer>;
  readonly wants: readonly Want[];
  readonly spec: ConsumerSpec | undefined;
  readonly issues: readonly Issue[];
  readonly status: ObjectStatus;
}

/** What one would be known by, and what is wrong with it by itself, in the order of its fields. */
type Item = (Want & { readonly field: string; readonly what: string }) | { readonly problem: Problem };

interface Draft {
  readonly entry: Entry<ApiConsumer>;
  readonly items: readonly Item[];
}

function translateChanges(apiConsumers: Entries<ApiConsumer>, secrets: Entries<Secret>, previous: ConsumersResult | undefined): ConsumersResult {
  const known = previous && books.get(previous);
  const book = known ?? { made: new Map(), claims: new ConsumerClaims(), bySecret: new Map(), order: [], told: new Set() };
  if (previous !== undefined) books.delete(previous);
  const before = known === undefined ? undefined : previous;
  const all = before === undefined ? byAge(apiConsumers) : undefined;
  const dirty = before === undefined ? (all ?? []).map(([key]) => key) : changedKeys(book, before, apiConsumers, secrets);
  /** Of those that are gone: undefined. */
  const drafts = new Map<ObjectKey, Draft | undefined>();
  /** Those that want what others wanted, or want now. */
  const rivals = new Set<Entry<ApiConsumer>>();
  for (const key of dirty) {
    const made = book.made.get(key);
    if (made !== undefined) for (const want of made.wants) for (const other of book.claims.remove(made.entry, want)) rivals.add(other);
  }
  for (const key of dirty) {
    const entry = apiConsumers.get(key);
    const draft = entry && { entry, items: itemsOf(entry, secrets) };
    drafts.set(key, draft);
    if (draft !== undefined) for (const item of draft.items) if ('type' in item) for (const other of book.claims.add(draft.entry, item)) rivals.add(other);
  }
  for (const { namespace, name } of rivals) {
    const key = objectKey({ namespace, name });
    const entry = apiConsumers.get(key);
    if (!drafts.has(key)) drafts.set(key, entry && { entry, items: itemsOf(entry, secrets) });
  }
  let specs = previous?.specs as Map<ObjectKey, ConsumerSpec> | undefined;
  const edited: ObjectKey[] = [];
  // The old map is somebody's snapshot.
  const write = (key: ObjectKey): Map<ObjectKey, ConsumerSpec> => {
    edited.push(key);
    if (specs === undefined || specs === previous?.specs) specs = new Map(specs);
    return specs;
  };
  const statuses = before === undefined ? [] : [...before.statuses];
  const moved: { readonly old: Made | undefined; readonly now: Made | undefined }[] = [];
  for (const [key, draft] of drafts) {
    const old = book.made.get(key);
    const now = draft && judge(draft, book.claims, old);
    if (enter(book, statuses, key, old, now)) moved.push({ old, now });
    const given = previous?.specs.get(key);
    const spec = old?.spec ?? given;
    const kept = spec !== undefined && now?.spec !== undefined && sameSpec(spec, now.spec) ? spec : now?.spec;
    if (kept !== undefined && kept !== given) write(key).set(key, kept);
    else if (kept === undefined && spec !== undefined) write(key).delete(key);
  }
  if (moved.length > MOST_PLACED) placeAll(book, statuses, all ?? byAge(apiConsumers));
  else place(book, statuses, moved);
  if (before === undefined) for (const key of previous?.specs.keys() ?? []) if (!apiConsumers.has(key)) write(key).delete(key);
  if (previous !== undefined && specs !== undefined && specs !== previous.specs) tellChanges(previous.specs, specs, edited);
  const told = [...book.told].map((key) => book.made.get(key) as Made).sort((one, other) => compareAge(one.entry, other.entry));
  const result = { of: { apiConsumers, secrets }, specs: specs ?? new Map(), statuses, told };
  books.set(result, book);
  return result;
}

/** Consumers that changed, and those that name a Secret that did. */
function changedKeys(book: Book, { of }: ConsumersResult, apiConsumers: Entries<ApiConsumer>, secrets: Entries<Secret>): Set<ObjectKey> {
  const keys = new Set(entryChanges(of.apiConsumers, apiConsumers).map(({ key }) => key));
  for (const { key } of entryChanges(of.secrets, secrets)) for (const consumer of namingSecret(book, key)) keys.add(consumer);
  return keys;
}

function namingSecret({ bySecret }: Book, secret: ObjectKey): Iterable<ObjectKey> {
  const naming = bySecret.get(secret);
  return naming === undefined ? [] : typeof naming === 'string' ? [naming] : naming;
}

/**
 * Brings the book up to date with one consumer.
 * @param statuses in the order of `book.order`
 * @returns whether it has no place there yet, or its old one still
 */
function enter(book: Book, statuses: ObjectStatus[], key: ObjectKey, old: Made | undefined, now: Made | undefined): boolean {
  if (old?.entry !== now?.entry) {
    for (const secret of secretsOf(old?.entry)) {
      const naming = book.bySecret.get(secret);
      if (typeof naming === 'object') naming.delete(key);
      if (naming === key || (typeof naming === 'object' && naming.size === 0)) book.bySecret.delete(secret);
    }
    for (const secret of secretsOf(now?.entry)) {
      const naming = book.bySecret.get(secret);
      if (naming === undefined) book.bySecret.set(secret, key);
      else if (typeof naming === 'object') naming.add(key);
      else if (naming !== key) book.bySecret.set(secret, new Set([naming, key]));
    }
  }
  if (now === undefined) book.made.delete(key);
  else book.made.set(key, now);
  if (now !== undefined && now.issues.length > 0) book.told.add(key);
  else book.told.delete(key);
  if (old === undefined || now === undefined || old.entry.age !== now.entry.age) return old !== now;
  const place = placeOf(book.order, old.entry);
  book.order[place] = now.entry;
  statuses[place] = now.status;
  return false;
}

/** Beyond these, all are put in order anew: each by itself costs a look at a list of all. */
const MOST_PLACED = 64;

/** @param all by age */
function placeAll({ order, made }: Book, statuses: ObjectStatus[], all: readonly (readonly [ObjectKey, Entry<ApiConsumer>])[]): void {
  order.length = 0;
  statuses.length = 0;
  for (const [key, entry] of all) {
    order.push(entry);
    statuses.push((made.get(key) as Made).status);
  }
}

function place({ order }: Book, statuses: ObjectStatus[], moved: readonly { readonly old: Made | undefined; readonly now: Made | undefined }[]): void {
  for (const { old } of moved) {
    if (old === undefined) continue;
    const at = placeOf(order, old.entry);
    order.splice(at, 1);
    statuses.splice(at, 1);
  }
  for (const { now } of moved) {
    if (now === undefined) continue;
    const at = placeOf(order, now.entry);
    order.splice(at, 0, now.entry);
    statuses.splice(at, 0, now.status);
  }
}

/** Where an entry of that age and name is, or would be. */
function placeOf(order: readonly Entry<ApiConsumer>[], entry: Entry<ApiConsumer>): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareAge(order[middle] as Entry<ApiConsumer>, entry) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** One of them may be there more than once. */
function secretsOf(entry: Entry<ApiConsumer> | undefined): readonly ObjectKey[] {
  return entry?.object?.spec.apiKeys.map(({ secretRef }) => `${entry.namespace}/${secretRef.name}`) ?? [];
}

function itemsOf(entry: Entry<ApiConsumer>, secrets: Entries<Secret>): Item[] {
  if (entry.object === undefined) return [];
  const { apiKeys, jwt, basicUsers, certificateSubjects } = entry.object.spec;
  return [
    ...apiKeys.map(({ secretRef }, index): Item => {
      const field = `spec.apiKeys[${index}].secretRef`;
      const found = secretValue(secrets, entry.namespace, secretRef, field, 'the key is not known');
      if ('problem' in found) return found;
      const digest = keyDigest(found.value);
      // Who sends an empty header, or a parameter without a value, would be the consumer.
      return digest === undefined ? { problem: emptyKey(entry, secretRef, field) } : { type: 'key', value: digest, field: `${field}.key`, what: 'the API key' };
    }),
    ...(jwt === undefined ? [] : [{ type: 'jwt', value: `${jwt.claim}\n${jwt.value}`, field: 'spec.jwt', what: `the claim ${jwt.claim}` } as const]),
    ...basicUsers.map((user, index): Item => ({ type: 'user', value: user, field: `spec.basicUsers[${index}]`, what: `the user ${JSON.stringify(user)}` })),
    ...certificateSubjects.map(
      (subject, index): Item => ({ type: 'subject', value: normalSubject(subject), field: `spec.certificateSubjects[${index}]`, what: 'the subject' }),
    ),
  ];
}

/** @param claims with what it wants among them */
function judge({ entry, items }: Draft, claims: ConsumerClaims, before: Made | undefined): Made {
  const wants: Want[] = [];
  const issues: Issue[] = [];
  const owned: Want[] = [];
  for (const item of items) {
    if ('problem' in item) {
      issues.push({ consequence: 'ResolvedRefs', problem: item.problem });
      continue;
    }
    const want = { type: item.type, value: item.value };
    wants.push(want);
    const owner = claims.owner(entry.namespace, want) as Entry<ApiConsumer>;
    if (owner === entry) owned.push(want);
    else issues.push({ consequence: 'ResolvedRefs', problem: taken(item, owner) });
  }
  const isSame = before?.entry === entry && before.issues.length === 0 && issues.length === 0;
  const status = isSame ? before.status : routeStatus(entry, issues, entry.object !== undefined);
  return { entry, wants, spec: specOf(entry, owned), issues, status };
}

function specOf({ namespace, name, object }: Entry<ApiConsumer>, owned: readonly Want[]): ConsumerSpec | undefined {
  if (object === undefined) return undefined;
  const { groups, jwt } = object.spec;
  const values = (type: Want['type']): string[] => owned.filter((want) => want.type === type).map(({ value }) => value);
  return {
    ...{ namespace, name, groups },
    keyDigests: new Sensitive([...new Set(values('key'))].join('')),
    ...(jwt !== undefined && values('jwt').length > 0 ? { jwt } : {}),
    basicUsers: values('user'),
    certificateSubjects: values('subject'),
  };
}

/** A line break at the end is that of the file which the key was read from; no header could carry it. @returns undefined for a key of nothing but blanks */
function keyDigest(key: Sensitive): string | undefined {
  const text = key.reveal().replace(/\r?\n$/, '');
  return text.trim() === '' ? undefined : hash('sha256', Buffer.from(text, 'latin1'), 'hex');
}

function emptyKey({ namespace }: Entry<unknown>, { name, key }: SecretReference, field: string): Problem {
  return {
    severity: 'error',
    reason: 'InvalidSecretRef',
    field: `${field}.key`,
    message: `${JSON.stringify(key)} of Secret ${namespace}/${name} is nothing but blanks: the key is not known`,
    hint: `put the value under ${key}`,
  };
}

function taken({ field, what }: { readonly field: string; readonly what: string }, older: Entry<ApiConsumer>): Problem {
  return {
    severity: 'warning',
    reason: 'Conflicted',
    field,
    message: `${what} is that of ApiConsumer ${objectKey(older)}, which is older and keeps it`,
    hint: 'give each consumer its own',
  };
}

function sameSpec({ keyDigests: oneKeys, ...one }: ConsumerSpec, { keyDigests: otherKeys, ...other }: ConsumerSpec): boolean {
  return oneKeys.equals(otherKeys) && JSON.stringify(one) === JSON.stringify(other);
}
