import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changedKeys, tellChanges } from './map-changes.ts';

test('what is new, another one, or gone, whether or not anybody has told', () => {
  const before = new Map([
    ['same', 1],
    ['other', 2],
    ['gone', 3],
  ]);
  const after = new Map([
    ['same', 1],
    ['other', 4],
    ['new', 5],
  ]);
  assert.deepEqual(changedKeys(before, after).sort(), ['gone', 'new', 'other']);
  assert.deepEqual(changedKeys(after, after), []);
  tellChanges(before, after, ['other', 'gone', 'same', 'new', 'other']);
  assert.deepEqual(changedKeys(before, after), ['other', 'gone', 'new']);
  assert.deepEqual(changedKeys(new Map(), after).sort(), ['new', 'other', 'same'], 'told of another one');
});

test('only what was told of is looked at', () => {
  const before = new Map([['a', 1]]);
  const after = new Map([['a', 2]]);
  after.keys = () => assert.fail('looked at all');
  tellChanges(before, after, ['a']);
  assert.deepEqual(changedKeys(before, after), ['a']);
});
