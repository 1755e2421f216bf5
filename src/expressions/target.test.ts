import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc, { anyCharacter } from '../../scripts/fast-check.ts';
import { normalizePath } from '../exchange/path.ts';
import type { ExpressionEnvironment } from './environments.ts';
import { ExpressionError, ExpressionFault } from './expression-error.ts';
import { compileTarget } from './target.ts';

const environment: ExpressionEnvironment = { variables: new Map([['v', 'dyn' as const]]), budget: 100_000 };

function target(source: string, v: unknown): string {
  const { path, query } = compileTarget(source, environment).evaluate({ v });
  return path + query;
}

test('texts are what they say, values are one segment or one value of the query', () => {
  assert.equal(target("'/users/' + v", 'a b'), '/users/a%20b');
  assert.equal(target("'/users/' + v + '/orders?all=1&q=' + v", '?&=#%é'), '/users/%3F%26%3D%23%25%C3%A9/orders?all=1&q=%3F%26%3D%23%25%C3%A9');
  assert.equal(target("'/users?id=' + string(v)", 7), '/users?id=7');
  assert.equal(target("'/users?path=' + v", '/a/../b'), '/users?path=%2Fa%2F..%2Fb');
  assert.equal(target("v == 'x' ? '/x' : '/y/' + v", 'z'), '/y/z');
  assert.equal(target("('/a' + '/b') + ('/' + v)", 'c'), '/a/b/c');
  assert.equal(target("'/\u00e9 x'", 0), '/%C3%A9%20x');
});

test('a value can be no other path', () => {
  for (const value of ['..', '.', 'a/b', '../x', '\\', '\u0000', 'a/..']) {
    assert.throws(
      () => target("'/users/' + v + '/orders'", value),
      (error) => error instanceof ExpressionError && error.reason === 'unsafe_path',
      value,
    );
  }
  for (const value of [1, null, true, ['a'], '\ud800']) assert.throws(() => target("'/users/' + v", value), ExpressionError);
});

test('whatever a value is, the path has its segments and the query its parameters', () => {
  fc.assert(
    fc.property(fc.string({ unit: anyCharacter }), (value) => {
      let made: { readonly path: string; readonly query: string };
      try {
        made = compileTarget("'/a/' + v + '/b?c=' + v + '&d=e'", environment).evaluate({ v: value });
      } catch (error) {
        assert.ok(error instanceof ExpressionError);
        return;
      }
      assert.equal(made.path, normalizePath(made.path));
      assert.deepEqual([made.path.split('/').length, made.path.startsWith('/a/'), made.path.endsWith('/b')], [4, true, true]);
      const query = new URLSearchParams(made.query);
      assert.deepEqual([...query.keys()], ['c', 'd']);
      assert.equal(query.get('c'), value);
    }),
  );
});

test('what is no path is refused when it is read', () => {
  const flaws: readonly (readonly [string, RegExp])[] = [
    ['v', /does not begin with a text/],
    ["v + '/x'", /does not begin with a text/],
    ["'users/' + v", /does not begin with \//],
    ["v ? '/a' : 'b'", /does not begin with \//],
    ["'/a#b'", /a #, a backslash/],
    ["'/a%zz'", /escapes nothing/],
    ['1', /gives int, not a path/],
    ["'/a' +", /does not parse/],
    ["'/a' + w", /w/],
  ];
  for (const [source, message] of flaws) {
    assert.throws(
      () => compileTarget(source, environment),
      (error: unknown) => error instanceof ExpressionFault && message.test(error.message),
      source,
    );
  }
  compileTarget("'/a' + v", environment);
});
