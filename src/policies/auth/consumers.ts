/** The ApiConsumers as a worker knows them: one table for all policies, changed in place. */
import { DigestTable } from './digest-table.ts';

/** An ApiConsumer on its way to a worker. */
export interface PublishedConsumer {
  /** `namespace/name`. */
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly groups: readonly string[];
  /** SHA-256 of each API key, one after the other: 32 characters each, a character for a byte. Small arrays of bytes would be five times as large. */
  readonly keyDigests: string;
  readonly jwt?: { readonly claim: string; readonly value: string };
  readonly basicUsers: readonly string[];
  readonly certificateSubjects: readonly string[];
}

export interface Consumer {
  readonly name: string;
  readonly groups: readonly string[];
}

const NONE: readonly string[] = [];

/** One consumer, and by what it is found. Most have nothing but a key. */
interface Known extends Consumer {
  readonly namespace: string;
  readonly keyDigests: string;
  readonly jwt: PublishedConsumer['jwt'];
  readonly basicUsers: readonly string[];
  readonly certificateSubjects: readonly string[];
}

/** Those of one namespace: policies know no others. */
class Namespace {
  readonly keys = new DigestTable();
  readonly users = new Map<string, Known>();
  readonly subjects = new Map<string, Known>();
  /** By claim and value. */
  readonly claims = new Map<string, Map<string, Known>>();
}

export class Consumers {
  readonly #namespaces = new Map<string, Namespace>();
  /** Places of consumers in `#known`, by `namespace/name`. */
  readonly #places = new Map<string, number>();
  readonly #known: (Known | undefined)[] = [];
  readonly #free: number[] = [];
  /** Groups are the same for many. */
  readonly #groups = new Map<string, readonly string[]>();
  #version = 0;

  /** Another one whenever any consumer has changed: what was found out before may be otherwise now. */
  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#places.size;
  }

  /** Each is new, or takes the place of the one by the same id. */
  put(consumers: readonly PublishedConsumer[]): void {
    this.remove(consumers.map(({ id }) => id));
    for (const { id, namespace, name, groups, keyDigests, jwt, basicUsers, certificateSubjects } of consumers) {
      const known: Known = {
        namespace,
        name,
        groups: this.#shared(groups),
        keyDigests,
        jwt,
        basicUsers: basicUsers.length === 0 ? NONE : basicUsers,
        certificateSubjects: certificateSubjects.length === 0 ? NONE : certificateSubjects,
      };
      const place = this.#free.pop() ?? this.#known.length;
      this.#known[place] = known;
      this.#places.set(id, place);
      const within = this.#namespace(namespace);
      for (const digest of digestsOf(known)) within.keys.set(digest, place);
      for (const user of basicUsers) within.users.set(user, known);
      for (const subject of certificateSubjects) within.subjects.set(subject, known);
      if (jwt !== undefined) {
        let values = within.claims.get(jwt.claim);
        if (values === undefined) {
          values = new Map();
          within.claims.set(jwt.claim, values);
        }
        values.set(jwt.value, known);
      }
    }
  }

  /** @param ids `namespace/name` */
  remove(ids: readonly string[]): void {
    if (ids.length === 0) return;
    this.#version++;
    for (const id of ids) {
      const place = this.#places.get(id);
      const known = place === undefined ? undefined : this.#known[place];
      if (place === undefined || known === undefined) continue;
      this.#places.delete(id);
      this.#known[place] = undefined;
      this.#free.push(place);
      const within = this.#namespace(known.namespace);
      for (const digest of digestsOf(known)) if (within.keys.get(digest) === place) within.keys.delete(digest);
      for (const user of known.basicUsers) if (within.users.get(user) === known) within.users.delete(user);
      for (const subject of known.certificateSubjects) if (within.subjects.get(subject) === known) within.subjects.delete(subject);
      const values = known.jwt === undefined ? undefined : within.claims.get(known.jwt.claim);
      if (known.jwt === undefined || values?.get(known.jwt.value) !== known) continue;
      values.delete(known.jwt.value);
      if (values.size === 0) within.claims.delete(known.jwt.claim);
    }
  }

  /** Whose API key has this SHA-256 digest (32 bytes). */
  byKey(namespace: string, digest: Buffer): Consumer | undefined {
    const place = this.#namespaces.get(namespace)?.keys.get(digest) ?? -1;
    return place < 0 ? undefined : this.#known[place];
  }

  byUser(namespace: string, user: string): Consumer | undefined {
    return this.#namespaces.get(namespace)?.users.get(user);
  }

  /** @param subject as RFC 4514 writes it */
  bySubject(namespace: string, subject: string): Consumer | undefined {
    return this.#namespaces.get(namespace)?.subjects.get(subject);
  }

  /** By a token's claims. Of several that fit, the one whose claim was named first; one claim is the rule. */
  byClaims(namespace: string, claims: Readonly<Record<string, unknown>>): Consumer | undefined {
    const within = this.#namespaces.get(namespace);
    if (within === undefined) return undefined;
    for (const [claim, values] of within.claims) {
      if (!Object.hasOwn(claims, claim)) continue;
      const value = claims[claim];
      for (const one of Array.isArray(value) ? value : [value]) {
        const text = typeof one === 'string' ? one : typeof one === 'number' || typeof one === 'boolean' ? String(one) : undefined;
        const found = text === undefined ? undefined : values.get(text);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  #namespace(name: string): Namespace {
    let namespace = this.#namespaces.get(name);
    if (namespace === undefined) {
      namespace = new Namespace();
      this.#namespaces.set(name, namespace);
    }
    return namespace;
  }

  #shared(groups: readonly string[]): readonly string[] {
    if (groups.length === 0) return NONE;
    const key = groups.join('\n');
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    this.#groups.set(key, groups);
    return groups;
  }
}

function* digestsOf({ keyDigests }: Known): Generator<Buffer> {
  for (let start = 0; start < keyDigests.length; start += 32) yield Buffer.from(keyDigests.slice(start, start + 32), 'latin1');
}
