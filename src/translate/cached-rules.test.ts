import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildSet } from './testdata/build-set.ts';
import { translate } from './translate.ts';

/** The digest of what a rule with a cache asks. */
function asked(change: object): string {
  const rule = { filters: { cache: {} }, backendRefs: [{ name: 'web', port: 80 }], ...change };
  const route = { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name: 'shop' }, spec: { rules: [rule] } };
  const { snapshot } = translate(buildSet([route]), { ingressClass: 'tidegate', allowExternalName: false, allowLoopbackEndpoints: true });
  const asks = snapshot.routes[0]?.filters.cache?.asks;
  assert.ok(asks !== undefined);
  return asks;
}

test('whoever answers in the place of a backend is a part of what is asked; how requests are shared out is none', () => {
  const fallback = (name: string) => asked({ fallback: { on: [503], backendRef: { name, port: 80 } } });
  assert.equal(new Set([asked({}), fallback('one'), fallback('two')]).size, 3);
  for (const same of [
    { fallback: { on: [503], response: { statusCode: 503 } } },
    { retry: { attempts: 2 } },
    { backendRefs: [{ name: 'web', port: 80, weight: 7 }] },
    { timeouts: { request: '1s' } },
  ])
    assert.equal(asked(same), asked({}), JSON.stringify(same));
});
