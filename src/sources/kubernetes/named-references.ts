/** Which Secrets and ConfigMaps the objects that are ours name: no others are ever asked for by name. */
import { policySecrets } from '../../resources/auth-policy.ts';
import { ClassOwnership } from '../../resources/classes.ts';
import type { ResourceSet } from '../../resources/resource-set.ts';

const SEEN = ['ingressClasses', 'ingresses', 'apiRoutes', 'backendPolicies', 'authPolicies', 'apiConsumers'] as const;
type Seen = Pick<ResourceSet, (typeof SEEN)[number]>;

/** `namespace/name` of each; the very same sets while the names are the same. */
export interface References {
  readonly secrets: ReadonlySet<string>;
  /** Of `secrets`, those whose values are used: passwords, keys of APIs. */
  readonly valuedSecrets: ReadonlySet<string>;
  readonly configMaps: ReadonlySet<string>;
}

/** Of ingress-nginx: the Secret of an Ingress's own namespace that backends are shown. */
const PROXY_SSL_SECRET = 'nginx.ingress.kubernetes.io/proxy-ssl-secret';

interface TrustReference {
  readonly kind: 'ConfigMap' | 'Secret';
  readonly name: string;
}

export class NamedReferences {
  readonly #ingressClass: string;
  readonly #always: readonly string[];
  #seen: Seen | undefined;
  #references: References = { secrets: new Set(), valuedSecrets: new Set(), configMaps: new Set() };

  /**
   * @param ingressClass `--ingress-class`
   * @param defaultCertificate `--default-certificate`
   */
  constructor(ingressClass: string, defaultCertificate: string | undefined) {
    this.#ingressClass = ingressClass;
    this.#always = defaultCertificate === undefined ? [] : [defaultCertificate];
  }

  of(set: ResourceSet): References {
    const seen = this.#seen;
    if (seen !== undefined && SEEN.every((field) => seen[field] === set[field])) return this.#references;
    const { ingressClasses, ingresses, apiRoutes, backendPolicies, authPolicies, apiConsumers } = set;
    this.#seen = { ingressClasses, ingresses, apiRoutes, backendPolicies, authPolicies, apiConsumers };
    const classes = new ClassOwnership(ingressClasses, this.#ingressClass);
    const secrets = new Set(this.#always);
    const configMaps = new Set<string>();
    const trust = (namespace: string, references: readonly TrustReference[]): void => {
      for (const { kind, name } of references) (kind === 'Secret' ? secrets : configMaps).add(`${namespace}/${name}`);
    };
    for (const { namespace, object } of ingresses.values()) {
      if (object === undefined || !classes.ownsIngress(object)) continue;
      const shown = object.metadata.annotations[PROXY_SSL_SECRET];
      if (shown?.startsWith(`${namespace}/`) === true) secrets.add(shown);
      for (const { secretName } of object.spec.tls) if (secretName !== undefined && secretName !== '') secrets.add(`${namespace}/${secretName}`);
    }
    for (const { namespace, object } of apiRoutes.values()) {
      if (object === undefined || !classes.ownsApiRoute(object)) continue;
      const { tls, rules } = object.spec;
      for (const { filters } of rules) if (filters.grpcJson !== undefined) configMaps.add(`${namespace}/${filters.grpcJson.descriptorSetRef.name}`);
      if (tls === undefined) continue;
      if (tls.secretName !== undefined) secrets.add(`${namespace}/${tls.secretName}`);
      if (tls.clientValidation !== undefined) {
        trust(namespace, tls.clientValidation.caCertificateRefs);
        trust(namespace, tls.clientValidation.crlRefs);
      }
    }
    for (const { namespace, object } of backendPolicies.values()) {
      const tls = object?.spec.tls;
      if (tls === undefined) continue;
      trust(namespace, tls.caCertificateRefs);
      if (tls.clientCertificateRef !== undefined) secrets.add(`${namespace}/${tls.clientCertificateRef.name}`);
    }
    const valued = new Set<string>();
    for (const { namespace, object } of authPolicies.values()) {
      for (const { name } of object === undefined ? [] : policySecrets(object)) valued.add(`${namespace}/${name}`);
    }
    for (const { namespace, object } of apiConsumers.values()) {
      for (const { secretRef } of object?.spec.apiKeys ?? []) valued.add(`${namespace}/${secretRef.name}`);
    }
    for (const key of valued) secrets.add(key);
    const before = this.#references;
    this.#references = {
      secrets: sameOr(before.secrets, secrets),
      valuedSecrets: sameOr(before.valuedSecrets, valued),
      configMaps: sameOr(before.configMaps, configMaps),
    };
    return this.#references;
  }
}

function sameOr(before: ReadonlySet<string>, now: ReadonlySet<string>): ReadonlySet<string> {
  return before.size === now.size && [...now].every((name) => before.has(name)) ? before : now;
}
