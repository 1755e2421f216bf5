/**
 * ApiConsumers: what each is known by. There may be a hundred thousand, so nothing of one is done again that did not change,
 * and while none did, nothing is done at all.
 */
import { createHash } from 'node:crypto';
import { normalSubject } from '../exchange/certificate-subject.ts';
import type { ApiConsumer } from '../resources/api-consumer.ts';
import type { SecretReference } from '../resources/auth/secret-reference.ts';
import { objectKey } from '../resources/entry.ts';
import type { Entries, Entry, Problem, ResourceSet } from '../resources/resource-set.ts';
import type { Secret } from '../resources/secret.ts';
import type { ConsumerSpec } from '../snapshot/auth.ts';
import { Sensitive } from '../snapshot/sensitive.ts';
import type { ObjectStatus } from '../snapshot/status.ts';
import type { Issue, Issues } from './issues.ts';
import { oldestFirst } from './order.ts';
import { secretValue } from './secret-values.ts';
import { routeStatus } from './statuses.ts';

export interface ConsumersResult {
  readonly of: Pick<ResourceSet, 'apiConsumers' | 'secrets'>;
  readonly specs: ReadonlyMap<string, ConsumerSpec>;
  /** By age. */
  readonly statuses: readonly ObjectStatus[];
  readonly made: ReadonlyMap<Entry<ApiConsumer>, Made>;
  /** Those that something is wrong with. */
  readonly told: readonly Entry<ApiConsumer>[];
}

/** What was made of one, and of which Secrets. */
interface Made {
  readonly secrets: readonly (Entry<Secret> | undefined)[];
  readonly spec: ConsumerSpec | undefined;
  readonly issues: readonly Issue[];
  readonly status: ObjectStatus;
}

export function translateConsumers(set: Pick<ResourceSet, 'apiConsumers' | 'secrets'>, issues: Issues, previous: ConsumersResult | undefined): ConsumersResult {
  const { apiConsumers, secrets } = set;
  const isSame = previous !== undefined && previous.of.apiConsumers === apiConsumers && previous.of.secrets === secrets;
  const result = isSame ? previous : translateAll(apiConsumers, secrets, previous);
  for (const entry of result.told) for (const { consequence, problem } of result.made.get(entry)?.issues ?? []) issues.add(entry, consequence, problem);
  return result;
}

function translateAll(apiConsumers: Entries<ApiConsumer>, secrets: Entries<Secret>, previous: ConsumersResult | undefined): ConsumersResult {
  const specs = new Map<string, ConsumerSpec>();
  const made = new Map<Entry<ApiConsumer>, Made>();
  const statuses: ObjectStatus[] = [];
  const told: Entry<ApiConsumer>[] = [];
  const claims = new Claims();
  for (const entry of oldestFirst(apiConsumers)) {
    const before = previous?.made.get(entry);
    const read = (entry.object?.spec.apiKeys ?? []).map(({ secretRef }) => secrets.get(`${entry.namespace}/${secretRef.name}`));
    const next = make(entry, secrets, read, claims, before);
    made.set(entry, next);
    if (next.issues.length > 0) told.push(entry);
    statuses.push(next.status);
    if (next.spec !== undefined) specs.set(objectKey(entry), next.spec);
  }
  const isSame = previous !== undefined && previous.specs.size === specs.size && [...specs].every(([id, spec]) => previous.specs.get(id) === spec);
  return { of: { apiConsumers, secrets }, specs: isSame ? previous.specs : specs, statuses, made, told };
}

/** @param read the Secrets of its keys, as they are now */
function make(entry: Entry<ApiConsumer>, secrets: Entries<Secret>, read: Made['secrets'], claims: Claims, before: Made | undefined): Made {
  const isUnchanged = before !== undefined && before.issues.length === 0 && before.secrets.every((secret, index) => secret === read[index]);
  if (isUnchanged && claims.takeAll(entry, before.spec)) return before;
  const object = entry.object;
  if (object === undefined) return { secrets: read, spec: undefined, issues: [], status: routeStatus(entry, [], false) };
  const issues: Issue[] = [];
  const taken = new Taken(entry, claims, (problem) => void issues.push({ consequence: 'ResolvedRefs', problem }));
  const { groups, apiKeys, jwt, basicUsers, certificateSubjects } = object.spec;
  const digests = new Set<string>();
  for (const [index, { secretRef }] of apiKeys.entries()) {
    const field = `spec.apiKeys[${index}].secretRef`;
    const found = secretValue(secrets, entry.namespace, secretRef, field, 'the key is not known');
    if ('problem' in found) issues.push({ consequence: 'ResolvedRefs', problem: found.problem });
    else {
      const digest = keyDigest(found.value);
      // Who sends an empty header, or a parameter without a value, would be the consumer.
      if (digest === undefined) issues.push({ consequence: 'ResolvedRefs', problem: emptyKey(entry, secretRef, field) });
      else if (taken.isFree('key', digest, `${field}.key`, 'the API key')) digests.add(digest);
    }
  }
  const subjects = certificateSubjects.map(normalSubject);
  const spec: ConsumerSpec = {
    namespace: entry.namespace,
    name: entry.name,
    groups,
    keyDigests: new Sensitive([...digests].join('')),
    ...(jwt !== undefined && taken.isFree('jwt', `${jwt.claim}\n${jwt.value}`, 'spec.jwt', `the claim ${jwt.claim}`) ? { jwt } : {}),
    basicUsers: basicUsers.filter((user, index) => taken.isFree('user', user, `spec.basicUsers[${index}]`, `the user ${JSON.stringify(user)}`)),
    certificateSubjects: subjects.filter((one, index) => taken.isFree('subject', one, `spec.certificateSubjects[${index}]`, 'the subject')),
  };
  const kept = before?.spec !== undefined && sameSpec(before.spec, spec) ? before.spec : spec;
  return { secrets: read, spec: kept, issues, status: routeStatus(entry, issues, true) };
}

/** A line break at the end is that of the file which the key was read from; no header could carry it. @returns undefined for a key of nothing but blanks */
function keyDigest(key: Sensitive): string | undefined {
  const text = key.reveal().replace(/\r?\n$/, '');
  return text.trim() === '' ? undefined : createHash('sha256').update(text, 'latin1').digest('hex');
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

function sameSpec({ keyDigests: oneKeys, ...one }: ConsumerSpec, { keyDigests: otherKeys, ...other }: ConsumerSpec): boolean {
  return oneKeys.equals(otherKeys) && JSON.stringify(one) === JSON.stringify(other);
}

/** Whose each key, name, claim and subject of a namespace is: the oldest consumer's that names it. */
class Claims {
  readonly #owners = new Map<string, Entry<ApiConsumer>>();

  /** @returns the older owner; undefined where it is free, or this one's already */
  take(entry: Entry<ApiConsumer>, type: string, value: string): Entry<ApiConsumer> | undefined {
    const place = `${type} ${entry.namespace} ${value}`;
    const owner = this.#owners.get(place);
    if (owner === undefined) this.#owners.set(place, entry);
    return owner === entry ? undefined : owner;
  }

  /** @returns whether all of it is free, as it was; what is taken before that shows is this one's all the same */
  takeAll(entry: Entry<ApiConsumer>, spec: ConsumerSpec | undefined): boolean {
    if (spec === undefined) return true;
    const digests = spec.keyDigests.reveal();
    for (let start = 0; start < digests.length; start += 64) if (this.take(entry, 'key', digests.slice(start, start + 64)) !== undefined) return false;
    if (spec.jwt !== undefined && this.take(entry, 'jwt', `${spec.jwt.claim}\n${spec.jwt.value}`) !== undefined) return false;
    return (
      spec.basicUsers.every((user) => this.take(entry, 'user', user) === undefined) &&
      spec.certificateSubjects.every((subject) => this.take(entry, 'subject', subject) === undefined)
    );
  }
}

class Taken {
  readonly #entry: Entry<ApiConsumer>;
  readonly #claims: Claims;
  readonly #tell: (problem: Problem) => void;

  constructor(entry: Entry<ApiConsumer>, claims: Claims, tell: (problem: Problem) => void) {
    this.#entry = entry;
    this.#claims = claims;
    this.#tell = tell;
  }

  isFree(type: string, value: string, field: string, what: string): boolean {
    const older = this.#claims.take(this.#entry, type, value);
    if (older === undefined) return true;
    this.#tell({
      severity: 'warning',
      reason: 'Conflicted',
      field,
      message: `${what} is that of ApiConsumer ${objectKey(older)}, which is older and keeps it`,
      hint: 'give each consumer its own',
    });
    return false;
  }
}
