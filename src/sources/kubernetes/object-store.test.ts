import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entryChanges } from '../../resources/entry-changes.ts';
import type { ResourceSet } from '../../resources/resource-set.ts';
import { collectionOf } from './collections.ts';
import { ObjectStore } from './object-store.ts';

function service(name: string, resourceVersion: number, port = 80): object {
  return { metadata: { namespace: 'shop', name, uid: name, resourceVersion: String(resourceVersion) }, spec: { ports: [{ port }] } };
}

test('a set tells what it changed of the one before, so that nobody looks through thousands of objects for it', () => {
  const store = new ObjectStore('https://10.0.0.1', () => {});
  const sink = store.sink(collectionOf('Service').kind);
  for (let index = 0; index < 2000; index++) sink.put(service(`s${index}`, index));
  const sets: ResourceSet[] = [store.current];
  sink.put(service('s7', 3000, 81));
  sets.push(store.current);
  // Another version that says the same.
  sink.put(service('s8', 3001));
  assert.equal(store.current, sets[1]);
  sink.remove(service('s9', 3002));
  sink.put(service('new', 3003));
  sets.push(store.current);
  for (const { services } of sets) {
    Object.assign(services, {
      [Symbol.iterator]: () => {
        throw new Error('looked through');
      },
    });
  }
  const changed = (from: number, to: number): string[] =>
    entryChanges((sets[from] as ResourceSet).services, (sets[to] as ResourceSet).services)
      .map(({ key, before, after }) => `${key} ${before === undefined ? 'new' : after === undefined ? 'gone' : 'other'}`)
      .sort();
  assert.deepEqual(changed(0, 1), ['shop/s7 other']);
  assert.deepEqual(changed(1, 2), ['shop/new new', 'shop/s9 gone']);
  assert.deepEqual(changed(0, 2), ['shop/new new', 'shop/s7 other', 'shop/s9 gone']);
  assert.equal(sets[2]?.services.size, 2000);
});
