/** How much translation does, counted rather than timed: how often each block of its code runs, as V8 counts it. */
import assert from 'node:assert/strict';
import { Session } from 'node:inspector';
import { test } from 'node:test';
import type { Entry, ResourceSet } from '../resources/resource-set.ts';
import { buildSet, type Manifest } from './testdata/build-set.ts';
import { manyRoutes } from './testdata/many-routes.ts';
import { type TranslateOptions, translate, translateEndpoints } from './translate.ts';

const options: TranslateOptions = { ingressClass: 'tidegate', allowExternalName: false, allowLoopbackEndpoints: true };

interface Work {
  /** Runs of all blocks together. */
  readonly blocks: number;
  /** Calls of functions by name. */
  readonly calls: ReadonlyMap<string, number>;
}

/** Counts what runs in src/translate/ during `run`. */
function measure(run: () => void): Work {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  run();
  let blocks = 0;
  const calls = new Map<string, number>();
  session.post('Profiler.takePreciseCoverage', (error, coverage) => {
    assert.equal(error, null);
    for (const { url, functions } of coverage.result) {
      if (!url.includes('/src/translate/') || url.includes('/testdata/')) continue;
      for (const { functionName, ranges } of functions) {
        blocks += ranges.reduce((sum, { count }) => sum + count, 0);
        calls.set(functionName, (calls.get(functionName) ?? 0) + (ranges[0]?.count ?? 0));
      }
    }
  });
  session.post('Profiler.stopPreciseCoverage');
  session.disconnect();
  assert.ok(blocks > 0);
  return { blocks, calls };
}

test('work grows in proportion to the number of rules', () => {
  const small = buildSet(manyRoutes(400));
  const large = buildSet(manyRoutes(1600));
  // What is done once only is done before anything is counted.
  translate(small, options);
  const one = measure(() => translate(small, options)).blocks;
  const four = measure(() => translate(large, options)).blocks;
  // Sorting adds a logarithm; quadratic work would make it 16.
  assert.ok(four / one < 5, `${one} blocks for 400 rules, ${four} for 1600`);
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
