/** Which Secrets and ConfigMaps the objects that are ours name: no others are ever asked for by name. */
import { policySecrets } from '../../resources/auth-policy.ts';
import { ClassOwnership } from '../../resources/classes.ts';
import { entryChanges } from '../../resources/entry-changes.ts';
import type { Entries, Entry, ResourceSet } from '../../resources/resource-set.ts';

/** Kinds whose objects name others. */
const NAMING = ['ingresses', 'apiRoutes', 'backendPolicies', 'authPolicies', 'apiConsumers'] as const;

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

type Naming = (typeof NAMING)[number];
type EntryOf<Field extends Naming> = ResourceSet[Field] extends Entries<infer T> ? Entry<T> : never;

/** How many objects name each; a new set of the names where it is other names than before. */
class Names {
  readonly #counts = new Map<string, number>();
  #names: ReadonlySet<string>;
  #isChanged = false;

  constructor(always: readonly string[] = []) {
    this.#names = new Set(always);
    for (const name of always) this.#counts.set(name, 1);
  }

  /** @param by 1 or -1 */
  count(name: string, by: number): void {
    const count = (this.#counts.get(name) ?? 0) + by;
    if (count === 0) this.#counts.delete(name);
    else this.#counts.set(name, count);
    this.#isChanged ||= count === 0 || count === by;
  }

  get all(): ReadonlySet<string> {
    if (!this.#isChanged) return this.#names;
    this.#isChanged = false;
    const now = this.#counts;
    if (now.size !== this.#names.size || ![...now.keys()].every((name) => this.#names.has(name))) this.#names = new Set(now.keys());
    return this.#names;
  }
}

export class NamedReferences {
  readonly #ingressClass: string;
  readonly #secrets: Names;
  readonly #valued = new Names();
  readonly #configMaps = new Names();
  #seen: ResourceSet | undefined;

  /**
   * @param ingressClass `--ingress-class`
   * @param defaultCertificate `--default-certificate`
   */
  constructor(ingressClass: string, defaultCertificate: string | undefined) {
    this.#ingressClass = ingressClass;
    this.#secrets = new Names(defaultCertificate === undefined ? [] : [defaultCertificate]);
  }

  /** Objects that are the same as in the set before are not looked at again, as long as the classes are the same. */
  of(set: ResourceSet): References {
    const before = this.#seen;
    this.#seen = set;
    if (before !== undefined && before.ingressClasses !== set.ingressClasses) {
      this.#countChanges(before, NOTHING, before);
      this.#countChanges(NOTHING, set, set);
    } else {
      this.#countChanges(before ?? NOTHING, set, set);
    }
    return { secrets: this.#secrets.all, valuedSecrets: this.#valued.all, configMaps: this.#configMaps.all };
  }

  /** @param classes of both */
  #countChanges(before: Pick<ResourceSet, Naming>, after: Pick<ResourceSet, Naming>, { ingressClasses }: Pick<ResourceSet, 'ingressClasses'>): void {
    const classes = new ClassOwnership(ingressClasses, this.#ingressClass);
    for (const field of NAMING) {
      for (const { before: old, after: now } of entryChanges<unknown>(before[field], after[field])) {
        if (old !== undefined) this.#countNames(field, old, classes, -1);
        if (now !== undefined) this.#countNames(field, now, classes, 1);
      }
    }
  }

  #countNames(field: Naming, entry: Entry<unknown>, classes: ClassOwnership, by: number): void {
    const { namespace } = entry;
    const secret = (name: string): void => this.#secrets.count(`${namespace}/${name}`, by);
    const configMap = (name: string): void => this.#configMaps.count(`${namespace}/${name}`, by);
    const valued = (name: string): void => {
      secret(name);
      this.#valued.count(`${namespace}/${name}`, by);
    };
    const trust = (references: readonly TrustReference[]): void => {
      for (const { kind, name } of references) (kind === 'Secret' ? secret : configMap)(name);
    };
    switch (field) {
      case 'ingresses': {
        const { object } = entry as EntryOf<'ingresses'>;
        if (object === undefined || !classes.ownsIngress(object)) return;
        const shown = object.metadata.annotations[PROXY_SSL_SECRET];
        if (shown?.startsWith(`${namespace}/`) === true) secret(shown.slice(namespace.length + 1));
        for (const { secretName } of object.spec.tls) if (secretName !== undefined && secretName !== '') secret(secretName);
        return;
      }
      case 'apiRoutes': {
        const { object } = entry as EntryOf<'apiRoutes'>;
        if (object === undefined || !classes.ownsApiRoute(object)) return;
        const { tls, rules } = object.spec;
        for (const { filters } of rules) if (filters.grpcJson !== undefined) configMap(filters.grpcJson.descriptorSetRef.name);
        if (tls?.secretName !== undefined) secret(tls.secretName);
        trust(tls?.clientValidation?.caCertificateRefs ?? []);
        trust(tls?.clientValidation?.crlRefs ?? []);
        return;
      }
      case 'backendPolicies': {
        const tls = (entry as EntryOf<'backendPolicies'>).object?.spec.tls;
        trust(tls?.caCertificateRefs ?? []);
        if (tls?.clientCertificateRef !== undefined) secret(tls.clientCertificateRef.name);
        return;
      }
      case 'authPolicies': {
        const { object } = entry as EntryOf<'authPolicies'>;
        for (const { name } of object === undefined ? [] : policySecrets(object)) valued(name);
        return;
      }
      case 'apiConsumers': {
        const { object } = entry as EntryOf<'apiConsumers'>;
        for (const { secretRef } of object?.spec.apiKeys ?? []) valued(secretRef.name);
        return;
      }
    }
  }
}

const NOTHING: Pick<ResourceSet, Naming> = {
  ingresses: new Map(),
  apiRoutes: new Map(),
  backendPolicies: new Map(),
  authPolicies: new Map(),
  apiConsumers: new Map(),
};
