/** Which Secrets the objects that are ours name: no others are ever asked for by name. */
import { ClassOwnership } from '../../resources/classes.ts';
import type { ResourceSet } from '../../resources/resource-set.ts';

export class SecretReferences {
  readonly #ingressClass: string;
  readonly #always: readonly string[];
  #seen: Pick<ResourceSet, 'ingressClasses' | 'ingresses' | 'apiRoutes'> | undefined;
  #names: ReadonlySet<string> = new Set();

  /**
   * @param ingressClass `--ingress-class`
   * @param defaultCertificate `--default-certificate`
   */
  constructor(ingressClass: string, defaultCertificate: string | undefined) {
    this.#ingressClass = ingressClass;
    this.#always = defaultCertificate === undefined ? [] : [defaultCertificate];
  }

  /** @returns `namespace/name` of each; the very same set while the objects are the same */
  of({ ingressClasses, ingresses, apiRoutes }: ResourceSet): ReadonlySet<string> {
    const seen = this.#seen;
    if (seen !== undefined && seen.ingressClasses === ingressClasses && seen.ingresses === ingresses && seen.apiRoutes === apiRoutes) return this.#names;
    this.#seen = { ingressClasses, ingresses, apiRoutes };
    const classes = new ClassOwnership(ingressClasses, this.#ingressClass);
    const names = new Set(this.#always);
    for (const { namespace, object } of ingresses.values()) {
      if (object === undefined || !classes.ownsIngress(object)) continue;
      for (const { secretName } of object.spec.tls) if (secretName !== undefined && secretName !== '') names.add(`${namespace}/${secretName}`);
    }
    for (const { namespace, object } of apiRoutes.values()) {
      const secretName = object?.spec.tls?.secretName;
      if (object !== undefined && secretName !== undefined && classes.ownsApiRoute(object)) names.add(`${namespace}/${secretName}`);
    }
    if (names.size !== this.#names.size || [...names].some((name) => !this.#names.has(name))) this.#names = names;
    return this.#names;
  }
}
