/** Who must show a certificate, by host: `tls.clientValidation` of ApiRoutes. */
import { createHash } from 'node:crypto';
import type { ApiRoute } from '../resources/api-route.ts';
import { objectKey } from '../resources/entry.ts';
import type { Entry } from '../resources/resource-set.ts';
import { AUTHORITIES_KEY, REVOCATIONS_KEY } from '../resources/trust-anchors.ts';
import { hostKey } from '../snapshot/host-key.ts';
import type { HostPattern } from '../snapshot/match.ts';
import type { Route } from '../snapshot/route.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { ClientValidation, ClientValidationHost } from '../snapshot/tls.ts';
import { describeHost } from '../snapshot/words.ts';
import type { Issues } from './issues.ts';
import { compareText, sortedMap } from './order.ts';
import type { Trust } from './trust.ts';

type Written = NonNullable<NonNullable<ApiRoute['spec']['tls']>['clientValidation']>;

const FIELD = 'spec.tls.clientValidation';

interface Claim {
  readonly host: HostPattern;
  readonly id: string;
  readonly entry: Entry<unknown>;
}

export class ClientValidations {
  readonly #issues: Issues;
  readonly #trust: Trust;
  readonly #policies = new Map<string, ClientValidation>();
  readonly #claims = new Map<string, Claim>();

  constructor(issues: Issues, trust: Trust) {
    this.#issues = issues;
    this.#trust = trust;
  }

  /**
   * Of several that differ for one host, the one that was claimed first holds: call in order of age. The others' routes serve
   * nobody there, since nobody can have met what they ask for.
   *
   * @returns what the routes demand of a connection
   */
  claim(entry: Entry<ApiRoute>, { caCertificateRefs, crlRefs, mode }: Written, hosts: readonly HostPattern[]): string {
    const authorities = this.#trust.resolve(entry, `${FIELD}.caCertificateRefs`, caCertificateRefs, AUTHORITIES_KEY);
    const revocationLists = this.#trust.resolve(entry, `${FIELD}.crlRefs`, crlRefs, REVOCATIONS_KEY);
    // Where something can't be had no certificate is good: one of them may be what would refuse it.
    const isWhole = authorities !== undefined && revocationLists !== undefined;
    const content = { mode, authorities: isWhole ? authorities : [], revocationLists: isWhole ? revocationLists : [] };
    const id = createHash('sha256').update(JSON.stringify(content)).digest('base64url');
    this.#policies.set(id, { id, ...content });
    for (const host of hosts) {
      const key = hostKey(host);
      const older = this.#claims.get(key);
      if (older === undefined) this.#claims.set(key, { host, id, entry });
      else if (older.id !== id) {
        this.#issues.add(entry, 'Accepted', {
          severity: 'warning',
          reason: 'Conflicted',
          field: FIELD,
          message: `clients of ${describeHost(host)} are asked for certificates as ${older.entry.kind} ${objectKey(older.entry)} says, which is older and says otherwise: there, this route answers 403`,
          hint: 'write the same clientValidation in both, or use another host',
        });
      }
    }
    return id;
  }

  /** @param routes all of them: their hosts are not touched by what holds for a wildcard around them */
  build(routes: readonly Route[]): Pick<Snapshot, 'clientValidation'> {
    if (this.#claims.size === 0) return {};
    const hosts = new Map<string, ClientValidationHost>();
    const wide = [...this.#claims.values()].map(({ host }) => host).filter(({ type }) => type !== 'Exact');
    if (wide.length > 0) {
      for (const route of routes) {
        for (const host of route.hosts) {
          const key = hostKey(host);
          if (!hosts.has(key) && wide.some((one) => coversPattern(one, host))) hosts.set(key, { host });
        }
      }
    }
    for (const [key, { host, id }] of this.#claims) hosts.set(key, { host, validation: id });
    const used = new Set([...this.#claims.values()].map(({ id }) => id));
    return {
      clientValidation: {
        policies: sortedMap(new Map([...this.#policies].filter(([id]) => used.has(id)))),
        hosts: [...hosts.values()].sort((one, other) => compareText(hostKey(one.host), hostKey(other.host))),
      },
    };
  }
}

function coversPattern(wide: HostPattern, host: HostPattern): boolean {
  if (wide.type === 'Any') return true;
  if (wide.type === 'Exact' || host.type === 'Any') return false;
  return host.value === wide.value || host.value.endsWith(`.${wide.value}`);
}
