import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { normalizePath } from '../exchange/path.ts';
import type { PathRewrite } from '../snapshot/filters.ts';
import type { PathMatch } from '../snapshot/match.ts';
import { exchangeOf } from './exchange.fixture.ts';
import { compilePathRewrite } from './path-rewrite.ts';

const piece = fc.constantFrom('/', '//', '.', '..', 'a', 'bc', '%20', '%2', '2F', '%2f', '%5C', '%00', '~', '?', '#', '\\', '\r\n', '\u0000', ' ', 'é', 'ā');
const anything = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(''));
const path = fc
  .array(fc.constantFrom('/', '/a', '/bc', '/.', '/a.b', '%20', '//', '20'), { maxLength: 8 })
  .map((pieces) => normalizePath(`/${pieces.join('')}`))
  .filter((normal) => normal !== undefined);

test('whatever the rewrite, what comes out is a normalised path or nothing', () => {
  const rewrite: fc.Arbitrary<PathRewrite> = fc.oneof(
    anything.map((value) => ({ type: 'ReplaceFullPath' as const, value })),
    anything.map((value) => ({ type: 'ReplacePrefixMatch' as const, value })),
    fc.record({
      type: fc.constant('ReplaceRegex' as const),
      pattern: fc.constantFrom('/', '(a)|(b)', '^/', '.', 'x*', '20', '(/[^/]*)(/.*)?'),
      substitution: anything.map((text) => `${text.replaceAll('\\', '')}\\1`),
    }),
  );
  let made = 0;
  fc.assert(
    fc.property(path, rewrite, fc.boolean(), (from, spec, isExact) => {
      const prefix = from.split('/').slice(0, 2).join('/');
      const matchedPath: PathMatch = isExact ? { type: 'Exact', value: from } : { type: 'PathPrefix', value: prefix };
      const pattern = spec.type === 'ReplaceRegex' && !spec.pattern.includes('(') ? { ...spec, pattern: `(${spec.pattern})` } : spec;
      const result = compilePathRewrite(pattern)(exchangeOf({ url: `http://a.test${from}`, matchedPath }));
      if (result === undefined) return;
      made++;
      assert.equal(result[0], '/');
      assert.equal(normalizePath(result), result);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there.
      assert.doesNotMatch(result, /[\u0000-\u0020\u007f-\uffff?#\\]/);
    }),
    { numRuns: 3000 },
  );
  assert.ok(made > 300);
});

test('ReplacePrefixMatch on a prefix is a replacement of whole elements', () => {
  const element = fc.constantFrom('a', 'bc', 'd.e', '');
  const elements = fc.array(element, { maxLength: 3 });
  fc.assert(
    fc.property(elements, elements, elements, (prefix, rest, replacement) => {
      const text = (list: readonly string[]) => list.map((one) => `/${one}`).join('');
      const from = `${text(prefix)}${text(rest)}`;
      fc.pre(from !== '' && !text(prefix).endsWith('/') && !text(replacement).endsWith('/'));
      const rewritten = compilePathRewrite({ type: 'ReplacePrefixMatch', value: text(replacement) });
      const matchedPath: PathMatch = { type: 'PathPrefix', value: text(prefix) === '' ? '/' : text(prefix) };
      assert.equal(rewritten(exchangeOf({ url: `http://a.test${from}`, matchedPath })), `${text(replacement)}${text(rest)}` || '/');
    }),
  );
});

test('ReplaceRegex replaces as JavaScript does, where the two have the same syntax', () => {
  const patterns = ['a', '[ab]+', '(a)(b)?', '/([^/]*)', '(?:x|(y))z', 'b*', '(/[a-z]+)$'];
  fc.assert(
    fc.property(fc.constantFrom(...patterns), fc.array(fc.constantFrom('a', 'b', 'y', 'z', 'x', '/'), { maxLength: 10 }), (pattern, letters) => {
      const from = `/${letters.join('')}`;
      const groups = new RegExp(`${pattern}|`).exec('')?.length ?? 1;
      const last = groups - 1;
      const result = compilePathRewrite({ type: 'ReplaceRegex', pattern, substitution: `/q\\${last}r\\0` })(exchangeOf({ url: `http://a.test${from}` }));
      const expected = from.replace(new RegExp(pattern, 'g'), (...found) => `/q${found[last] ?? ''}r${found[0]}`);
      assert.equal(result, normalizePath(expected));
    }),
    { numRuns: 1000 },
  );
});

test('what has no place in a path comes out escaped, escapes stay, and what can not be made a path is nothing', () => {
  for (const [substitution, expected] of [
    ['/a b', '/a%20b'],
    ['/a?b#c', '/a%3Fb%23c'],
    ['/a\r\nHost: b', '/a%0D%0AHost:%20b'],
    ['/a HTTP/1.1', '/a%20HTTP/1.1'],
    ['/"<>[]^`{|}\u007f', '/%22%3C%3E%5B%5D%5E%60%7B%7C%7D%7F'],
    ["/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"],
    ['/é€😀', '/%C3%A9%E2%82%AC%F0%9F%98%80'],
    ['/\ud800', '/%EF%BF%BD'],
    ['/%c3%A9%41', '/%C3%A9A'],
    ['/100%', '/100%25'],
    ['/%zz%4', '/%25zz%254'],
    ['/a\u0000', undefined],
    ['/a\\\\b', undefined],
    ['/a%2fb', undefined],
    ['a', undefined],
  ] as const) {
    const rewrite = compilePathRewrite({ type: 'ReplaceRegex', pattern: '^.*$', substitution });
    assert.equal(rewrite(exchangeOf({ url: 'http://a.test/x' })), expected, JSON.stringify(substitution));
  }
});

test('a substitution that makes a short path endless is given up', () => {
  const rewrite = compilePathRewrite({ type: 'ReplaceRegex', pattern: 'a', substitution: `/${'b'.repeat(1000)}` });
  assert.equal(rewrite(exchangeOf({ url: `http://a.test/${'a'.repeat(8000)}` })), undefined);
  assert.equal(rewrite(exchangeOf({ url: 'http://a.test/a' }))?.length, 1002);
});

test('a prefix that names segments ends where they do', () => {
  const rewritten = compilePathRewrite({ type: 'ReplacePrefixMatch', value: '/u' });
  const matchedPath: PathMatch = { type: 'PathPrefix', value: '/users/{id}', names: ['', 'id'] };
  for (const [from, to] of [
    ['/users/12345678/orders', '/u/orders'],
    ['/users/1', '/u'],
    ['/users/1/', '/u/'],
  ] as const) {
    assert.equal(rewritten(exchangeOf({ url: `http://a.test${from}`, matchedPath })), to);
  }
});
