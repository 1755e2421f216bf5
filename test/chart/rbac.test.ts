/** What the chart permits: no verb that only some controllers need, and nothing outside the namespaces that were named. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { container, helm, type Manifest, NAMESPACE, render } from './render.ts';

/** `namespace group/resource[/name] verbs`, for every rule; the namespace is * for a ClusterRole. */
function permissions(objects: readonly Manifest[]): string[] {
  const roles = objects.filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole');
  // Each is bound where it is, to the account of the pods.
  for (const role of roles) {
    const binding = objects.find(
      ({ kind, metadata }) => kind === `${role.kind}Binding` && metadata.name === role.metadata.name && metadata.namespace === role.metadata.namespace,
    );
    assert.deepEqual(binding?.roleRef, { apiGroup: 'rbac.authorization.k8s.io', kind: role.kind, name: role.metadata.name });
    const workload = objects.find(({ kind }) => kind === 'Deployment');
    assert.deepEqual(binding?.subjects, [{ kind: 'ServiceAccount', name: workload?.spec.template.spec.serviceAccountName, namespace: NAMESPACE }]);
  }
  return roles
    .flatMap((role) =>
      role.rules.flatMap((rule: Manifest) =>
        rule.apiGroups.flatMap((group: string) =>
          rule.resources.flatMap((resource: string) =>
            (rule.resourceNames ?? ['']).map(
              (name: string) =>
                `${role.metadata.namespace ?? '*'} ${[group, resource].filter(Boolean).join('/')}${name === '' ? '' : `/${name}`} ${rule.verbs.join(',')}`,
            ),
          ),
        ),
      ),
    )
    .sort();
}

const SERVED = [
  'configmaps get,list,watch',
  'discovery.k8s.io/endpointslices get,list,watch',
  'events.k8s.io/events create',
  'gateway.networking.k8s.io/referencegrants get,list,watch',
  'networking.k8s.io/ingresses get,list,watch',
  'networking.k8s.io/ingresses/status patch',
  'services get,list,watch',
  'tidegate.dev/apiconsumers get,list,watch',
  'tidegate.dev/apiconsumers/status patch',
  'tidegate.dev/apiroutes get,list,watch',
  'tidegate.dev/apiroutes/status patch',
  'tidegate.dev/authpolicies get,list,watch',
  'tidegate.dev/authpolicies/status patch',
  'tidegate.dev/backendpolicies get,list,watch',
  'tidegate.dev/backendpolicies/status patch',
  'tidegate.dev/ratelimitpolicies get,list,watch',
  'tidegate.dev/ratelimitpolicies/status patch',
];
const CLASSES = '* networking.k8s.io/ingressclasses get,list,watch';
const LEASE = [`${NAMESPACE} coordination.k8s.io/leases create`, `${NAMESPACE} coordination.k8s.io/leases/tidegate-leader get,update`];
const PUBLISHED = `${NAMESPACE} services/tidegate get`;

describe('RBAC', { skip: helm.skip }, () => {
  const cases: readonly (readonly [what: string, values: object, expected: readonly string[]])[] = [
    ['every namespace', {}, [...SERVED.map((one) => `* ${one}`), '* secrets get,list,watch', CLASSES, ...LEASE]],
    [
      'every namespace, Secrets of two',
      { 'rbac.secretNamespaces': ['blog', 'shop'] },
      [...SERVED.map((one) => `* ${one}`), 'blog secrets get,list,watch', 'shop secrets get,list,watch', CLASSES, ...LEASE],
    ],
    [
      'two namespaces: Roles there, and no ClusterRole',
      { watchNamespaces: ['blog', 'shop'] },
      [...['blog', 'shop'].flatMap((namespace) => [...SERVED, 'secrets get,list,watch'].map((one) => `${namespace} ${one}`)), PUBLISHED, ...LEASE],
    ],
    [
      'its own namespace, which has the published Service',
      { watchNamespaces: [NAMESPACE] },
      [...[...SERVED, 'secrets get,list,watch'].map((one) => `${NAMESPACE} ${one}`), ...LEASE],
    ],
    [
      'two namespaces, Secrets of one',
      { watchNamespaces: ['blog', 'shop'], 'rbac.secretNamespaces': ['shop'], 'publish.addresses': ['192.0.2.1'] },
      [...['blog', 'shop'].flatMap((namespace) => SERVED.map((one) => `${namespace} ${one}`)), 'shop secrets get,list,watch', ...LEASE],
    ],
    [
      'a namespace, and a default certificate outside of it',
      { watchNamespaces: ['shop'], defaultCertificate: 'certificates/wildcard-tls', 'publish.service': false },
      [...[...SERVED, 'secrets get,list,watch'].map((one) => `shop ${one}`), 'certificates secrets/wildcard-tls get,list,watch', ...LEASE],
    ],
    [
      'a namespace, and IngressClasses, which have none',
      { watchNamespaces: [NAMESPACE], 'rbac.readIngressClasses': true },
      [...[...SERVED, 'secrets get,list,watch'].map((one) => `${NAMESPACE} ${one}`), CLASSES, ...LEASE],
    ],
    ['none, where somebody else grants it', { 'rbac.create': false }, []],
  ];
  for (const [what, values, expected] of cases) {
    test(what, () => assert.deepEqual(permissions(render(values)), [...expected].sort()));
  }

  test('an account that is there already', () => {
    const objects = render({ serviceAccount: { create: false, name: 'mine' } });
    assert.ok(!objects.some(({ kind }) => kind === 'ServiceAccount'));
    assert.ok(permissions(objects).length > 0);
    assert.equal(container(objects).name, 'tidegate');
  });
});
