/** Rules of RBAC, and which requests they allow. */
import type { KubernetesObject } from '../cluster/api-client.ts';
import type { AuditedRequest } from './audit-log.ts';

/** One verb on one resource. */
export interface Grant {
  readonly role: string;
  /** Where it holds; empty: everywhere. */
  readonly namespace: string;
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
  /** Empty: objects of any name. */
  readonly names: readonly string[];
}

/** Every single permission of Roles and ClusterRoles. */
export function grantsOf(roles: readonly KubernetesObject[]): readonly Grant[] {
  return roles.flatMap(({ metadata, rules }) =>
    rules.flatMap((rule: { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }) =>
      rule.apiGroups.flatMap((group) =>
        rule.resources.flatMap((resource) =>
          rule.verbs.map((verb) => ({ role: metadata.name, namespace: metadata.namespace ?? '', group, resource, verb, names: rule.resourceNames ?? [] })),
        ),
      ),
    ),
  );
}

export function allows(grant: Grant, request: AuditedRequest): boolean {
  return (
    grant.verb === request.verb &&
    grant.group === request.group &&
    grant.resource === request.resource &&
    (grant.namespace === '' || grant.namespace === request.namespace) &&
    (grant.names.length === 0 || grant.names.includes(request.name))
  );
}
