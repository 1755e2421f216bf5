import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Match } from './match.ts';
import { describeDuration, describeMatch } from './words.ts';

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

test('durations in the units of manifests', () => {
  assert.deepEqual([0, 250, 1500, 90_000, 3_600_000, 86_400_001].map(describeDuration), ['0s', '250ms', '1s500ms', '1m30s', '1h', '24h1ms']);
});
