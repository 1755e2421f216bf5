import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { parseJsonText } from './json-text.ts';

test('names with escapes are read as they are meant, whatever was read before', () => {
  // From these V8 expects names that look like the escapes below. Others send them, by ways of their own.
  JSON.parse('{"u":1,"a\\\\/b":1}');
  JSON.parse('{"sub":"alice","\\\\u0":1}');
  assert.deepEqual(parseJsonText('{"u":1,"a\\/bc":1}'), { u: 1, 'a/bc': 1 });
  assert.deepEqual(parseJsonText('{"sub":"alice","\\u0073ub":"admin"}'), { sub: 'admin' });
  assert.deepEqual(parseJsonText('[{"u":1,"a\\/bc" :{"a\\\\\\/b":[{"\\"":"\\"\\u00e9:"}]}}]'), [{ u: 1, 'a/bc': { 'a\\/b': [{ '"': '"é:' }] } }]);
});

test('names stay in their order, and __proto__ is one of them', () => {
  const value = parseJsonText('{"b":1,"\\"":2,"__proto__":3,"a":4}') as object;
  assert.deepEqual(Object.entries(value), [
    ['b', 1],
    ['"', 2],
    ['__proto__', 3],
    ['a', 4],
  ]);
});

test('any value is read as it was written, each character escaped or not', () => {
  const names = fc.string({ unit: fc.constantFrom('a', '/', '\\', '"', '\n', '\u0000', 'é', '\ud83d', ':', ' ', '{'), maxLength: 4 });
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small' },
      names,
      fc.integer(),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(names, tie('tree'), { maxKeys: 4, noNullPrototype: true }),
    ),
  }));
  const escaped = (text: string): string => text.replaceAll('a', '\\u0061').replaceAll('/', '\\/');
  fc.assert(
    fc.property(tree, fc.boolean(), (value, isEscaped) => {
      const text = JSON.stringify(value);
      assert.deepEqual(parseJsonText(isEscaped ? escaped(text) : text), value);
    }),
  );
});

test('what is no JSON is none here', () => {
  for (const text of ['{"a\\":1', '{"\\x":1}', '{"\\\n":1}', '"\\', '{"a\\/b":}', '{\\"a":1}', '"a\\/b":1', `{"\\u0061":1,"${'\\"'.repeat(100_000)}`])
    assert.throws(() => parseJsonText(text), SyntaxError);
});
