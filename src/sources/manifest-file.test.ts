import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_FILE_BYTES, type ManifestFile, readManifest } from './manifest-file.ts';

const read = (text: string, previous?: ManifestFile): ManifestFile => readManifest(Buffer.from(text), { previous });

const service = (name: string, port: number | string = 80): string =>
  `apiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  ports:\n    - port: ${port}\n`;

const names = (file: ManifestFile): string[] => file.objects.map(({ decoded }) => `${decoded.kindName} ${decoded.namespace}/${decoded.name}`);

describe('documents and lists', () => {
  test('several documents, some empty, some of others', () => {
    const file = read(`# comment\n---\n${service('a')}---\n\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: d }\n--- # next\n${service('b')}`);
    assert.deepEqual(names(file), ['Service default/a', 'Service default/b']);
    assert.deepEqual([file.flaw, file.isBlank], [undefined, false]);
    assert.deepEqual(
      file.objects.map((object) => [object.line(), object.lineOf('spec.ports[0].port')]),
      [
        [3, 9],
        [17, 23],
      ],
    );
  });

  test('lists, also within lists', () => {
    const items = [
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' }, spec: { ports: [{ port: 80 }] } },
      { apiVersion: 'v1', kind: 'ServiceList', items: [{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'b' }, spec: { ports: [{ port: 81 }] } }] },
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'c' } },
    ];
    const file = read(JSON.stringify({ apiVersion: 'v1', kind: 'List', metadata: {}, items }, null, 2));
    assert.deepEqual(names(file), ['Service default/a', 'Service default/b']);
    assert.equal(
      file.objects[1]?.lineOf('metadata.name') ?? 0,
      JSON.stringify({ items }, null, 2)
        .split('\n')
        .findIndex((line) => line.includes('"b"')) + 4,
    );
  });

  test('a list of one kind, as the API server writes it: its items need not repeat the kind', () => {
    const item = (name: string) => ({ metadata: { name }, spec: { ports: [{ port: 80 }] } });
    const file = read(JSON.stringify({ kind: 'ServiceList', apiVersion: 'v1', metadata: { resourceVersion: '5' }, items: [item('a'), item('b')] }));
    assert.deepEqual(names(file), ['Service default/a', 'Service default/b']);
    assert.ok(file.objects.every(({ decoded }) => decoded.object !== undefined));
    assert.match(read(JSON.stringify({ kind: 'List', apiVersion: 'v1', items: [item('a')] })).objects[0]?.problems()[0]?.message ?? '', /missing/);
    const half = { ...item('a'), apiVersion: 'v1' };
    assert.match(read(JSON.stringify({ kind: 'ServiceList', apiVersion: 'v1', items: [half] })).objects[0]?.problems()[0]?.message ?? '', /kind is missing/);
  });

  test('objects of JSON one after the other', () => {
    const object = (name: string, port: number | string = 80) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, annotations: { 'a.b/c': '}{ \\"}' } },
      spec: { ports: [{ port }] },
    });
    const file = read(
      `${JSON.stringify(object('a'))}\n${JSON.stringify(object('b'), null, 2)}${JSON.stringify(object('c'))}\n\n${JSON.stringify(object('d', '80'), null, 2)}\n---\n${service('e')}`,
    );
    assert.deepEqual([file.flaw, names(file)], [undefined, ['a', 'b', 'c', 'd', 'e'].map((name) => `Service default/${name}`)]);
    const height = JSON.stringify(object('b'), null, 2).split('\n').length;
    assert.deepEqual(
      file.objects.map((one) => one.line()),
      [1, 2, 1 + height, 3 + height, 4 + 2 * height],
    );
    assert.equal(file.objects[3]?.problems()[0]?.field, 'spec.ports[0].port');
  });

  test('what only looks like objects of JSON one after the other is one document', () => {
    const flow = "{apiVersion: v1, kind: Service, metadata: {name: a, annotations: {a.b/c: '}'}}, spec: {ports: [{port: 80}]}}\n";
    assert.deepEqual(names(read(flow)), ['Service default/a']);
    for (const text of [`${flow}{a: b}\n`, '{"a": 1} x\n', '{"a": 1}\n{"b": \n', '{"a": 1}}\n{"b": 1}\n'])
      assert.match(read(text).flaw?.message ?? '', /not YAML/, text);
  });

  test('block scalars end where a document begins', () => {
    const file = read(`apiVersion: v1\nkind: Pod\nmetadata: { name: c }\ndata:\n  x: |\n    ----\n    --- not a mark\n---\n${service('a')}`);
    assert.deepEqual(names(file), ['Service default/a']);
  });

  for (const [what, text] of [
    ['directives', `%YAML 1.1\n# about\n---\n${service('a')}`],
    ['a byte order mark', `\ufeff${service('a')}`],
    ['line ends of Windows', service('a').replaceAll('\n', '\r\n')],
    ['no line end at the end', service('a').trimEnd()],
    ['the end of a document', `${service('a')}...\n`],
    ['a mark with content', `--- {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}`],
  ] as const) {
    test(what, () => {
      const file = read(text);
      assert.deepEqual([file.flaw, names(file)], [undefined, ['Service default/a']]);
    });
  }

  test('blank files', () => {
    for (const text of ['', '\n\n', '# nothing\n', '---\n', '---\n# nothing\n---\n'])
      assert.deepEqual([read(text).isBlank, read(text).flaw], [true, undefined], JSON.stringify(text));
    assert.equal(read('apiVersion: v1\nkind: Pod\nmetadata: {name: a}').isBlank, false);
  });
});

describe('files that are none', () => {
  const binary = Buffer.concat([Buffer.from(service('a')), Buffer.from([0])]);
  const cases: readonly (readonly [what: string, bytes: Buffer, line: number, message: RegExp, hint: RegExp])[] = [
    ['binary', binary, 0, /binary, not text/, /UTF-8/],
    ['not UTF-8', Buffer.from([0x61, 0xff, 0xfe]), 0, /not UTF-8/, /UTF-8/],
    ['10 MiB', Buffer.alloc(10 * 1024 * 1024, 0x20), 0, /10\.0 MiB, more than 8 MiB/, /split/],
    ['plain prose', Buffer.from('just some words\n'), 1, /plain text, not an object/, /apiVersion/],
    ['a bare list', Buffer.from('# list\n- a\n'), 2, /a list, not an object/, /apiVersion/],
    ['a bracket left open', Buffer.from(`${service('a')}---\na: [\n`), 10, /not YAML/, /brackets/],
    ['100,000 brackets', Buffer.from('['.repeat(100_000)), 1, /nested/, /flatter/],
  ];
  for (const [what, bytes, line, message, hint] of cases) {
    test(what, () => {
      const { flaw } = readManifest(bytes);
      assert.match(flaw?.message ?? '', message);
      assert.match(flaw?.hint ?? '', hint);
      assert.equal(flaw?.line, line);
    });
  }

  test('just as large as may be', () => {
    const text = service('a');
    const file = readManifest(Buffer.from(text + '#'.repeat(MAX_FILE_BYTES - text.length)));
    assert.deepEqual([file.flaw, names(file)], [undefined, ['Service default/a']]);
  });

  test('one document that cannot be read leaves the others', () => {
    const file = read(`${service('a')}---\nb: [\n---\n${service('c')}`);
    assert.deepEqual(names(file), ['Service default/a', 'Service default/c']);
    assert.equal(file.flaw?.line, 10);
  });
});

describe('problems stand on their lines', () => {
  test('a field, a missing field, an unknown field', () => {
    const file = read(`---\n# about\napiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n    - name: x\n      target: 5\n  type: Cluster\n`);
    assert.deepEqual(
      new Set(file.objects[0]?.problems().map(({ field, line }) => `${line} ${field}`)),
      new Set(['11 spec.type', '9 spec.ports[0].port', '10 spec.ports[0].target']),
    );
  });

  test('a key that stands twice is a problem of the object', () => {
    const file = read(`${service('a')}---\n${service('b').replace('spec:', 'spec:\n  type: NodePort\nspec:')}---\n${service('c')}`);
    assert.equal(file.flaw, undefined);
    const [, bad] = file.objects;
    assert.deepEqual(names(file), ['Service default/a', 'Service default/b', 'Service default/c']);
    assert.equal(bad?.decoded.object, undefined);
    assert.deepEqual(
      bad?.problems().map(({ field, message, line }) => [field, message, line]),
      [['spec', 'the key "spec" is there twice', 15]],
    );
    assert.ok(file.objects[0]?.decoded.object && file.objects[2]?.decoded.object);
  });

  test('in a list, a key that stands twice is the problem of its item', () => {
    const item = (name: string, more = ''): string => `  - {apiVersion: v1, kind: Service, metadata: {name: ${name}${more}}, spec: {ports: [{port: 80}]}}\n`;
    const file = read(`apiVersion: v1\nkind: List\nitems:\n${item('a')}${item('b', ', name: c')}`);
    assert.deepEqual(
      file.objects.map((object) => object.problems().map(({ field, line }) => `${line} ${field}`)),
      [[], ['5 metadata.name']],
    );
    assert.match(read(`apiVersion: v1\nkind: List\nitems: []\nitems:\n${item('a')}`).flaw?.message ?? '', /"items" is there twice/);
  });

  test('other kinds may hold what they like', () => {
    assert.deepEqual(read('apiVersion: v1\nkind: Pod\nmetadata: {name: a}\ndata: {a: 1, a: 2}\n').objects, []);
  });
});

describe('reading again', () => {
  test('documents that did not change are the same, at their new lines', () => {
    const first = read(`${service('a')}---\n${service('b')}---\n${service('c')}`);
    const second = read(`# one\n# two\n${service('a')}---\n${service('b', 81)}---\n${service('c')}`, first);
    assert.notEqual(second.objects[0], first.objects[0], 'its text has two lines more');
    assert.notEqual(second.objects[1], first.objects[1]);
    assert.equal(second.objects[2], first.objects[2]);
    assert.deepEqual(
      second.objects.map((object) => object.line()),
      [3, 11, 19],
    );
  });

  test('two documents with the same text stay two', () => {
    const text = `---\n${service('a')}---\n${service('a')}`;
    const again = read(text, read(text));
    assert.deepEqual(
      again.objects.map((object) => object.line()),
      [2, 10],
    );
  });

  test('problems move with their document', () => {
    const bad = `---\n${service('a', '"x y"')}`;
    const first = read(bad);
    const lines = (file: ManifestFile) => file.objects[0]?.problems().map(({ line }) => line);
    assert.deepEqual(lines(first), [8]);
    const second = read(`# one\n${bad}`, first);
    assert.equal(second.objects[0], first.objects[0]);
    assert.deepEqual(lines(second), [9]);
  });
});
