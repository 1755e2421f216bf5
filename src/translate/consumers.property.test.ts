/** Consumers that are translated edit by edit come to what they come to when all are translated anew. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { EntriesHistory } from '../resources/entry-changes.ts';
import type { Entries, Entry } from '../resources/resource-set.ts';
import { changedKeys } from '../snapshot/map-changes.ts';
import { type ConsumersResult, translateConsumers } from './consumers.ts';
import { Issues } from './issues.ts';
import { buildSet, type Manifest } from './testdata/build-set.ts';

/** Few of each, so that they are in each other's way. */
const NAMES = ['a', 'b', 'c', 'd', 'e'];
const SECRETS = ['s', 't'];
const keys = fc.array(fc.record({ name: fc.constantFrom(...SECRETS, 'missing'), key: fc.constantFrom('k', 'l') }), { maxLength: 3 });
const values = fc.constantFrom('one', 'two', 'three', ' ', '');

const consumer = fc
  .record({
    name: fc.constantFrom(...NAMES),
    namespace: fc.constantFrom('shop', 'other'),
    keys,
    users: fc.array(fc.constantFrom('u', 'v'), { maxLength: 2 }),
    subjects: fc.array(fc.constantFrom('CN=x', 'CN=y'), { maxLength: 1 }),
    jwt: fc.option(fc.record({ claim: fc.constantFrom('azp', 'sub'), value: fc.constantFrom('p', 'q') }), { nil: undefined }),
  })
  .map(
    (spec): Manifest => ({
      ...{ apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiConsumer', metadata: { name: spec.name, namespace: spec.namespace } },
      spec: {
        ...{ apiKeys: spec.keys.map((secretRef) => ({ secretRef })), basicUsers: spec.users, certificateSubjects: spec.subjects },
        ...(spec.jwt === undefined ? {} : { jwt: spec.jwt }),
      },
    }),
  );

const secret = fc
  .record({ name: fc.constantFrom(...SECRETS), namespace: fc.constantFrom('shop', 'other'), k: values, l: values })
  .map(({ name, namespace, k, l }): Manifest => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData: { k, l } }));

const edit = fc.oneof(
  fc.record({ type: fc.constant('put' as const), manifest: fc.oneof(consumer, consumer, secret), age: fc.integer({ min: 0, max: 9 }) }),
  fc.record({ type: fc.constant('remove' as const), index: fc.nat() }),
);

type Maps = { apiConsumers: Entries<never>; secrets: Entries<never> };

/** The maps of a source: each is the one before with the edit, and tells of it, unless it is not to. */
class Source {
  readonly #histories = { apiConsumers: new EntriesHistory(), secrets: new EntriesHistory() };
  maps: Maps = { apiConsumers: new Map(), secrets: new Map() };

  put(manifest: Manifest, age: number, isTold: boolean): void {
    // The age is the place among the manifests.
    const set = buildSet([...Array.from({ length: age }, () => FILLER), manifest]);
    const field = manifest.kind === 'Secret' ? 'secrets' : 'apiConsumers';
    const { namespace, name } = manifest.metadata as { namespace: string; name: string };
    const key = `${namespace}/${name}`;
    this.#change(field, key, set[field].get(key), isTold);
  }

  remove(index: number, isTold: boolean): void {
    const all = (['apiConsumers', 'secrets'] as const).flatMap((field) => [...this.maps[field].keys()].map((key) => ({ field, key })));
    const chosen = all[index % Math.max(1, all.length)];
    if (chosen !== undefined) this.#change(chosen.field, chosen.key, undefined, isTold);
  }

  #change(field: keyof Maps, key: string, entry: Entry<unknown> | undefined, isTold: boolean): void {
    const map = new Map<string, Entry<unknown>>(this.maps[field]);
    if (entry === undefined) map.delete(key);
    else map.set(key, entry);
    if (isTold) this.#histories[field].add(map, new Set([key]));
    this.maps = { ...this.maps, [field]: map };
  }
}

const FILLER: Manifest = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'filler', namespace: 'filler' } };

function view({ specs, statuses, told }: ConsumersResult): unknown {
  return {
    specs: [...specs].map(([id, { keyDigests, ...spec }]) => [id, keyDigests.reveal(), spec]).sort(),
    statuses,
    told: told.map(({ entry, issues }) => [entry.namespace, entry.name, issues]),
  };
}

test('edit by edit, and all anew', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ edits: fc.array(edit, { minLength: 1, maxLength: 3 }), isTold: fc.boolean() }), { maxLength: 12 }), (rounds) => {
      const source = new Source();
      let result: ConsumersResult | undefined;
      for (const { edits, isTold } of rounds) {
        for (const one of edits) {
          if (one.type === 'put') source.put(one.manifest, one.age, isTold);
          else source.remove(one.index, isTold);
        }
        const before = result;
        const issues = new Issues();
        result = translateConsumers(source.maps, issues, before);
        const anew = translateConsumers(source.maps, new Issues(), undefined);
        assert.deepEqual(view(result), view(anew));
        assert.equal(issues.findings().length, result.told.flatMap((one) => one.issues).length);
        if (before === undefined) continue;
        // What did not change is the very same, for that is how it is found.
        const same = [...result.specs].every(([id, spec]) => before.specs.get(id) === spec) && before.specs.size === result.specs.size;
        assert.equal(result.specs === before.specs, same);
        const { specs } = result;
        const differing = [...new Set([...specs.keys(), ...before.specs.keys()])].filter((id) => specs.get(id) !== before.specs.get(id));
        assert.deepEqual(changedKeys(before.specs, specs).sort(), differing.sort());
        assert.deepEqual(view(translateConsumers(source.maps, new Issues(), before)), view(anew), 'also where the last one was used already');
      }
    }),
    { numRuns: 150 },
  );
});

test('an edit leaves what it does not concern as it is, and so does a Secret that changes', () => {
  const source = new Source();
  const put = (manifest: object) => source.put(manifest as Manifest, 0, true);
  const named = (name: string, spec: object) => ({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiConsumer', metadata: { name, namespace: 'shop' }, spec });
  const keyed = (value: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'shop' }, stringData: { k: value } });
  put(keyed('one'));
  put(named('a', { apiKeys: [{ secretRef: { name: 's', key: 'k' } }] }));
  put(named('b', { basicUsers: ['u'] }));
  const first = translateConsumers(source.maps, new Issues(), undefined);
  put(named('b', { basicUsers: ['v'] }));
  const second = translateConsumers(source.maps, new Issues(), first);
  assert.equal(second.specs.get('shop/a'), first.specs.get('shop/a'));
  assert.equal(second.statuses[0], first.statuses[0]);
  assert.notEqual(second.specs.get('shop/b'), first.specs.get('shop/b'));
  put(keyed('two'));
  const third = translateConsumers(source.maps, new Issues(), second);
  assert.equal(third.specs.get('shop/b'), second.specs.get('shop/b'));
  assert.notEqual(third.specs.get('shop/a'), second.specs.get('shop/a'));
  assert.equal(third.statuses[0], second.statuses[0]);
  put({ ...keyed('two'), metadata: { name: 't', namespace: 'shop' } });
  assert.equal(translateConsumers(source.maps, new Issues(), third).specs, third.specs);
});
