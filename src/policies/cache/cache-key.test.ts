import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { Fields } from '../../exchange/fields.ts';
import { exchangeOf } from '../exchange.fixture.ts';
import { keyOf, originOf, purgeOf, queryPart, variantKey } from './cache-key.ts';
import { DEFAULTS } from './cached-route.fixture.ts';

test('parameters that a backend may take for one of the key are in the key, however they are written', () => {
  for (const query of ['?id=1', '?%69d=1', '?id[]=1', '?id[%0a]=1', '?id%5B%0A%5D=1', '?%20id=1', '?+id=1', '?ID=1', '?id%00x=1', '?id']) {
    assert.equal(queryPart(`${query}&utm=2`, ['id']), query, query);
  }
  assert.equal(queryPart('?a.b=1&a%20b=2&a+b=3&c=4', ['a_b']), '?a%20b=2&a+b=3&a.b=1');
  assert.equal(queryPart('?utm=1&ids=2&xid=3', ['id']), '');
  for (const query of ['?a=1;id=2', '?a=1%3bid=2', '?%zz=1']) assert.equal(queryPart(query, ['id']), undefined, query);
  assert.equal(queryPart('?a=1;id=2', []), '?a=1;id=2');
});

test('of several of one name the order counts, of different names it does not', () => {
  const pair = fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 3 }));
  fc.assert(
    fc.property(fc.array(pair), fc.array(pair), (one, other) => {
      const key = (pairs: readonly (readonly [string, number])[]) => queryPart(`?${pairs.map(([name, value]) => `${name}=${value}`).join('&')}`, ['a', 'b']);
      const seen = (pairs: readonly (readonly [string, number])[]) => ['a', 'b'].map((name) => pairs.filter(([each]) => each === name).join());
      assert.equal(key(one) === key(other), JSON.stringify(seen(one)) === JSON.stringify(seen(other)));
    }),
  );
});

test('what a rule asks its backends is in the key, and not in what purges and invalidations go by', () => {
  const keys = [{}, { asks: 'one' }, { asks: 'two' }].map((change) => keyOf(exchangeOf({ url: 'http://a.test/b?c' }), { ...DEFAULTS, ...change }));
  assert.deepEqual([...new Set(keys.map((key) => key?.url))], ['http://a.test/b?c']);
  assert.equal(new Set(keys.map((key) => key?.primary)).size, 3);
});

test('a dot at the end of a host is no dot at the end of a path or a query', () => {
  const urls = ['http://a.test/b', 'http://a.test./b', 'http://a.test/b.', 'http://a.test:80/b?c=1', 'http://a.test.:80/b?c=1', 'http://a.test/b?c=1.'];
  assert.equal(new Set(urls.map((url) => keyOf(exchangeOf({ url }), DEFAULTS)?.primary)).size, urls.length);
});

test('hosts with and without the port of the scheme', () => {
  assert.equal(originOf('http', 'a.test', 'A.test:80'), 'http://a.test');
  assert.equal(originOf('https', 'a.test', 'a.test:80'), 'https://a.test:80');
  assert.equal(originOf('https', 'a.test', 'a.test:0443'), 'https://a.test:443');
  assert.equal(originOf('http', '[::1]', '[::1]'), 'http://[::1]');
});

test('no field of one client costs another one its time', () => {
  const blanks = ' '.repeat(100_000);
  const started = performance.now();
  for (const name of ['x-any', 'accept', 'accept-language']) variantKey('k', [name], Fields.of([[name, `a${blanks}b${blanks},c`]]));
  queryPart(`?${'['.repeat(100_000)}%0A=1`, ['id']);
  // The square of that would take many minutes.
  assert.ok(performance.now() - started < 30_000);
});

test('variants tell absent from empty, and one field from the next', () => {
  const key = (...fields: [string, string][]) => variantKey('k', ['x', 'y'], Fields.of(fields));
  const keys = [key(), key(['x', '']), key(['y', '']), key(['x', 'y:']), key(['x', 'a'], ['y', 'b']), key(['x', 'a'], ['x', 'b'])];
  assert.equal(new Set(keys).size, keys.length);
});

test('purges by host, port, path and beginning', () => {
  const urls = ['http://a.test/p?x=1', 'https://a.test:8443/p', 'http://b.test/p/q', 'http://[::1]:81/'];
  const purged = (host: string | undefined, path: string | undefined) => urls.filter(purgeOf({ host, path }));
  assert.deepEqual(purged('A.test', undefined), urls.slice(0, 2));
  assert.deepEqual(purged('a.test:8443', undefined), urls.slice(1, 2));
  assert.deepEqual(purged(undefined, '/p'), urls.slice(0, 2));
  assert.deepEqual(purged(undefined, '/p*'), urls.slice(0, 3));
  assert.deepEqual(purged('[::1]', '/'), urls.slice(3));
  assert.deepEqual(purged('b.test', '/x/../%70/q'), urls.slice(2, 3));
  assert.deepEqual(purged(undefined, 'p'), []);
});
