/** For tests: consumers as a worker knows them. */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { NO_FETCHER } from '../../fetch/fetcher.ts';
import { NO_DOCUMENTS } from '../../fetch/worker-documents.ts';
import type { AuthContext, AuthDecisions } from '../policy.ts';
import { Secrets } from '../secrets.ts';
import { Consumers, type PublishedConsumer } from './consumers.ts';
import { Introspectors } from './introspection/introspectors.ts';
import { JwtVerifiers } from './jwt/verifiers.ts';
import { NO_REFRESHES } from './oidc/refreshes.ts';
import { Passwords } from './passwords/passwords.ts';

export type ConsumerDraft = Partial<Omit<PublishedConsumer, 'id' | 'keyDigests'>> & { readonly name: string; readonly keys?: readonly string[] };

/** @param keys characters are bytes */
export function publishedConsumer({ namespace = 'shop', name, keys = [], ...rest }: ConsumerDraft): PublishedConsumer {
  const keyDigests = keys.map((key) => hash('sha256', Buffer.from(key, 'latin1'), 'buffer').toString('latin1')).join('');
  return { id: `${namespace}/${name}`, namespace, name, groups: [], basicUsers: [], certificateSubjects: [], ...rest, keyDigests };
}

/** In namespace `shop`: `acme` in group gold, with the keys `key-of-acme` and `next-key-of-acme`, and `globex` with `key-of-globex`. */
const DRAFTS: readonly ConsumerDraft[] = [
  { name: 'acme', groups: ['gold'], keys: ['key-of-acme', 'next-key-of-acme'], basicUsers: ['alice'], certificateSubjects: ['CN=acme,O=Acme'] },
  { name: 'globex', keys: ['key-of-globex'] },
];

export interface CountedAuth extends AuthContext {
  /** By policy and method. */
  readonly counts: ReadonlyMap<string, AuthDecisions>;
}

export function knownConsumers(drafts: readonly ConsumerDraft[] = DRAFTS): CountedAuth {
  const consumers = new Consumers();
  consumers.put(drafts.map(publishedConsumer));
  const counts = new Map<string, AuthDecisions>();
  const decisions = (policy: string, method: string): AuthDecisions => {
    const key = `${policy} ${method}`;
    const known = counts.get(key) ?? { allowed: 0, refused: 0, failed: 0 };
    counts.set(key, known);
    return known;
  };
  const passwords = new Passwords((message) => assert.fail(message));
  const secrets = new Secrets();
  return {
    consumers,
    passwords,
    jwt: new JwtVerifiers(NO_DOCUMENTS, secrets),
    introspectors: new Introspectors(NO_FETCHER, secrets),
    decisions,
    counts,
    refreshes: NO_REFRESHES,
    podSecret: new Uint8Array(32),
    log: () => {},
  };
}
