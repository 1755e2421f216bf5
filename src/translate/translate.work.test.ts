/** How much translation does, counted rather than timed: how often each block of its code runs, as V8 counts it. */
import assert from 'node:assert/strict';
import { type Profiler, Session } from 'node:inspector';
import { after, test } from 'node:test';
import type { Entry, ResourceSet } from '../resources/resource-set.ts';
import { buildSet, type Manifest } from './testdata/build-set.ts';
import { manyRoutes } from './testdata/many-routes.ts';
import type { TranslateOptions } from './translate.ts';

const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
after(() => session.disconnect());

// V8 counts blocks only in code that it has compiled since it was asked to.
const { translate, translateEndpoints } = await import('./translate.ts');

const options: TranslateOptions = { ingressClass: 'tidegate', allowExternalName: false, allowLoopbackEndpoints: true };

interface Work {
  /** Runs of all blocks together. */
  readonly blocks: number;
  /** Calls of functions by name. */
  readonly calls: ReadonlyMap<string, number>;
}

/** Counts what has run in src/translate/ since it was last asked. */
function take(): Work {
  let scripts: readonly Profiler.ScriptCoverage[] = [];
  session.post('Profiler.takePreciseCoverage', (error, coverage) => {
    if (error === null) scripts = coverage.result;
  });
  let blocks = 0;
  const calls = new Map<string, number>();
  for (const { url, functions } of scripts) {
    if (!url.includes('/src/translate/') || url.includes('/testdata/')) continue;
    for (const { functionName, ranges } of functions) {
      blocks += ranges.reduce((sum, { count }) => sum + count, 0);
      calls.set(functionName, (calls.get(functionName) ?? 0) + (ranges[0]?.count ?? 0));
    }
  }
  return { blocks, calls };
}

/** Counts what runs in src/translate/ during `run`. */
function measure(run: () => void): Work {
  take();
  run();
  const work = take();
  assert.ok(work.blocks > 0);
  return work;
}

test('work grows in proportion to the number of rules, up to ten thousand, and nothing is done twice', () => {
  const small = buildSet(manyRoutes(2500));
  const large = buildSet(manyRoutes(10_000));
  const one = measure(() => translate(small, options));
  const four = measure(() => translate(large, options));
  // Sorting adds a logarithm; quadratic work would make it 16.
  assert.ok(four.blocks / one.blocks < 5, `${one.blocks} blocks for 2500 rules, ${four.blocks} for 10000`);
  // Half of the rules are in ApiRoutes, half in Ingresses; ten share a Service.
  for (const [name, times] of [
    ['translateApiRoute', 500],
    ['translateMatches', 5000],
    ['translateFilters', 5000],
    ['translateIngress', 500],
    ['makeRoute', 5000],
    ['endpointsOf', 1000],
  ] as const) {
    assert.equal(four.calls.get(name), times, name);
  }
});

test('a change of one slice looks at the upstreams of its Service alone, and at no route', () => {
  const manifests = manyRoutes(400);
  const first = buildSet(manifests);
  const result = translate(first, options);
  const touched = manifests.find(({ kind }) => kind === 'EndpointSlice') as Manifest;
  const edited = { ...touched, endpoints: [{ addresses: ['10.9.9.9'] }] };
  const second = buildSet(manifests.map((manifest) => (manifest === touched ? edited : manifest)));
  const set: ResourceSet = { ...first, endpointSlices: second.endpointSlices };
  const changed = [...set.endpointSlices].filter(([key, entry]) => first.endpointSlices.get(key) !== (entry as Entry<unknown>));
  assert.equal(changed.length, 1);
  let changes = 0;
  const { calls } = measure(() => {
    changes = translateEndpoints(set, options, result).changes.size;
  });
  assert.equal(changes, 1);
  assert.equal(calls.get('endpointsOf'), 1);
  assert.equal(calls.get('translateApiRoute') ?? 0, 0);
  assert.equal(calls.get('translateIngress') ?? 0, 0);
});

test('an edit of one Ingress or ApiRoute looks at that one alone, and one that goes moves no other', () => {
  const backendRefs = [{ name: 'web', port: 80 }];
  const paths = [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } }];
  const objects = Array.from({ length: 100 }, (_, index): Manifest => {
    const [metadata, host] = [{ name: `o${index}`, generation: 1 }, `o${index}.test`];
    return index % 2 === 0
      ? {
          apiVersion: 'tidegate.dev/v1alpha1',
          kind: 'ApiRoute',
          metadata,
          spec: { hostnames: [host], rules: [{ backendRefs, matches: [{ path: { value: '/a' } }] }, { backendRefs }] },
        }
      : { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata, spec: { ingressClassName: 'tidegate', rules: [{ host, http: { paths } }] } };
  });
  const web: Manifest = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { ports: [{ port: 80 }] } };
  const first = buildSet([...objects, web]);
  const before = translate(first, options);
  assert.equal(before.snapshot.routes.length, 150);
  for (const [index, kind] of [
    [40, 'ApiRoute'],
    [41, 'Ingress'],
  ] as const) {
    const written = objects[index] as Manifest;
    const others = before.snapshot.routes.filter(({ name }) => name !== `o${index}`);
    for (const now of [{ ...written, metadata: { name: `o${index}`, generation: 2 } }, web]) {
      const { ingresses, apiRoutes } = buildSet(objects.with(index, now));
      let after = before;
      const { calls } = measure(() => {
        after = translate({ ...first, ingresses, apiRoutes }, options, before);
      });
      const isEdit = now !== web;
      assert.equal(calls.get('translateApiRoute') ?? 0, isEdit && kind === 'ApiRoute' ? 1 : 0);
      assert.equal(calls.get('translateIngress') ?? 0, isEdit && kind === 'Ingress' ? 1 : 0);
      const left = new Set(after.snapshot.routes);
      assert.equal(left.size, isEdit ? 150 : others.length);
      assert.ok(others.every((route) => left.has(route)));
    }
  }
});
