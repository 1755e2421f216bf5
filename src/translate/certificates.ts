/** Certificates from Secrets, and the server names that they are for. */
import type { Entries, Entry, Origin, Problem } from '../resources/resource-set.ts';
import type { Secret, TlsPair } from '../resources/secret.ts';
import type { Certificate, HostPattern, ServerName, Snapshot } from '../snapshot/snapshot.ts';
import { coversHost, describeHost, hostKey } from './hosts-and-paths.ts';
import type { Consequence, Issues } from './issues.ts';
import { compareText, sortedMap } from './order.ts';

interface Claim {
  readonly id: string;
  readonly keyType: TlsPair['keyType'];
  readonly covers: boolean;
}

export class Certificates {
  readonly #secrets: Entries<Secret>;
  readonly #issues: Issues;
  readonly #used = new Map<string, Certificate>();
  readonly #names = new Map<string, { readonly host: HostPattern; readonly claims: Claim[] }>();
  #default: string | undefined;

  constructor(secrets: Entries<Secret>, issues: Issues) {
    this.#secrets = secrets;
    this.#issues = issues;
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

  /** The certificate for names that nobody claimed. @param id of the Secret; it need not exist */
  claimDefault(id: string): void {
    const entry = this.#secrets.get(id) ?? absentSecret(id);
    if (this.#use(entry, '', id, 'a self-signed certificate') !== undefined) this.#default = id;
  }

  build(): Pick<Snapshot, 'certificates' | 'serverNames' | 'defaultCertificate'> {
    const serverNames = [...this.#names.values()]
      .sort((one, other) => compareText(hostKey(one.host), hostKey(other.host)))
      .map(({ host, claims }): ServerName => ({ host, certificates: preferred(claims) }));
    const served = new Set([...serverNames.flatMap(({ certificates }) => certificates), this.#default]);
    const certificates = sortedMap(new Map([...this.#used].filter(([id]) => served.has(id))));
    return { certificates, serverNames, ...(this.#default === undefined ? {} : { defaultCertificate: this.#default }) };
  }

  /** @param substitute what serves where there is no pair */
  #use(owner: Entry<unknown>, field: string, id: string, substitute: string): TlsPair | undefined {
    const entry = this.#secrets.get(id);
    const object = entry?.object;
    const pair = object?.tls;
    const add = (severity: Problem['severity'], message: string, hint: string, consequence: Consequence = 'ResolvedRefs'): void =>
      this.#issues.add(owner, consequence, { severity, reason: 'InvalidCertificateRef', field, message, hint });
    if (entry === undefined) add('warning', `Secret ${id} does not exist, so ${substitute} serves`, 'create a Secret of type kubernetes.io/tls by this name');
    else if (object === undefined) add('warning', `Secret ${id} is not valid, so ${substitute} serves: ${firstError(entry)}`, 'mend the Secret');
    else if (pair === undefined) {
      add('error', `Secret ${id} is of type ${object.type}, so ${substitute} serves`, 'use a Secret of type kubernetes.io/tls, with tls.crt and tls.key');
    } else {
      const error = firstError(entry);
      if (error !== undefined) add('warning', `the newest version of Secret ${id} is not valid, so its last good one serves: ${error}`, 'mend the Secret');
      if (!this.#used.has(id)) this.#used.set(id, { id, chain: pair.chain, key: pair.key });
    }
    return pair;
  }
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

function firstError(entry: Entry<unknown>): string | undefined {
  return entry.problems.find((problem) => problem.severity === 'error')?.message;
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
