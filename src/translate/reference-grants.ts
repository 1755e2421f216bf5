/** Which references over namespaces are allowed (Gateway API, ReferenceGrant): none but those that the target's namespace grants. */

import { GROUP } from '../resources/kinds.ts';
import type { ReferenceGrant } from '../resources/reference-grant.ts';
import type { Entries, Entry } from '../resources/resource-set.ts';

export interface GrantedObject {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export class ReferenceGrants {
  readonly #byNamespace = new Map<string, ReferenceGrant['spec'][]>();

  constructor(grants: Entries<ReferenceGrant>) {
    for (const { namespace, object } of grants.values()) {
      if (object === undefined) continue;
      const specs = this.#byNamespace.get(namespace);
      if (specs === undefined) this.#byNamespace.set(namespace, [object.spec]);
      else specs.push(object.spec);
    }
  }

  /** @param owner whose reference it is: an object of our own group, for no other kind can name a namespace */
  allow(owner: Entry<unknown>, target: GrantedObject): boolean {
    return (this.#byNamespace.get(target.namespace) ?? []).some(
      ({ from, to }) =>
        from.some(({ group, kind, namespace }) => group === GROUP && kind === owner.kind && namespace === owner.namespace) &&
        to.some(({ group, kind, name }) => group === target.group && kind === target.kind && (name === undefined || name === '' || name === target.name)),
    );
  }
}
