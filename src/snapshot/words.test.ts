import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Match } from './match.ts';
import { describeMatch } from './words.ts';

const plain: Match = { path: { type: 'Exact', value: '/a' }, headers: [], queryParams: [], cookies: [] };

test('a match on one line', () => {
  assert.equal(describeMatch(plain), 'Exact /a');
  assert.equal(
    describeMatch({
      ...plain,
      methods: ['GET', 'HEAD'],
      headers: [{ name: 'x-a', type: 'Present', value: '' }],
      queryParams: [{ name: 'q', type: 'RegularExpression', value: 'a+' }],
      cookies: [{ name: 'c', type: 'Exact', value: '1' }],
      clientCIDRs: ['10.0.0.0/8'],
      scheme: 'https',
    }),
    'Exact /a with method GET or HEAD, header x-a present, query parameter q matching "a+", cookie c = "1", client in 10.0.0.0/8, scheme https',
  );
});

test('a long match is cut', () => {
  const line = describeMatch({ ...plain, cookies: [{ name: 'c', type: 'Exact', value: 'x'.repeat(4000) }] });
  assert.match(line, /^Exact \/a with cookie c = "x+\.\.\.$/);
  assert.ok(line.length < 400);
});
