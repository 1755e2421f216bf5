import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { MAX_DEPTH, parseYaml, YamlError, YamlIndex } from './yaml.ts';

const one = (text: string): unknown => {
  const { documents } = parseYaml(text);
  assert.equal(documents.length, 1, text);
  return documents[0];
};

describe('plain scalars are what kubectl takes them for', () => {
  const cases: readonly (readonly [string, unknown])[] = [
    ...['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON'].map((text) => [text, true] as const),
    ...['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF'].map((text) => [text, false] as const),
    ...['~', 'null', 'Null', 'NULL', ''].map((text) => [text, null] as const),
    ...['yEs', 'oN', 'nULL', 'None', 'yeah', '"on"', "'no'", '!!str yes'].map((text) => [text, text.replace(/^!!str |['"]/g, '')] as const),
    ['0', 0],
    ['-1', -1],
    ['+5', 5],
    ['0777', 511],
    ['0o17', 15],
    ['0x1F', 31],
    ['-0x10', -16],
    ['0b101', 5],
    ['1_000', 1000],
    ['089', 89],
    ['1.5', 1.5],
    ['.5', 0.5],
    ['1.', 1],
    ['1e3', 1000],
    ['.inf', Number.POSITIVE_INFINITY],
    ['-.Inf', Number.NEGATIVE_INFINITY],
    ['12:30', '12:30'],
    ['190:20:30', '190:20:30'],
    ['2026-01-31', '2026-01-31'],
    ['2026-01-31T00:00:00Z', '2026-01-31T00:00:00Z'],
    ['1.2.3', '1.2.3'],
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['0x', '0x'],
    ['1e', '1e'],
    ['12e4567', '12e4567'],
    ['=', '='],
    ['!!int "3"', 3],
    ['!!binary aGk=', 'hi'],
  ];
  for (const [text, value] of cases) test(text || 'nothing', () => assert.deepEqual(one(`a: ${text}`), { a: value }));

  test('keys are strings: of a boolean its name', () => assert.deepEqual(one('on: 1\n5: 2\n'), { true: 1, 5: 2 }));
  test('merge keys', () => assert.deepEqual(one('a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n'), { a: { x: 1, true: 2 }, b: { x: 3, true: 2 } }));
  test('__proto__ is a key like any other', () => assert.deepEqual(Object.keys(one('__proto__: {a: 1}') as object), ['__proto__']));
});

test('JSON is read as it is', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const text of [JSON.stringify({ value }), JSON.stringify({ value }, null, 2), JSON.stringify({ value }, null, '\t')]) {
        // YAML integers have one zero.
        assert.deepEqual(one(text), JSON.parse(text, (_, part: unknown) => (part === 0 ? 0 : part)) as unknown);
      }
    }),
    { numRuns: 500, examples: [['a\u2028b'], ['\ud83d\ude00'], ['a/b'], [{ '': '' }], [[]], ['-0']] },
  );
});

describe('within brackets and quotes indentation means nothing, as to kubectl', () => {
  const cases: readonly (readonly [what: string, text: string, value: unknown])[] = [
    ['a list closed below its key', 'a:\n  b: [\n    x,\n    z\n  ]\n  c: 1\n', { a: { b: ['x', 'z'], c: 1 } }],
    ['a mapping closed below its key', 'a:\n  b: {\n    x: z\n  }\nc: 1\n', { a: { b: { x: 'z' } }, c: 1 }],
    ['both at the margin', 'a: {\nb: [\nx\n],\nc: {d: 1\n}\n}\n', { a: { b: ['x'], c: { d: 1 } } }],
    ['a dash in between', '- - a: [\nx\n]\n  - b\n', [[{ a: ['x'] }, 'b']]],
    ['very deep', `${' '.repeat(200)}a: [\nx\n]\n`, { a: ['x'] }],
    ['tabs for indentation', 'a:\n  b: [\n\t1,\n\t2 ]\n', { a: { b: [1, 2] } }],
    ['JSON with tabs as a value', 'a: {\n\t"b": {\n\t\t"c": [\n\t\t\t1\n\t\t]\n\t}\n}\n', { a: { b: { c: [1] } } }],
    ['a tab between tokens', 'a:\n  b: [1,\t2]\n  c:\t{d: "x\ty"}\n', { a: { b: [1, 2], c: { d: 'x\ty' } } }],
    ['text in double quotes', 'a:\n  b: "x\n  y\\\n  z\n\n  q"\n', { a: { b: 'x yz\nq' } }],
    ['text in single quotes', "a:\n  b: 'x\ny'\n", { a: { b: 'x y' } }],
    ['comments', 'a: [ # one\n# two\n  x\n# three\n]\n', { a: ['x'] }],
  ];
  for (const [what, text, value] of cases) test(what, () => assert.deepEqual(one(text), value));

  test('lines are those of the text as written', () => {
    const index = new YamlIndex('a:\n  b: [\n  x,\n  {c: 1}\n  ]\nd: 2\n');
    assert.deepEqual([index.lineOf(0, ['a', 'b', 0]), index.lineOf(0, ['a', 'b', 1, 'c']), index.lineOf(0, ['d'])], [2, 3, 5]);
  });

  test('what is left open is told where the first shallow line is', () => {
    for (const text of ['a: [b\nc:\n  - d\n', 'a: "b\nc: d\n', 'a: [b\n...\n]\n']) {
      assert.throws(
        () => parseYaml(text),
        (error) => error instanceof YamlError && error.line === 1 && /deficient indentation/.test(error.message),
        text,
      );
    }
  });

  test('a text of many shallow lines is read, or refused in good time', () => {
    assert.deepEqual(one(`a: [\n${'x,\n'.repeat(500)}]\n`), { a: Array.from({ length: 500 }, () => 'x') });
    assert.throws(() => parseYaml(`a: [\n${'x,\n'.repeat(300_000)}]\n`), YamlError);
  });
});

test('documents', () => {
  assert.deepEqual(parseYaml('').documents, []);
  assert.deepEqual(parseYaml('# nothing\n').documents, []);
  assert.deepEqual(parseYaml('a: 1\n---\n# nothing\n---\nb: 2\n...\n').documents, [{ a: 1 }, null, { b: 2 }]);
});

describe('what is refused', () => {
  const cases: readonly (readonly [what: string, text: string, line: number, message: RegExp])[] = [
    ['a list that never ends', 'a: 1\nb: [1,\n', 2, /not YAML/],
    ['a tab for indentation', 'a:\n\tb: 1\n', 1, /not YAML/],
    ['indentation', 'a: 1\n  b: 2\n', 1, /not YAML/],
    ['a quote that never ends', 'a: "b\n', 1, /not YAML/],
    ['an alias to nothing', 'a: 1\nb: *c\n', 1, /not YAML/],
    ['a template that was not rendered', 'a: 1\nb:\n  - c: {d: 1}\n    e: {{ .Values.e }}\n', 3, /where a key belongs/],
    ['a list for a key', 'a: 1\n---\na: [{b: c}]\n? [d]\n: 1\n', 3, /where a key belongs/],
    ['a tag of somebody', 'a: !!python/object x\n', 0, /not YAML/],
    ['100,000 open brackets', '['.repeat(100_000), 0, /nested more than 100 deep/],
    ['100,000 open braces', '{a: '.repeat(100_000), 0, /nested more than 100 deep/],
    ['100,000 brackets in lines', '[\n'.repeat(100_000), MAX_DEPTH - 1, /nested more than 100 deep/],
    ['100,000 dashes', '- '.repeat(100_000), 0, /nested more than 100 deep/],
    ['100,000 question marks', '? '.repeat(100_000), 0, /nested more than 100 deep/],
    ['deep indentation', Array.from({ length: 2000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'), MAX_DEPTH - 1, /nested more than 100 deep/],
    ['an alias of itself', 'a: &a [*a]', 0, /contains itself/],
    [
      'a billion laughs',
      `a0: &a0 [x, x]\n${Array.from({ length: 40 }, (_, step) => `a${step + 1}: &a${step + 1} [*a${step}, *a${step}]`).join('\n')}`,
      0,
      /times as large/,
    ],
    [
      'aliases chained deep',
      `a0: &a0 x\n${Array.from({ length: 400 }, (_, step) => `a${step + 1}: &a${step + 1} [*a${step}]`).join('\n')}`,
      0,
      /deep|times as large/,
    ],
    ['aliases without end', `a: &a x\nb: [${'*a, '.repeat(2000)}]`, 0, /1000 aliases/],
  ];
  for (const [what, text, line, message] of cases) {
    test(what, () => {
      assert.throws(
        () => parseYaml(text),
        (error) => {
          assert.ok(error instanceof YamlError, String(error));
          assert.match(error.message, message);
          if (!what.startsWith('alias')) assert.equal(error.line, line);
          assert.notEqual(error.hint, '');
          return true;
        },
      );
    });
  }

  test('no text at all ends in anything but documents or a YamlError', () => {
    const pieces = [
      'a',
      ': ',
      '- ',
      '? ',
      '\n',
      '  ',
      '[',
      ']',
      '{',
      '}',
      ',',
      '"',
      "'",
      '&a ',
      '*a',
      '!!',
      '|',
      '>',
      '#',
      '%',
      '---\n',
      '...\n',
      '<<',
      '\t',
      '@',
      '\ud800',
      '\ufeff',
      '1',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 30 }), (parts) => {
        try {
          parseYaml(parts.join(''));
        } catch (error) {
          assert.ok(error instanceof YamlError, String(error));
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe('index', () => {
  const text = ['# about', 'a: 1', 'b:', '  - c: 1', '    "d": 2', '  - e', 'f: {g: 1,', '  h: 2}', '---', 'i: |', '  j: 1', 'k: 2', ''].join('\n');
  const index = new YamlIndex(text);
  const cases: readonly (readonly [document: number, path: readonly (string | number)[], line: number])[] = [
    [0, [], 1],
    [0, ['a'], 1],
    [0, ['b'], 2],
    [0, ['b', 0], 3],
    [0, ['b', 0, 'd'], 4],
    [0, ['b', 1], 5],
    [0, ['f', 'h'], 7],
    [0, ['nothing'], 1],
    [0, ['b', 7, 'x'], 2],
    [0, ['b', 0, 'nothing', 'at', 'all'], 3],
    [0, ['a', 'inside'], 1],
    [1, ['i'], 9],
    [1, ['i', 'j'], 9],
    [1, ['k'], 11],
    [2, ['a'], 0],
  ];
  for (const [document, path, line] of cases) test(`${document} ${path.join('.')}`, () => assert.equal(index.lineOf(document, path), line));

  test('on is found where YAML 1.1 has made it true', () => {
    assert.equal(new YamlIndex('a: 1\nretry:\n  attempts: 1\n  on: [200,\n    99]\n').lineOf(0, ['retry', 'on', 1]), 4);
  });

  test('keys that stand twice', () => {
    const twice = 'a: 1\nb:\n  - c: 1\n    c: 2\na: 3\nd: {<<: {}, <<: {}}\n';
    assert.equal(parseYaml(twice).hasDuplicateKeys, true);
    assert.deepEqual(new YamlIndex(twice).duplicates(0), [
      { path: ['b', 0, 'c'], key: 'c', line: 3 },
      { path: ['a'], key: 'a', line: 4 },
    ]);
    assert.equal(parseYaml(text).hasDuplicateKeys, false);
  });

  test('values after aliases and in merged mappings are found where they are written', () => {
    const aliased = new YamlIndex('a: &x\n  b: 1\nc: *x\nd: 2\n');
    assert.deepEqual([aliased.lineOf(0, ['c', 'b']), aliased.lineOf(0, ['d'])], [2, 3]);
  });
});
