import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import type { ResourceSet } from '../resources/resource-set.ts';
import { AgeRanks } from './age-ranks.ts';
import { type ManifestFile, readManifest } from './manifest-file.ts';
import { ResourceStore } from './resource-store.ts';

/** A folder in memory: each edit gives a set. */
class Folder {
  readonly #store = new ResourceStore(new AgeRanks());
  readonly #files = new Map<string, ManifestFile>();

  /** @param texts undefined removes the file */
  edit(texts: Readonly<Record<string, string | undefined>>): ResourceSet {
    for (const [path, text] of Object.entries(texts)) {
      if (text === undefined) this.#files.delete(path);
      else this.#files.set(path, readManifest(Buffer.from(text), { previous: this.#files.get(path) }));
    }
    const paths = [...this.#files.keys()].sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
    return this.#store.update(
      paths.map((path) => ({ path, objects: this.#files.get(path)?.objects ?? [] })),
      [],
    );
  }
}

const service = (name: string, port: number | string = 80, more = ''): string =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: ${name}${more} }\nspec: { ports: [{ port: ${port} }] }\n`;
const secret = (name: string, key: string): string => `apiVersion: v1\nkind: Secret\nmetadata: { name: ${name} }\nstringData: { a: ${key} }\n`;
const ports = (set: ResourceSet): unknown[] => [...set.services.values()].map(({ object }) => object?.spec.ports[0]?.port);

describe('unchanged things stay the very same', () => {
  test('an edit that changes nothing gives the same set', () => {
    const folder = new Folder();
    const first = folder.edit({ 'a.yaml': service('a'), 'b.yaml': service('b') });
    assert.equal(folder.edit({ 'a.yaml': service('a') }), first);
    assert.equal(
      folder.edit({ 'a.yaml': `# two\n# lines\n${service('a').replace('{ name: a }', '{"name":   "a"}')}` }),
      first,
      'nor one of comments, order or spelling',
    );
    assert.equal(first.services.get('default/a')?.origin.line, 3, 'yet lines are those of the newest text');
  });

  test('an edit of one object keeps the others, and the maps of other kinds', () => {
    const folder = new Folder();
    const first = folder.edit({ 'a.yaml': `${service('a')}---\n${service('b')}---\n${secret('s', 'x')}` });
    const second = folder.edit({ 'a.yaml': `${service('new')}---\n${service('a')}---\n${service('b', 81)}---\n${secret('s', 'x')}` });
    assert.notEqual(second.services, first.services);
    assert.equal(second.services.get('default/a'), first.services.get('default/a'));
    assert.notEqual(second.services.get('default/b'), first.services.get('default/b'));
    assert.equal(second.secrets, first.secrets);
    assert.equal(second.rejected, first.rejected);
    assert.equal(second.services.get('default/a')?.origin.line, 6);
    assert.deepEqual(ports(second), [80, 80, 81]);
  });

  test('a new certificate is a change, though secrets show alike', async () => {
    const { readFileSync } = await import('node:fs');
    const pem = (file: string): string => JSON.stringify(readFileSync(new URL(`../wire/testdata/${file}`, import.meta.url), 'utf8'));
    const tls = (crt: string, key: string): string =>
      `apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ntype: kubernetes.io/tls\nstringData: { tls.crt: ${pem(crt)}, tls.key: ${pem(key)} }\n`;
    const folder = new Folder();
    const first = folder.edit({ 'a.yaml': tls('rsa.crt', 'rsa.key') });
    assert.equal(folder.edit({ 'a.yaml': `# again\n${tls('rsa.crt', 'rsa.key')}` }), first);
    assert.notEqual(folder.edit({ 'a.yaml': tls('ecdsa.crt', 'ecdsa.key') }).secrets, first.secrets);
  });
});

describe('bad versions', () => {
  test('the last good one stays in force, beside the problems of the newest', () => {
    const folder = new Folder();
    const first = folder.edit({ 'a.yaml': service('a', 80, ', generation: 1') });
    const second = folder.edit({ 'a.yaml': service('a', 0, ', generation: 2') });
    const bad = second.services.get('default/a');
    assert.equal(bad?.object, first.services.get('default/a')?.object);
    assert.deepEqual([bad?.generation, bad?.problems.map(({ field, line }) => [field, line])], [2, [['spec.ports[0].port', 4]]]);
    const third = folder.edit({ 'a.yaml': service('a', -1, ', generation: 3') });
    assert.equal(third.services.get('default/a')?.object, bad?.object, 'also when it is bad again');
    assert.equal(third.services.get('default/a')?.problems.length, 1);
    const fourth = folder.edit({ 'a.yaml': service('a', 81) });
    assert.deepEqual([ports(fourth), fourth.services.get('default/a')?.problems], [[81], []]);
  });

  test('never good: no object', () => assert.equal(new Folder().edit({ 'a.yaml': service('a', 0) }).services.get('default/a')?.object, undefined));

  test('one that is removed while it is bad takes its last good version along', () => {
    const folder = new Folder();
    folder.edit({ 'a.yaml': service('a') });
    folder.edit({ 'a.yaml': service('a', 0) });
    assert.equal(folder.edit({ 'a.yaml': undefined }).services.size, 0);
    assert.equal(folder.edit({ 'a.yaml': service('a', 0) }).services.get('default/a')?.object, undefined);
  });

  test('one that moves to another file keeps its last good version', () => {
    const folder = new Folder();
    folder.edit({ 'a.yaml': service('a') });
    const set = folder.edit({ 'a.yaml': undefined, 'b.yaml': service('a', 0) });
    assert.deepEqual([ports(set), set.services.get('default/a')?.origin.file], [[80], 'b.yaml']);
  });

  test('a wrong version is a bad version of the object that it names', () => {
    const folder = new Folder();
    folder.edit({ 'a.yaml': service('a') });
    const set = folder.edit({ 'a.yaml': service('a').replace('v1', 'v2') });
    assert.deepEqual([ports(set), set.services.get('default/a')?.problems[0]?.field], [[80], 'apiVersion']);
  });

  test('what has no place in any map is rejected, with its problem', () => {
    const set = new Folder().edit({
      'a.yaml': `${service('a').replace('name:', 'nam:')}---\nkind: ApiRuote\napiVersion: tidegate.dev/v1alpha1\nmetadata: {name: r}\n`,
    });
    assert.deepEqual(
      set.rejected.map(({ kind, name, origin, problems }) => [kind, name, origin.line, problems[0]?.field]),
      [
        ['Service', '', 1, 'metadata.name'],
        ['ApiRuote', 'r', 6, 'kind'],
      ],
    );
  });
});

describe('duplicates', () => {
  test('the first in the order of age counts, the later is told where that is', () => {
    const folder = new Folder();
    const set = folder.edit({ 'a.yaml': service('x', 80), 'b.yaml': `# about\n${service('x', 81)}` });
    assert.deepEqual(ports(set), [80]);
    assert.equal(set.rejected.length, 1);
    const [{ origin, problems, object } = assert.fail()] = set.rejected;
    assert.deepEqual([origin.file, object, problems[0]?.reason, problems[0]?.line], ['b.yaml', undefined, 'Conflicted', 4]);
    assert.match(problems[0]?.message ?? '', /Service\/default\/x is already at a\.yaml:1,/);
    assert.deepEqual(ports(folder.edit({ 'a.yaml': undefined })), [81], 'the later one takes its place');
  });

  test('a dated one is older than an undated one', () => {
    const set = new Folder().edit({ 'a.yaml': service('x', 80), 'b.yaml': service('x', 81, ', creationTimestamp: "2026-01-01T00:00:00Z"') });
    assert.deepEqual([ports(set), set.rejected[0]?.origin.file], [[81], 'a.yaml']);
  });

  test('the same name in another namespace or kind is another object', () => {
    const set = new Folder().edit({ 'a.yaml': `${service('x')}---\n${service('x', 81, ', namespace: other')}---\n${secret('x', 'y')}` });
    assert.deepEqual([set.rejected, [...set.services.keys()]], [[], ['default/x', 'other/x']]);
  });
});

describe('age', () => {
  test('dated by date, then by name; undated after them, by the bytes of their paths, then by place', () => {
    const dated = (date: string): string => `, creationTimestamp: "${date}"`;
    const set = new Folder().edit({
      'b/a.yaml': service('undated-3'),
      'b.yaml': `${service('undated-1')}---\n${service('undated-2')}---\n${service('old', 80, dated('2020-01-01T00:00:00Z'))}`,
      'é.yaml': service('undated-5'),
      'z.yaml': `${service('undated-4')}---\n${service('new-b', 80, dated('2024-01-01T00:00:00Z'))}---\n${service('new-a', 80, dated('2024-01-01T01:00:00+01:00'))}`,
    });
    const byAge = [...set.services.values()].sort((left, right) => left.age - right.age).map(({ name }) => name);
    assert.deepEqual(byAge, ['old', 'new-a', 'new-b', 'undated-1', 'undated-2', 'undated-3', 'undated-4', 'undated-5']);
    assert.deepEqual(
      [...set.services.values()].map(({ name }) => name),
      byAge,
      'maps are in that order too',
    );
  });

  test('numbers follow the order, are unique, and change for few', () => {
    const ranks = new AgeRanks();
    const check = (ids: readonly string[]): readonly number[] => {
      const given = ranks.assign(ids);
      const numbers = ids.map((id) => given.get(id) as number);
      for (const [index, number] of numbers.entries()) assert.ok(index === 0 || number > (numbers[index - 1] as number), numbers.join(' '));
      return numbers;
    };
    const [a, b, c] = check(['a', 'b', 'c']);
    assert.deepEqual(
      check(['new', 'a', 'newer', 'b', 'c', 'last']).filter((_, index) => [1, 3, 4].includes(index)),
      [a, b, c],
    );
    assert.deepEqual(check(['c', 'a', 'b']).slice(1), [a, b], 'one that moves leaves the others');
    fc.assert(
      fc.property(fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 30 }), { maxLength: 20 }), { maxLength: 20 }), (orders) => {
        for (const order of orders) check(order.map(String));
      }),
      { numRuns: 300 },
    );
  });

  test('numbers are given anew where no room is left', () => {
    const ranks = new AgeRanks();
    let ids = ['first', 'last'];
    ranks.assign(ids);
    for (let step = 0; step < 200; step++) {
      ids = ['first', `step-${step}`, ...ids.slice(1)];
      const given = ids.map((id) => ranks.assign(ids).get(id) as number);
      assert.equal(new Set(given).size, ids.length);
      assert.deepEqual(
        [...given].sort((left, right) => left - right),
        given,
      );
    }
  });
});

test('whatever the edits, the outcome is that of reading the last state at once, but for last good versions', () => {
  const text = fc.array(
    fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom(80, 81, 0), fc.constantFrom('', ', creationTimestamp: "2026-01-01T00:00:00Z"')),
    { maxLength: 4 },
  );
  const edit = fc.record({ path: fc.constantFrom('1.yaml', '2.yaml', '3.yaml'), objects: fc.option(text, { nil: undefined }) });
  const view = (set: ResourceSet): unknown =>
    [...set.services.values(), ...set.rejected].map(({ name, origin, problems }) => [name, origin.file, origin.line, problems]);
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 10 }), (edits) => {
      const folder = new Folder();
      const state: Record<string, string | undefined> = {};
      let last: ResourceSet | undefined;
      for (const { path, objects } of edits) {
        state[path] = objects?.map(([name, port, more]) => service(name, port, more)).join('---\n');
        last = folder.edit({ [path]: state[path] });
      }
      assert.deepEqual(view(last as ResourceSet), view(new Folder().edit(state)));
    }),
    { numRuns: 300 },
  );
});
