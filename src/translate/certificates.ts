/** Certificates from Secrets, and the server names that they are for. */

import { createHash } from 'node:crypto';
import type { Entries, Entry, Origin, Problem } from '../resources/resource-set.ts';
import type { Secret, TlsPair } from '../resources/secret.ts';
import { hostKey } from '../snapshot/host-key.ts';
import type { HostPattern } from '../snapshot/match.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Certificate, ServerName } from '../snapshot/tls.ts';
import { describeHost } from '../snapshot/words.ts';
import { coversHost } from './hosts-and-paths.ts';
import type { Issues } from './issues.ts';
import { compareText, sortedMap } from './order.ts';

interface Claim {
  readonly id: string;
  readonly keyType: TlsPair['keyType'];
  readonly covers: boolean;
}

/** Pairs that are in use, by the `namespace/name` of their Secret. */
export type TlsPairs = ReadonlyMap<string, TlsPair>;

export class Certificates {
  readonly #secrets: Entries<Secret>;
  readonly #issues: Issues;
  readonly #lastGood: TlsPairs;
  readonly #used = new Map<string, TlsPair>();
  readonly #names = new Map<string, { readonly host: HostPattern; readonly claims: Claim[] }>();
  /** Shown to backends. */
  readonly #shown = new Set<string>();
  #default: string | undefined;

  /** @param lastGood what was in use until now: it serves on for Secrets that are missing, or hold no pair any more */
  constructor(secrets: Entries<Secret>, issues: Issues, lastGood: TlsPairs) {
    this.#secrets = secrets;
    this.#issues = issues;
    this.#lastGood = lastGood;
  }

  /** Complete once everything is claimed. */
  get pairs(): TlsPairs {
    return this.#used;
  }

  /**
   * Serves the hosts with a Secret's certificate. Of several Secrets with keys of the same type for one host, the one that
   * was claimed first serves: call in order of age.
   *
   * @param owner whose reference it is; it is told of what is wrong
   * @param field path of the reference
   */
  claim(owner: Entry<unknown>, field: string, secretName: string, hosts: readonly HostPattern[]): void {
    const id = `${owner.namespace}/${secretName}`;
    const pair = this.#use(owner, field, id, 'the default certificate');
    if (pair === undefined) return;
    const uncovered: HostPattern[] = [];
    for (const host of hosts) {
      const covers = pair.dnsNames.some((name) => coversHost(name, host));
      if (!covers && host.type !== 'Any') uncovered.push(host);
      const key = hostKey(host);
      const name = this.#names.get(key) ?? { host, claims: [] };
      this.#names.set(key, name);
      if (!name.claims.some((claim) => claim.id === id)) name.claims.push({ id, keyType: pair.keyType, covers: covers || host.type === 'Any' });
    }
    if (uncovered.length > 0) this.#issues.add(owner, 'told', uncoveredProblem(field, id, pair, uncovered));
  }

  /** The certificate that the gateway shows to a backend. @returns undefined where there is none, and never was */
  forClient(owner: Entry<unknown>, field: string, secretName: string): { readonly id: string; readonly digest: string } | undefined {
    const id = `${owner.namespace}/${secretName}`;
    const pair = this.#use(owner, field, id, 'no certificate');
    if (pair === undefined) return undefined;
    this.#shown.add(id);
    return { id, digest: createHash('sha256').update(pair.chain).digest('base64url') };
  }

  /** The certificate for names that nobody claimed. @param id of the Secret; it need not exist */
  claimDefault(id: string): void {
    const entry = this.#secrets.get(id) ?? absentSecret(id);
    if (this.#use(entry, '', id, 'a self-signed certificate') !== undefined) this.#default = id;
  }

  build(): Pick<Snapshot, 'certificates' | 'serverNames' | 'defaultCertificate'> {
    const serverNames = [...this.#names.values()]
      .sort((one, other) => compareText(hostKey(one.host), hostKey(other.host)))
      .map(({ host, claims }): ServerName => ({ host, certificates: preferred(claims) }));
    const served = new Set([...serverNames.flatMap(({ certificates }) => certificates), this.#default, ...this.#shown]);
    const certificates = new Map<string, Certificate>();
    for (const [id, { chain, key }] of sortedMap(this.#used)) if (served.has(id)) certificates.set(id, { id, chain, key });
    return { certificates, serverNames, ...(this.#default === undefined ? {} : { defaultCertificate: this.#default }) };
  }

  /** @param substitute what serves where there never was a pair */
  #use(owner: Entry<unknown>, field: string, id: string, substitute: string): TlsPair | undefined {
    const entry = this.#secrets.get(id);
    const current = entry?.object?.tls;
    const pair = current ?? this.#lastGood.get(id);
    const fault = faultOf(entry, id);
    if (fault !== undefined) {
      const serving = pair === undefined ? substitute : 'its last good certificate';
      const message = `${fault.what}, so ${serving} serves${fault.cause === undefined ? '' : `: ${fault.cause}`}`;
      this.#issues.add(owner, 'ResolvedRefs', { severity: fault.severity, reason: 'InvalidCertificateRef', field, message, hint: fault.hint });
    }
    if (pair !== undefined) this.#used.set(id, pair);
    return pair;
  }
}

interface Fault {
  readonly severity: Problem['severity'];
  readonly what: string;
  readonly cause?: string;
  readonly hint: string;
}

function faultOf(entry: Entry<Secret> | undefined, id: string): Fault | undefined {
  if (entry === undefined) return { severity: 'warning', what: `Secret ${id} does not exist`, hint: 'create a Secret of type kubernetes.io/tls by this name' };
  const cause = entry.problems.find((problem) => problem.severity === 'error')?.message;
  // The Secret's own problem is an error by itself.
  if (cause !== undefined) return { severity: 'warning', what: `Secret ${id} is not valid`, cause, hint: 'mend the Secret' };
  const { object } = entry;
  if (object?.tls !== undefined) return undefined;
  const what = `Secret ${id} is of type ${object?.type ?? 'unknown'}`;
  return { severity: 'error', what, hint: 'use a Secret of type kubernetes.io/tls, with tls.crt and tls.key' };
}

/**
 * One certificate for each type of key: a client takes one or the other, and can't tell two of the same type apart.
 * Those that do not cover the name serve only where none does.
 */
function preferred(claims: readonly Claim[]): string[] {
  const types = new Set<string>();
  const ids: string[] = [];
  const covering = claims.filter(({ covers }) => covers);
  for (const { id, keyType } of covering.length > 0 ? covering : claims) {
    if (types.has(keyType)) continue;
    types.add(keyType);
    ids.push(id);
  }
  return ids;
}

function uncoveredProblem(field: string, id: string, pair: TlsPair, hosts: readonly HostPattern[]): Problem {
  const names = hosts.slice(0, 3).map(describeHost).join(', ');
  const more = hosts.length > 3 ? ` and ${hosts.length - 3} more` : '';
  return {
    severity: 'warning',
    reason: 'InvalidCertificateRef',
    field,
    message: `the certificate of Secret ${id} does not cover ${names}${more}`,
    hint: pair.dnsNames.length === 0 ? 'it names no host at all: use one with subjectAltName' : `it is for ${pair.dnsNames.slice(0, 5).join(', ')}`,
  };
}

const DEFAULT_CERTIFICATE_FLAG: Origin = { file: '--default-certificate', line: 0, lineOf: () => 0 };

/** Stands for a Secret that a flag names and that is not there, so that somebody can be told. */
function absentSecret(id: string): Entry<Secret> {
  const slash = id.indexOf('/');
  return {
    kind: 'Secret',
    namespace: id.slice(0, slash),
    name: id.slice(slash + 1),
    generation: 0,
    age: Number.MAX_SAFE_INTEGER,
    origin: DEFAULT_CERTIFICATE_FLAG,
    problems: [],
  };
}
