import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { route } from '../router/testdata/routes.ts';
import type { Route } from '../snapshot/route.ts';
import { RouteOrder } from './route-order.ts';

/** Routes in this order, ranked by their place as translation does it. @param names with a number that stands for the content */
function table(...names: string[]): Route[] {
  return names.map((name, rank) => {
    const [id = '', content = '0'] = name.split('=');
    return route(id, rank, { hosts: [`h${content}`] }, { id });
  });
}

function short({ removed, set }: { readonly removed: readonly string[]; readonly set: readonly Route[] }): string {
  return [...removed.map((id) => `-${id}`), ...set.map(({ id }) => `+${id}`)].join(' ');
}

test('only what differs is sent, wherever routes come and go', () => {
  const order = new RouteOrder();
  assert.equal(short(order.change(table('a', 'b', 'c', 'd'))), '+a +b +c +d');
  assert.equal(short(order.change(table('a', 'b', 'c', 'd'))), '');
  assert.equal(short(order.change(table('b', 'c', 'd'))), '-a');
  assert.equal(short(order.change(table('b', 'x', 'c', 'd', 'e'))), '+x +e');
  assert.equal(short(order.change(table('y', 'b', 'x', 'c=1', 'd', 'e'))), '+y +c');
  assert.equal(short(order.change(table('e', 'y', 'b', 'x', 'c=1', 'd'))), '+e', 'an object that was made anew moves, and nothing else');
  assert.equal(short(order.change([])), '-e -y -b -x -c -d');
});

test('where no number is left between two, all are ranked anew', () => {
  const order = new RouteOrder();
  order.change(table('a', 'z'));
  let whole = 0;
  const names: string[] = [];
  for (let round = 0; round < 100; round++) {
    names.push(`n${round}`);
    if (order.change(table('a', ...names, 'z')).set.length > 1) whole++;
  }
  assert.ok(whole > 0 && whole < 4, `${whole} times`);
});

test('what was sent is in the order of the routes, after any changes', () => {
  const names = fc.uniqueArray(fc.constantFrom(...'abcdefghijkl'), { maxLength: 12 });
  const contents = fc.array(fc.constantFrom('0', '1'), { minLength: 12, maxLength: 12 });
  fc.assert(
    fc.property(fc.array(fc.tuple(names, contents), { maxLength: 12 }), (rounds) => {
      const order = new RouteOrder();
      const received = new Map<string, Route>();
      for (const [ids, texts] of rounds) {
        const routes = table(...ids.map((id, index) => `${id}=${texts[index]}`));
        const { removed, set } = order.change(routes);
        for (const id of removed) assert.ok(received.delete(id));
        for (const one of set) received.set(one.id, one);
        const sorted = [...received.values()].sort((one, other) => one.rank - other.rank);
        assert.equal(new Set(sorted.map(({ rank }) => rank)).size, sorted.length);
        assert.deepEqual(
          sorted.map((one, rank) => ({ ...one, rank })),
          routes,
        );
        assert.deepEqual(new Map([...order.routes].map((one) => [one.id, one])), received);
      }
    }),
  );
});
