import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { normalizePath } from './path.ts';

const normalized: readonly (readonly [string, string])[] = [
  ['/', '/'],
  ['//', '//'],
  ['/a//b', '/a//b'],
  ['/a.b/c..d/...', '/a.b/c..d/...'],
  ['/.well-known/x', '/.well-known/x'],
  ['/a/./b', '/a/b'],
  ['/a/../b', '/b'],
  ['/a/.', '/a/'],
  ['/a/..', '/'],
  ['/a/b/..', '/a/'],
  ['/.', '/'],
  ['/..', '/'],
  ['/../../etc', '/etc'],
  ['/a/../../b', '/b'],
  ['/a//../b', '/a/b'],
  ['/a/%2e%2e/b', '/b'],
  ['/a/%2E./b', '/b'],
  ['/a/.%2e', '/'],
  ['/%2e', '/'],
  ['/%7Euser/%41%5f%2D', '/~user/A_-'],
  ['/%e4%bd%a0', '/%E4%BD%A0'],
  ['/a%20b%3f%23', '/a%20b%3F%23'],
  ['/%252e%252e/x', '/%252e%252e/x'],
  ['/%25%32%46', '/%252F'],
  ['/..;/x', '/..;/x'],
  ["/a;b=c,d!$&'()*+:@", "/a;b=c,d!$&'()*+:@"],
];
for (const [path, expected] of normalized) {
  test(`${path} becomes ${expected}`, () => assert.equal(normalizePath(path), expected));
}

for (const path of [
  '',
  'a',
  '*',
  '/a%2fb',
  '/a%2Fb',
  '/a%5cb',
  '/a%5C',
  '/%00',
  '/a\\b',
  '/a#b',
  '/a?b',
  '/a b',
  '/a\tb',
  '/a\u0000',
  '/a\u007f',
  '/ä',
  '/%',
  '/%2',
  '/%zz',
  '/%2g',
  '/%g2',
  '/a%2e/%',
  '/a/./b\\c',
  '/%41/ä',
  '/%41 ',
]) {
  test(`${JSON.stringify(path)} is refused`, () => assert.equal(normalizePath(path), undefined));
}

const pieces = fc.constantFrom('/', '/', '.', '..', 'a', 'B', '%2e', '%2E', '%41', '%7e', '%3d', '%C3%a9', '%25', '-', '//', '..a', '%252e');
const paths = fc.array(pieces, { maxLength: 14 }).map((list) => `/${list.join('')}`);

test('the result has no dot segment, begins with a slash, and does not change any more', () => {
  fc.assert(
    fc.property(paths, (path) => {
      const once = normalizePath(path);
      assert.ok(once !== undefined);
      assert.match(once, /^\//);
      assert.ok(!once.split('/').some((segment) => /^(?:\.|%2e){1,2}$/i.test(segment)), once);
      assert.equal(normalizePath(once), once);
    }),
    { numRuns: 5_000 },
  );
});

test('dot segments go as WHATWG URL removes them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('/', '.', '..', 'a', 'bc', '%2e'), { maxLength: 14 }).map((list) => `/${list.join('')}`),
      (path) => {
        // The parser keeps escapes of unreserved characters; the paths have none but dots, of which it removes whole segments.
        const expected = new URL(`http://host${path}`).pathname.replaceAll(/%2e/gi, '.');
        assert.equal(normalizePath(path), expected);
      },
    ),
    { numRuns: 5_000 },
  );
});
