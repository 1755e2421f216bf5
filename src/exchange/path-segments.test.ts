import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PathMatch } from '../snapshot/match.ts';
import { endOfElements, fitsNamed, pathSegment } from './path-segments.ts';

const orders: PathMatch = { type: 'PathPrefix', value: '/users/{id}/orders/{order}', names: ['', 'id', '', 'order'] };

test('a segment is percent-decoded; other names have none', () => {
  assert.equal(pathSegment('/users/a%20b%C3%A9/orders/8/9', orders, 'id'), 'a bé');
  assert.equal(pathSegment('/users/7/orders/8/9', orders, 'order'), '8');
  assert.equal(pathSegment('/users/7/orders/8', orders, 'order'), '8');
  assert.equal(pathSegment('/users/7/orders/8', orders, 'users'), undefined);
  assert.equal(pathSegment('/users/7/orders/8', orders, ''), undefined);
  assert.equal(pathSegment('/7', { type: 'Exact', value: '/{id}', names: ['id'] }, 'id'), '7');
  assert.equal(pathSegment('/{id}', { type: 'Exact', value: '/{id}' }, 'id'), undefined);
  assert.throws(() => pathSegment('/users/%FF/orders/8', orders, 'id'), URIError);
});

test('a segment is one element that is not empty', () => {
  const fits = (path: string) => fitsNamed(path, orders);
  assert.deepEqual(['/users/7/orders/8', '/users/7/orders/8/9', '/users//orders/8', '/users/7/orders/', '/users/7/orders', '*'].map(fits), [
    ...[true, true, false, false, false, false],
  ]);
  assert.ok(!fitsNamed('/users/7/orders/8/', { ...orders, type: 'Exact' }));
});

test('elements end at a slash or with the path', () => {
  assert.deepEqual(
    [1, 2, 3, 4].map((count) => endOfElements('/a/bc/', count)),
    [2, 5, 6, 6],
  );
});
