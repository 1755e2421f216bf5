import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { Fields } from '../exchange/fields.ts';
import type { HeaderEdit, HeaderModifier } from '../snapshot/filters.ts';
import { exchangeOf } from './exchange.fixture.ts';
import { HeaderEdits } from './header-edits.ts';

const NAMES = ['x-a', 'x-b', 'x-long-name', 'user-agent', 'date', 'x-forwarded-foo', 'x-forwarded-bar', 'client-cert', 'client-cert-chain', 'content-type'];

function pairsOf(fields: Fields): [string, string][] {
  const pairs: [string, string][] = [];
  fields.forEach((name, value) => {
    pairs.push([name, value]);
  });
  return pairs;
}

/** What Gateway API says, one step after the other. */
function stepByStep(fields: Fields, { remove, set, add }: HeaderModifier): void {
  for (const name of remove) fields.remove(name);
  for (const { name, value } of set) fields.set(name, value as string);
  for (const { name, value } of add) fields.append(name, value as string);
}

test('values that stand in the manifest come to the same as one edit after the other, message for message', () => {
  const name = fc.constantFrom(...NAMES);
  const edit: fc.Arbitrary<HeaderEdit> = fc.record({ name, value: fc.constantFrom('', '1', 'two words') });
  const modifier: fc.Arbitrary<HeaderModifier> = fc.record({
    remove: fc.array(name, { maxLength: 4 }),
    set: fc.uniqueArray(edit, { maxLength: 4, selector: (one) => one.name }),
    add: fc.array(edit, { maxLength: 4 }),
  });
  const anyCase = name.chain((one) => fc.constantFrom(one, one.toUpperCase()));
  const message = fc.array(fc.tuple(anyCase, fc.constantFrom('', 'x', 'y z')), { maxLength: 8 });
  fc.assert(
    fc.property(modifier, fc.array(message, { minLength: 1, maxLength: 3 }), (edits, messages) => {
      const compiled = new HeaderEdits('request', edits);
      for (const pairs of messages) {
        const fields = Fields.of(pairs);
        const expected = Fields.of(pairs);
        compiled.apply(fields, exchangeOf());
        stepByStep(expected, edits);
        assert.deepEqual(pairsOf(fields), pairsOf(expected));
        for (const one of NAMES) assert.deepEqual(fields.getAll(one), expected.getAll(one));
      }
    }),
  );
});

test('a value beside expressions is set as it stands', () => {
  const fields = Fields.of([['x-a', 'old']]);
  new HeaderEdits('request', {
    remove: [],
    set: [{ name: 'x-a', value: 'new' }],
    add: [{ name: 'x-m', expression: 'request.method' } as HeaderEdit],
  }).apply(fields, exchangeOf({ method: 'PUT' }));
  assert.equal(fields.serialize(), 'x-a: new\r\nx-m: PUT\r\n');
});
