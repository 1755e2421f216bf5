import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { fieldPath, parseFieldPath } from './field-path.ts';

test('fields, places in lists, keys that are no plain words', () => {
  assert.equal(fieldPath(['spec', 'rules', 0, 'matches', 1, 'path', 'value']), 'spec.rules[0].matches[1].path.value');
  assert.equal(fieldPath(['metadata', 'annotations', 'a.b/c']), 'metadata.annotations["a.b/c"]');
  assert.equal(fieldPath([]), '');
});

test('on without quotes is called what its author called it', () => {
  assert.equal(fieldPath(['spec', 'rules', 0, 'retry', 'true', 1]), 'spec.rules[0].retry.on[1]');
  assert.equal(fieldPath(['spec', 'rules', 0, 'fallback', 'true']), 'spec.rules[0].fallback.on');
  assert.equal(fieldPath(['metadata', 'annotations', 'true']), 'metadata.annotations.true');
});

test('what is written is read back', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(), fc.string(), fc.constantFrom('spec', 'tls.crt', '"', '\\', 'a-b', '0', ''))), (path) => {
      assert.deepEqual(parseFieldPath(fieldPath(path)), path);
    }),
    { numRuns: 1000 },
  );
});
