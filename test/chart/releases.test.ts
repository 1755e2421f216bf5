/** Several releases in one cluster, and names that YAML would take for something else. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { helm, type Manifest, NAMESPACE, render, the } from './render.ts';

/** Whether an object of this kind and name may be there once only, in its namespace or in the cluster. */
const places = (objects: readonly Manifest[]): string[] =>
  objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? '*'}/${metadata.name}`).filter((place) => !place.startsWith('CustomResourceDefinition'));

describe('releases', { skip: helm.skip }, () => {
  const values = {
    watchNamespaces: ['shop', 'blog'],
    defaultCertificate: 'certificates/wildcard-tls',
    'publish.serviceOverride': 'balancers/edge',
    'rbac.readIngressClasses': true,
    'metrics.serviceMonitor': { enabled: true, namespace: 'monitoring' },
    'networkPolicy.adminFrom': [{ namespaceSelector: {} }],
  };

  test('of the same name in two namespaces that watch the same ones have no object in common', () => {
    const one = places(render({ ...values, 'ingressClass.name': 'one' }, { namespace: 'one' }));
    const other = new Set(places(render({ ...values, 'ingressClass.name': 'other' }, { namespace: 'other' })));
    assert.ok(one.some((place) => place.startsWith('Role shop/')));
    assert.deepEqual(
      one.filter((place) => other.has(place)),
      [],
    );
  });

  for (const release of ['123', 'on', '1e3']) {
    test(`a release and a namespace that are called ${release}: every name and label is a string`, () => {
      const objects = render({ ...values, watchNamespaces: [release] }, { release, namespace: release });
      for (const { kind, metadata } of objects) {
        for (const value of [metadata.name, metadata.namespace ?? '', ...Object.values(metadata.labels ?? {})]) assert.equal(typeof value, 'string', kind);
      }
      for (const { subjects } of objects) for (const subject of subjects ?? []) assert.equal(subject.namespace, release);
      assert.equal(the(objects, 'Deployment').spec.template.metadata.labels['app.kubernetes.io/instance'], release);
      assert.deepEqual(the(objects, 'ServiceMonitor').spec.namespaceSelector.matchNames, [release]);
    });
  }

  test('whose every object is labelled a component: the ServiceMonitor finds the Service all the same', () => {
    const objects = render({ ...values, commonLabels: { 'app.kubernetes.io/component': 'edge' } });
    const wanted = Object.entries(the(objects, 'ServiceMonitor').spec.selector.matchLabels);
    const selected = objects.filter(({ kind, metadata }) => kind === 'Service' && wanted.every(([name, value]) => metadata.labels?.[name] === value));
    assert.deepEqual(places(selected), [`Service ${NAMESPACE}/tidegate-metrics`]);
  });
});
