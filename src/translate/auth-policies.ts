/** AuthPolicies: which one guards each rule, and the Secrets that they need. */
import { jwkSetFlaw } from '../resources/auth/jwk-set.ts';
import type { OidcMethod } from '../resources/auth/oidc.ts';
import { type AuthMethod, type AuthPolicy, HTPASSWD_KEY } from '../resources/auth-policy.ts';
import type { ClassOwnership } from '../resources/classes.ts';
import { objectKey } from '../resources/entry.ts';
import type { Entries, Entry, Problem, ResourceSet } from '../resources/resource-set.ts';
import type { Secret } from '../resources/secret.ts';
import { segmentsOfAuthPolicy } from '../resources/segment-names.ts';
import type { AuthMethodSpec, AuthSpec, CredentialSource, OidcSpec, SecretId } from '../snapshot/auth.ts';
import { type DocumentRequest, discoveryUrl } from '../snapshot/documents.ts';
import type { RouteFilters } from '../snapshot/filters.ts';
import { parseHtpasswd } from '../snapshot/htpasswd.ts';
import { Sensitive } from '../snapshot/sensitive.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { translateExternalAuthorization } from './external-authorization.ts';
import type { Issues } from './issues.ts';
import { sortedMap } from './order.ts';
import { tellMissingSegments } from './policy-segments.ts';
import { type Attachments, attachPolicies, type PolicyTarget, targetTaken } from './policy-targets.ts';
import { judgeRouteTarget, routeKey } from './route-targets.ts';
import { secretValue } from './secret-values.ts';
import type { Upstreams } from './services.ts';

/** What a policy that never was good does to its targets. */
const CLOSED: Pick<RouteFilters, 'closed'> = { closed: { reason: 'auth_policy_invalid' } };
const OPEN = {};
/** A provider's own configuration hardly ever changes. Milliseconds. */
const DISCOVERY_LIFETIME = 3_600_000;
/** Of a key that sessions are sealed with. */
const SESSION_KEY_BYTES = 32;
/** Of key sets without cacheFor (ms). */
const KEYS_CACHED_FOR = 600_000;

export class AuthPolicies {
  readonly attachments: Attachments;
  readonly #issues: Issues;
  readonly #upstreams: Upstreams;
  readonly #documents: DocumentRequest[] = [];
  readonly #secretEntries: Entries<Secret>;
  /** The policy in force by `Kind/namespace/name`, and by that and `/rule`. */
  readonly #winners = new Map<string, Entry<AuthPolicy>>();
  /** Targets of any policy, whole or in part. */
  readonly #targets = new Set<string>();
  readonly #filters = new Map<Entry<AuthPolicy>, Pick<RouteFilters, 'auth' | 'closed'>>();
  readonly #secrets = new Map<SecretId, Sensitive>();

  constructor(set: ResourceSet, classes: ClassOwnership, issues: Issues, upstreams: Upstreams) {
    this.#issues = issues;
    this.#upstreams = upstreams;
    this.#secretEntries = set.secrets;
    const attach = (entry: Entry<AuthPolicy>, target: PolicyTarget, field: string): Problem | undefined => {
      const problem = judgeRouteTarget(set, classes, entry.namespace, target, field) ?? this.#claim(entry, target, field);
      if (problem === undefined) this.#filtersOf(entry);
      return problem;
    };
    this.attachments = attachPolicies(set.authPolicies, issues, (entry, _policy, target, field) => attach(entry, target, field), attach);
    tellMissingSegments(set, this.attachments, segmentsOfAuthPolicy, issues);
  }

  /** Whether a policy guards the route, or any rule of it. */
  anyFor(kind: 'ApiRoute' | 'Ingress', namespace: string, name: string): boolean {
    return this.#targets.size > 0 && this.#targets.has(routeKey(kind, namespace, name));
  }

  /** A policy on the rule replaces one on the whole route. @param rule its label: the name, else the index */
  filters(kind: 'ApiRoute' | 'Ingress', namespace: string, name: string, rule: string): Pick<RouteFilters, 'auth' | 'closed'> {
    if (!this.anyFor(kind, namespace, name)) return OPEN;
    const key = routeKey(kind, namespace, name);
    const winner = this.#winners.get(`${key}/${rule}`) ?? this.#winners.get(key);
    return winner === undefined ? OPEN : this.#filtersOf(winner);
  }

  build(): Pick<Snapshot, 'secrets' | 'documents'> {
    return {
      ...(this.#secrets.size === 0 ? {} : { secrets: sortedMap(this.#secrets) }),
      ...(this.#documents.length === 0 ? {} : { documents: this.#documents }),
    };
  }

  #claim(entry: Entry<AuthPolicy>, { kind, name, sectionName }: PolicyTarget, field: string): Problem | undefined {
    const whole = routeKey(kind as 'ApiRoute' | 'Ingress', entry.namespace, name);
    const place = sectionName === undefined ? whole : `${whole}/${sectionName}`;
    const older = this.#winners.get(place);
    if (older !== undefined) return targetTaken(field, older, 'rule');
    this.#winners.set(place, entry);
    this.#targets.add(whole);
    return undefined;
  }

  #filtersOf(entry: Entry<AuthPolicy>): Pick<RouteFilters, 'auth' | 'closed'> {
    let filters = this.#filters.get(entry);
    if (filters === undefined) {
      const spec = entry.object && this.#translate(entry, entry.object);
      // A method that got lost on the way would leave the door open.
      filters = spec === undefined || spec.methods.length !== entry.object?.spec.methods.length ? CLOSED : { auth: spec };
      this.#filters.set(entry, filters);
    }
    return filters;
  }

  #translate(entry: Entry<AuthPolicy>, { spec }: AuthPolicy): AuthSpec {
    const methods = spec.methods.flatMap((method, index) => this.#method(entry, method, `spec.methods[${index}]`));
    const forward = Object.entries(spec.forward.headers).map(([name, value]) => ({ name: name.toLowerCase(), value }));
    return {
      policy: objectKey(entry),
      namespace: entry.namespace,
      methods,
      ...(spec.externalAuthorization === undefined
        ? {}
        : { externalAuthorization: translateExternalAuthorization(entry, spec.externalAuthorization, this.#upstreams, this.#issues) }),
      anonymous: spec.anonymous,
      ...(spec.authorization.length === 0 ? {} : { authorization: spec.authorization }),
      ...(forward.length === 0 ? {} : { forward }),
      stripToken: spec.forward.token === 'Strip',
      credentialParameters: [...new Set(methods.flatMap((method) => ('from' in method ? parametersOf(method.from) : [])))],
    };
  }

  /** One item, which the schema has seen to be one method. */
  #method(entry: Entry<AuthPolicy>, { jwt, apiKey, basic, oauth2Introspection, clientCertificate, oidc }: AuthMethod, field: string): AuthMethodSpec[] {
    if (jwt !== undefined) return [this.#jwt(entry, jwt, `${field}.jwt`)];
    if (oauth2Introspection !== undefined) {
      const { endpoint, clientId, clientSecretRef, cacheFor, from } = oauth2Introspection;
      const secret = this.secret(entry, clientSecretRef, `${field}.oauth2Introspection.clientSecretRef`);
      return [{ type: 'oauth2Introspection', from, introspection: { endpoint, clientId, secret, cacheFor } }];
    }
    if (apiKey !== undefined) return [{ type: 'apiKey', from: apiKey.from }];
    if (basic !== undefined) {
      const secret = this.secret(entry, { name: basic.secretRef.name, key: HTPASSWD_KEY }, `${field}.basic.secretRef`);
      this.#judgeHtpasswd(entry, secret, `${field}.basic.secretRef.name`);
      return [{ type: 'basic', secret, realm: basic.realm ?? entry.name }];
    }
    if (clientCertificate !== undefined) return [{ type: 'clientCertificate' }];
    if (oidc !== undefined) return [this.#oidc(entry, oidc, `${field}.oidc`)];
    return [];
  }

  #oidc(entry: Entry<AuthPolicy>, { issuer, clientId, clientSecretRef, sessionSecretRef, ...rest }: OidcMethod, field: string): OidcSpec {
    this.#documents.push({ kind: 'discovery', url: discoveryUrl(issuer), cacheFor: DISCOVERY_LIFETIME });
    if (sessionSecretRef === undefined) this.#issues.add(entry, 'told', ownSessionKey(field));
    return {
      ...{ type: 'oidc', issuer, clientId, clientSecret: this.secret(entry, clientSecretRef, `${field}.clientSecretRef`), ...rest },
      ...(sessionSecretRef === undefined ? {} : { sessionSecret: this.secret(entry, sessionSecretRef, `${field}.sessionSecretRef`, SESSION_KEY_BYTES) }),
    };
  }

  #jwt(entry: Entry<AuthPolicy>, { issuer, audiences, algorithms, clockSkew, jwks, from }: NonNullable<AuthMethod['jwt']>, field: string): AuthMethodSpec {
    const rules = { issuer, audiences, algorithms, clockSkew };
    if (jwks.uri !== undefined) {
      const document = { kind: 'jwks', url: jwks.uri, cacheFor: jwks.cacheFor ?? KEYS_CACHED_FOR } as const;
      this.#documents.push(document);
      return { type: 'jwt', from, rules, keys: { type: 'Document', document } };
    }
    let secret: SecretId;
    if (jwks.secretRef !== undefined) {
      secret = this.secret(entry, jwks.secretRef, `${field}.jwks.secretRef`);
      const value = this.#secrets.get(secret);
      const flaw = value && jwkSetFlaw(Buffer.from(value.reveal(), 'latin1').toString());
      if (flaw !== undefined) {
        const message = `the value in Secret ${entry.namespace}/${jwks.secretRef.name} ${flaw.message}: requests that need it are answered with 503`;
        this.#issues.add(entry, 'ResolvedRefs', {
          severity: 'error',
          reason: 'InvalidSecretRef',
          field: `${field}.jwks.secretRef.key`,
          message,
          hint: flaw.hint,
        });
      }
    } else {
      // A key of HMAC may be among them, so it goes the way of secrets. No namespace has such a name.
      secret = `AuthPolicy/${objectKey(entry)}/${field}.jwks.inline`;
      this.#secrets.set(secret, new Sensitive(Buffer.from(jwks.inline ?? '').toString('latin1')));
    }
    return { type: 'jwt', from, rules, keys: { type: 'Secret', secret } };
  }

  /** Lines that let nobody in are told of, without what stands there. */
  #judgeHtpasswd(entry: Entry<AuthPolicy>, id: SecretId, field: string): void {
    const value = this.#secrets.get(id);
    if (value === undefined) return;
    const { users, flaws } = parseHtpasswd(value.reveal());
    const told = flaws.slice(0, 3).map(({ line, what }) => `line ${line} ${what}`);
    if (flaws.length > told.length) told.push(`and ${flaws.length - told.length} more lines are no good`);
    if (users.size === 0) told.push('there is no user: requests that need one are answered with 503');
    if (told.length === 0) return;
    const message = `in Secret ${id.slice(0, id.lastIndexOf('/'))}, ${told.join('; ')}`;
    const hint = 'write each line with htpasswd -B, which hashes the password with bcrypt';
    this.#issues.add(entry, 'ResolvedRefs', { severity: 'error', reason: 'InvalidSecretRef', field, message, hint });
  }

  /** A value that the policy needs. Where it can't be had the policy is told, and whoever needs it answers 503. */
  secret(entry: Entry<AuthPolicy>, reference: { readonly name: string; readonly key: string }, field: string, leastBytes = 1): SecretId {
    const id = `${entry.namespace}/${reference.name}/${reference.key}`;
    const found = secretValue(this.#secretEntries, entry.namespace, reference, field, 'requests that need it are answered with 503');
    if ('problem' in found) this.#issues.add(entry, 'ResolvedRefs', found.problem);
    else if (found.value.reveal().length < leastBytes) this.#issues.add(entry, 'ResolvedRefs', tooShort(field, id, leastBytes));
    else this.#secrets.set(id, found.value);
    return id;
  }
}

/** Without it sessions are lost with the pod, and are nothing to another one. */
function ownSessionKey(field: string): Problem {
  return {
    severity: 'warning',
    reason: 'Invalid',
    field: `${field}.sessionSecretRef`,
    message: 'there is no key for sessions: each pod makes one, so that people log in again at every other pod, and after a restart',
    hint: 'name a Secret with 32 random bytes or more, the same for all replicas',
  };
}

function tooShort(field: string, id: SecretId, least: number): Problem {
  return {
    severity: 'error',
    reason: 'InvalidSecretRef',
    field: `${field}.key`,
    message: `the value of ${id} is too short to be a key: requests that need it are answered with 503`,
    hint: `put ${least} random bytes or more there`,
  };
}

function parametersOf(from: readonly CredentialSource[]): string[] {
  return from.flatMap((source) => (source.type === 'QueryParam' ? [source.name] : []));
}
