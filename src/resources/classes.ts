/** Which objects are ours, by IngressClass (api.md, "Ingress"). */
import type { ApiRoute } from './api-route.ts';
import type { Ingress } from './ingress.ts';
import { CONTROLLER_NAME, type IngressClass } from './ingress-class.ts';
import type { Entries } from './resource-set.ts';

/** `"true"` makes a class the default one. */
const IS_DEFAULT = 'ingressclass.kubernetes.io/is-default-class';
/** What named the class before `spec.ingressClassName`; ingress-nginx's users still write it. */
export const LEGACY_CLASS = 'kubernetes.io/ingress.class';

export class ClassOwnership {
  readonly #ours = new Set<string>();
  readonly #others = new Set<string>();
  readonly #fallback: string;
  #oursIsDefault = false;

  /**
   * @param fallback `--ingress-class`: the name that stands for our class while there is no IngressClass object of ours
   */
  constructor(classes: Entries<IngressClass>, fallback: string) {
    this.#fallback = fallback;
    for (const { name, object } of classes.values()) {
      if (object === undefined) continue;
      if (object.spec.controller !== CONTROLLER_NAME) {
        this.#others.add(name);
        continue;
      }
      this.#ours.add(name);
      if (object.metadata.annotations[IS_DEFAULT] === 'true') this.#oursIsDefault = true;
    }
  }

  /** Whether there is any IngressClass, ours or another's. */
  get anyClass(): boolean {
    return this.#ours.size > 0 || this.#others.size > 0;
  }

  /** A name that an object may write as its ingressClassName to be taken. */
  get exampleName(): string {
    return [...this.#ours].sort()[0] ?? this.#fallback;
  }

  /** An Ingress without a class is ours only when our class is the default one. */
  ownsIngress(ingress: Ingress): boolean {
    return this.ownsClass(ingressClassOf(ingress));
  }

  /** @param name the class that an Ingress names; undefined: it names none */
  ownsClass(name: string | undefined): boolean {
    return name === undefined ? this.#oursIsDefault : this.#owns(name);
  }

  /** An ApiRoute without a class is ours when our class is the default one, or no other controller has a class. */
  ownsApiRoute(route: ApiRoute): boolean {
    const name = route.spec.ingressClassName;
    return name === undefined ? this.#oursIsDefault || this.#others.size === 0 : this.#owns(name);
  }

  #owns(name: string): boolean {
    if (this.#ours.size > 0) return this.#ours.has(name);
    return name === this.#fallback && !this.#others.has(name);
  }
}

/** The class that an Ingress names; the field wins over the annotation, which the API server allows beside it on updates. */
export function ingressClassOf(ingress: Ingress): string | undefined {
  return ingress.spec.ingressClassName ?? ingress.metadata.annotations[LEGACY_CLASS];
}
