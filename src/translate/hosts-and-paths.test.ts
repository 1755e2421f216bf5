import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc, { anyCharacter } from '../../scripts/fast-check.ts';
import { normalizePath } from '../exchange/path.ts';
import { hostKey } from '../snapshot/host-key.ts';
import { coversHost, hostPattern, hostsOverlap, namedPathMatch, pathMatch } from './hosts-and-paths.ts';

test('patterns of hosts', () => {
  assert.deepEqual(hostPattern(undefined, 'Suffix'), { type: 'Any' });
  assert.deepEqual(hostPattern('a.example.com', 'Suffix'), { type: 'Exact', value: 'a.example.com' });
  assert.deepEqual(hostPattern('*.example.com', 'Suffix'), { type: 'Suffix', value: 'example.com' });
  assert.deepEqual(hostPattern('*.example.com', 'OneLabel'), { type: 'OneLabel', value: 'example.com' });
});

test('keys of hosts differ where the patterns do, and sort exact hosts first', () => {
  const patterns = [hostPattern('b', 'Suffix'), hostPattern('*.a', 'Suffix'), hostPattern('*.a', 'OneLabel'), hostPattern(undefined, 'Suffix')];
  const keys = patterns.map(hostKey);
  assert.deepEqual([...new Set(keys)].sort(), keys);
});

test('two patterns overlap where some host fits both', () => {
  const read = (text: string) => (text.startsWith('one:') ? hostPattern(text.slice(4), 'OneLabel') : hostPattern(text === 'any' ? undefined : text, 'Suffix'));
  for (const [one, other, overlap] of [
    ['a.x', 'a.x', true],
    ['a.x', 'b.x', false],
    ['a.x', 'any', true],
    ['a.x', '*.x', true],
    ['a.b.x', '*.x', true],
    ['a.b.x', 'one:*.x', false],
    ['a.x', 'one:*.x', true],
    ['x', '*.x', false],
    ['ax', '*.x', false],
    ['*.x', '*.x', true],
    ['*.x', 'one:*.x', true],
    ['*.x', '*.a.x', true],
    ['*.x', 'one:*.a.x', true],
    ['one:*.x', '*.a.x', false],
    ['one:*.x', 'one:*.a.x', false],
    ['*.x', '*.ax', false],
    ['*.x', '*.y', false],
    ['one:*.x', 'any', true],
    ['any', 'any', true],
  ] as const) {
    assert.equal(hostsOverlap(read(one), read(other)), overlap, `${one} ${other}`);
    assert.equal(hostsOverlap(read(other), read(one)), overlap, `${other} ${one}`);
  }
});

for (const [pattern, host, covers] of [
  ['a.example.com', 'a.example.com', true],
  ['a.example.com', 'b.example.com', false],
  ['*.example.com', 'a.example.com', true],
  ['*.example.com', 'b.a.example.com', false],
  ['*.example.com', 'example.com', false],
  ['*.example.com', '*.example.com', true],
  ['a.example.com', '*.example.com', false],
  ['*.com', '*.example.com', false],
  ['*.example.com', undefined, true],
] as const) {
  test(`${pattern} ${covers ? 'covers' : 'does not cover'} ${host ?? 'any host'}`, () => {
    assert.equal(coversHost(pattern, hostPattern(host, 'OneLabel')), covers);
  });
}

for (const [type, written, normal] of [
  ['PathPrefix', '/', '/'],
  ['PathPrefix', '//', '/'],
  ['PathPrefix', '/a/', '/a'],
  ['PathPrefix', '/a//b/', '/a//b'],
  ['Exact', '/a/', '/a/'],
  ['Exact', '/a/%2e%2E/b', '/b'],
  ['Exact', '/%7Ea/%c3%a9', '/~a/%C3%A9'],
  ['Exact', '/é "x"', '/%C3%A9%20"x"'],
  ['RegularExpression', '/a/../(b|c)%2f', '/a/../(b|c)%2f'],
] as const) {
  test(`${type} ${written} is ${normal}`, () => {
    assert.deepEqual(pathMatch(type, written), { type, value: normal });
  });
}

for (const [type, written, names] of [
  ['PathPrefix', '/users/{id}/', ['', 'id']],
  ['Exact', '/users/{id}/', ['', 'id', '']],
  ['PathPrefix', '/a/../{id}/%7bx%7d', ['id', '']],
  ['PathPrefix', '/a', undefined],
  ['RegularExpression', '/a/[0-9]{2}', undefined],
] as const) {
  test(`${type} ${written} names ${names?.join() ?? 'nothing'}`, () => {
    assert.deepEqual(namedPathMatch(type, written)?.names, names);
    // In an Ingress braces are what they are.
    assert.equal(pathMatch(type, written)?.names, undefined);
  });
}

for (const written of ['/a?b', '/a#b', '/a\\b', '/a%2Fb', '/a%5cb', '/a%00', '/%', 'a']) {
  test(`no request has the path ${written}`, () => {
    assert.equal(pathMatch('Exact', written), undefined);
  });
}

test('paths are in the normal form of requests, whatever is written', () => {
  fc.assert(
    fc.property(fc.string({ unit: anyCharacter }), fc.constantFrom('Exact' as const, 'PathPrefix' as const), (text, type) => {
      const match = pathMatch(type, `/${text}`);
      if (match === undefined) return;
      assert.equal(normalizePath(match.value), match.value);
      assert.ok(type === 'Exact' || match.value === '/' || !match.value.endsWith('/'));
    }),
  );
});
