/** The API server is nobody's backend, whoever names it and however. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResourceSet } from '../resources/resource-set.ts';
import { buildSet, type Manifest } from './testdata/build-set.ts';
import { type TranslateOptions, translate } from './translate.ts';

const options: TranslateOptions = { ingressClass: 'tidegate', allowExternalName: true, allowLoopbackEndpoints: false };

const route: Manifest = {
  apiVersion: 'tidegate.dev/v1alpha1',
  kind: 'ApiRoute',
  metadata: { name: 'web', namespace: 'shop' },
  spec: { rules: [{ backendRefs: [{ name: 'web', port: 80 }] }] },
};

function setOf(manifests: readonly Manifest[], apiServer: readonly string[]): ResourceSet {
  return { ...buildSet([route, ...manifests]), apiServer };
}

function slice(addresses: readonly string[], port: number, addressType = 'IPv4'): readonly Manifest[] {
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'shop' }, spec: { ports: [{ port: 80 }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'web', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType,
      endpoints: [{ addresses }],
      ports: [{ port }],
    },
  ];
}

const external = (externalName: string): readonly Manifest[] => [
  { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'shop' }, spec: { type: 'ExternalName', externalName } },
];

test('an EndpointSlice that points at the API server gives no endpoint, and is told of', () => {
  const { snapshot, problems } = translate(setOf(slice(['172.18.0.2', '172.18.0.3'], 6443), ['10.96.0.1 443', '172.18.0.2 6443']), options);
  assert.deepEqual(
    snapshot.endpoints.get('shop/web/80')?.map(({ address }) => address),
    ['172.18.0.3'],
  );
  assert.deepEqual(
    problems.map(({ problem }) => [problem.reason, problem.field, problem.message]),
    [['RefNotPermitted', 'endpoints[0].addresses[0]', '172.18.0.2 is the API server, which no endpoint may have']],
  );
});

test('IPv6 addresses count however they are written; another port of the same machine is somebody else', () => {
  const apiServer = ['fd00:0:0::1 6443'];
  assert.deepEqual(translate(setOf(slice(['fd00::1'], 6443, 'IPv6'), apiServer), options).snapshot.endpoints.get('shop/web/80'), []);
  assert.equal(translate(setOf(slice(['fd00::1'], 8080, 'IPv6'), apiServer), options).snapshot.endpoints.get('shop/web/80')?.length, 1);
});

for (const name of ['kubernetes.default.svc', 'KUBERNETES.default', 'kubernetes.default.svc.cluster.local.', 'api.example.com', '10.96.0.1']) {
  test(`the externalName ${name} is refused`, () => {
    const { snapshot, problems } = translate(setOf(external(name), ['10.96.0.1 443', 'api.example.com 6443']), options);
    assert.deepEqual(snapshot.routes[0]?.backends, [{ unresolvedStatus: 500, weight: 1, backup: false }]);
    assert.deepEqual(
      problems.map(({ problem }) => [problem.reason, problem.message]),
      [['RefNotPermitted', 'Service shop/web has an externalName that leads to the API server']],
    );
  });
}

test('other names are taken, and without an API server all of these', () => {
  for (const [name, apiServer] of [
    ['kubernetes.example.com', ['10.96.0.1 443']],
    ['kubernetes.default.svc', []],
  ] as const) {
    assert.equal(translate(setOf(external(name), apiServer), options).snapshot.endpoints.get('shop/web/80')?.length, 1, name);
  }
});
