/** Routes that use the name of an ExternalName Service tell what became of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NameTroubles } from './services.ts';
import { buildSet, type Manifest } from './testdata/build-set.ts';
import { type TranslateOptions, type TranslateResult, translate } from './translate.ts';

const options: TranslateOptions = { ingressClass: 'tidegate', allowExternalName: true, allowLoopbackEndpoints: false };

const manifests: readonly Manifest[] = [
  { apiVersion: 'v1', kind: 'Service', metadata: { name: 'far' }, spec: { type: 'ExternalName', externalName: 'far.test' } },
  { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name: 'web' }, spec: { rules: [{ backendRefs: [{ name: 'far', port: 80 }] }] } },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name: 'web' },
    spec: {
      ingressClassName: 'tidegate',
      rules: [{ host: 'a.test', http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'far', port: { number: 80 } } } }] } }],
    },
  },
];
const set = buildSet(manifests);

function resolvedRefs({ statuses }: TranslateResult): string[] {
  return statuses.map(({ kind, conditions }) => {
    const condition = conditions.find(({ type }) => type === 'ResolvedRefs');
    return `${kind} ${condition?.status} ${condition?.reason}: ${condition?.message}`;
  });
}

test('a name in trouble is told by its routes, which lead there all the same; and no more once it is over', () => {
  const troubles: NameTroubles = new Map([['default/far/80', { reason: 'BackendNotFound', message: 'has a name', hint: 'mend it' }]]);
  const before = translate(set, options);
  const during = translate(set, options, before, troubles);
  assert.deepEqual(resolvedRefs(during).sort(), [
    'ApiRoute False BackendNotFound: spec.rules[0].backendRefs[0].name: Service default/far has a name; mend it',
    'Ingress False BackendNotFound: spec.rules[0].http.paths[0].backend.service.name: Service default/far has a name; mend it',
  ]);
  assert.deepEqual(during.snapshot, before.snapshot);
  assert.deepEqual(during.problems.map(({ entry, problem }) => `${entry.kind} ${problem.severity} ${problem.reason}`).sort(), [
    'ApiRoute warning BackendNotFound',
    'Ingress warning BackendNotFound',
  ]);
  const after = translate(set, options, during);
  assert.deepEqual(resolvedRefs(after), resolvedRefs(before));
  assert.deepEqual(after.problems, []);
});
