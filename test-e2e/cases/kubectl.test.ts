/** Our kinds as users of kubectl and writers of manifests see them: lists, explanations, merges. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import { type KubernetesObject, pathOf } from '../cluster/api-client.ts';
import { Cluster } from '../cluster/cluster.ts';
import { EXAMPLES } from './crd-examples.ts';
import { customKinds, walk } from './crd-schemas.ts';

const cluster = Cluster.open(wholeFile);
let namespace: string;
before(async () => {
  namespace = await cluster.namespace(wholeFile, 'kubectl');
  for (const { apiVersion, kind } of customKinds) {
    await cluster.api.create({ apiVersion, kind, metadata: { name: `example-${kind.toLowerCase()}`, namespace }, spec: EXAMPLES[kind] });
  }
});

function condition(type: string, status: string): object {
  return { type, status, reason: 'Tested', message: 'As the test says.', lastTransitionTime: '2026-01-01T00:00:00Z', observedGeneration: 1 };
}

/** Server-side apply of a status by somebody who owns those conditions. */
async function applyStatus(object: KubernetesObject, fieldManager: string, conditions: readonly object[]): Promise<KubernetesObject> {
  const { apiVersion, kind, metadata } = object;
  const { name, namespace: inside } = metadata;
  const body = { apiVersion, kind, metadata: { name, namespace: inside }, status: { conditions } };
  const path = `${pathOf(object)}/status?fieldManager=${fieldManager}&fieldValidation=Strict`;
  const answer = await cluster.api.call('PATCH', path, body, 'application/apply-patch+yaml');
  assert.equal(answer.status, 200, answer.body.message);
  return answer.body;
}

/** Cells of `kubectl get`, by row; columns are apart by three spaces at least. */
async function table(...args: readonly string[]): Promise<readonly (readonly string[])[]> {
  const { code, stdout, stderr } = await cluster.kubectl(['get', ...args, '--namespace', namespace]);
  assert.equal(code, 0, stderr);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd().split(/ {3,}/));
}

describe('kubectl get', () => {
  test('tidegate lists all kinds of ours', async () => {
    const { code, stdout, stderr } = await cluster.kubectl(['get', 'tidegate', '--namespace', namespace, '--output=name']);
    assert.equal(code, 0, stderr);
    const names = customKinds.map(({ kind }) => `${kind.toLowerCase()}.tidegate.dev/example-${kind.toLowerCase()}`);
    assert.deepEqual(stdout.trim().split('\n').sort(), names.sort());
  });

  test('knows the short names', async () => {
    for (const short of ['ar', 'bp', 'rlp']) assert.equal((await cluster.kubectl(['get', short, '--namespace', namespace])).code, 0, short);
  });

  test('apiroutes prints hostnames, accepted, programmed, age', async () => {
    const route = { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name: 'example-apiroute', namespace } };
    await applyStatus(route, 'table', [condition('Accepted', 'True'), condition('Programmed', 'False')]);
    const [head, row] = await table('apiroutes');
    assert.deepEqual(head, ['NAME', 'HOSTNAMES', 'ACCEPTED', 'PROGRAMMED', 'AGE']);
    assert.deepEqual(row?.slice(0, 4), ['example-apiroute', '["example.com","*.example.com"]', 'True', 'False']);
    assert.match(row?.[4] ?? '', /^\d+s$/);
  });

  for (const [plural, targets] of [
    ['backendpolicies', 'orders'],
    ['ratelimitpolicies', 'shop'],
    ['authpolicies', 'shop'],
  ] as const) {
    test(`${plural} prints targets and age`, async () => {
      const [head, row] = await table(plural);
      assert.equal(head?.[0], 'NAME');
      assert.ok(head?.includes('TARGETS') && head.at(-1) === 'AGE', String(head));
      assert.ok(
        row?.some((cell) => cell.includes(targets)),
        String(row),
      );
    });
  }
});

describe('kubectl explain', () => {
  test('apiroute.spec.rules has something to say on every field', async () => {
    const { code, stdout } = await cluster.kubectl(['explain', 'apiroute.spec.rules']);
    assert.equal(code, 0);
    assert.match(stdout, /KIND: +ApiRoute\nVERSION: +v1alpha1/);
    for (const field of ['name', 'matches', 'filters', 'timeouts', 'backendRefs']) {
      assert.match(stdout, new RegExp(`^ {2}${field}\\t<[^>]+>\\n {4}\\S`, 'm'), field);
    }
  });

  for (const { kind, spec, status } of customKinds) {
    test(`${kind}: every field has a description that is a sentence`, () => {
      const silent: string[] = [];
      const look = (schema: { readonly description?: string }, path: string): void => {
        if (!path.endsWith('[]') && !/^\S.*[.:;)"]$/s.test(schema.description ?? '')) silent.push(path);
      };
      walk(spec, 'spec', look);
      walk(status, 'status', look);
      assert.deepEqual(silent, []);
    });
  }
});

describe('merges', () => {
  test('conditions of several writers stay side by side, and each takes back its own', async () => {
    for (const { apiVersion, kind } of customKinds) {
      const object = { apiVersion, kind, metadata: { name: `merged-${kind.toLowerCase()}`, namespace }, spec: EXAMPLES[kind] };
      await cluster.api.create(object);
      await applyStatus(object, 'first', [condition('Accepted', 'True'), condition('ResolvedRefs', 'True')]);
      const both = await applyStatus(object, 'second', [condition('Programmed', 'True')]);
      const types = (each: KubernetesObject): readonly string[] => each.status.conditions.map((one: { type: string }) => one.type).sort();
      assert.deepEqual(types(both), ['Accepted', 'Programmed', 'ResolvedRefs'], kind);
      assert.deepEqual(types(await applyStatus(object, 'first', [condition('Accepted', 'True')])), ['Accepted', 'Programmed'], kind);
    }
  });

  test('of two appliers of one spec each owns its fields', async () => {
    const base = { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name: 'shared', namespace } };
    await cluster.api.apply({ ...base, spec: { rules: [{ backendRefs: [{ name: 'a', port: 80 }] }] } }, 'routes');
    await cluster.api.apply({ ...base, spec: { hostnames: ['a.example.com'] } }, 'hosts');
    const { spec } = await cluster.api.apply({ ...base, spec: { rules: [{ backendRefs: [{ name: 'b', port: 80 }] }] } }, 'routes');
    assert.deepEqual(spec, { hostnames: ['a.example.com'], rules: [{ backendRefs: [{ name: 'b', port: 80 }] }] });
  });

  test('applying the same again changes nothing, and nothing is written that nobody applied', async () => {
    for (const { apiVersion, kind } of customKinds) {
      const object = { apiVersion, kind, metadata: { name: `again-${kind.toLowerCase()}`, namespace }, spec: EXAMPLES[kind] };
      const first = await cluster.api.apply(object);
      const second = await cluster.api.apply(object);
      assert.deepEqual(first.spec, EXAMPLES[kind], kind);
      assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion, kind);
    }
  });

  test('two list entries with one key are refused', async () => {
    for (const { apiVersion, kind, spec } of customKinds) {
      const keyed: string[] = [];
      walk(spec, 'spec', (schema, path) => {
        if (schema['x-kubernetes-list-type'] === 'map') keyed.push(path);
      });
      for (const path of keyed) {
        const doubled = structuredClone(EXAMPLES[kind]);
        const list = listAt(doubled, path.split('.').slice(1));
        list.push(structuredClone(list[0]));
        const object = { apiVersion, kind, metadata: { name: 'doubled', namespace }, spec: doubled };
        await assert.rejects(cluster.api.create(object), /Duplicate value/, path);
      }
    }
  });
});

/** The first list of a value that is at a path such as `rules[]`, `matches[]`, `headers`. */
function listAt(value: unknown, steps: readonly string[]): unknown[] {
  let candidates: unknown[] = [value];
  for (const step of steps) {
    const name = step.replace('[]', '');
    candidates = candidates.map((candidate) => (candidate as Record<string, unknown>)[name]).filter((inner) => inner !== undefined);
    if (step.endsWith('[]')) candidates = candidates.flat();
  }
  assert.ok(Array.isArray(candidates[0]), `an example has ${steps.join('.')}`);
  return candidates[0];
}
