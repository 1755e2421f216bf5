import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Route } from '../snapshot/route.ts';
import { explain } from './explanation.ts';
import { type RequestText, type RouteText, request, route } from './testdata/routes.ts';

function table(routes: Readonly<Record<string, RouteText>>): readonly Route[] {
  return Object.entries(routes).map(([name, text], index) => route(name, index, text));
}

/** The near misses as `name/match: part, expected, got`. */
function misses(routes: readonly Route[], text: RequestText, limit?: number): readonly string[] {
  return explain(routes, request(text), limit).nearMisses.map(
    ({ route, matchIndex, mismatch }) => `${route.name}/${matchIndex}: ${mismatch.part}, ${mismatch.expected}, ${mismatch.got}`,
  );
}

test('names the winner with its host and match, and why it goes before each of the others', () => {
  const routes = table({
    any: {},
    wild: { hosts: ['*.example.com'] },
    long: { hosts: ['a.example.com'], matches: [{ path: '/x' }, { path: '/a/b' }] },
    short: { hosts: ['a.example.com'], matches: [{ path: '/a' }] },
    methods: { hosts: ['a.example.com'], matches: [{ path: '/a/b', methods: ['GET'] }] },
    young: { hosts: ['a.example.com'], matches: [{ path: '/a/b', methods: ['GET'] }] },
    rest: { isDefaultBackend: true },
  });
  const { winner, outranked } = explain(routes, request({ host: 'a.example.com', path: '/a/b' }));
  assert.equal(winner?.route.name, 'methods');
  assert.deepEqual(winner?.host, { type: 'Exact', value: 'a.example.com' });
  assert.equal(winner?.matchIndex, 0);
  assert.deepEqual(
    outranked.map(({ fit, decidedBy }) => [fit.route.name, fit.matchIndex, decidedBy]),
    [
      ['young', 0, 'the older object goes first, and of two of one age the first by namespace/name'],
      ['long', 1, 'a match with methods goes before one without'],
      ['short', 0, 'path /a/b is longer than /a'],
      ['wild', 0, 'a rule with an exact host goes before one with a wildcard host'],
      ['any', 0, 'a rule with an exact host goes before one with no host'],
      ['rest', 0, 'a rule goes before a default backend'],
    ],
  );
});

for (const [winner, other, decidedBy] of [
  [{ hosts: ['*.a.example.com'] }, { hosts: ['*.example.com'] }, 'host *.a.example.com is longer than *.example.com'],
  [{ hosts: ['*.example.com'] }, {}, 'a rule with a wildcard host goes before one with no host'],
  [{ matches: [{ path: '=/x' }] }, { matches: [{ path: '/x' }] }, 'an Exact path goes before a PathPrefix'],
  [{ matches: [{ path: '/' }] }, { matches: [{ path: '~/x+' }] }, 'a PathPrefix goes before a RegularExpression'],
  [{ matches: [{ headers: ['a', 'b'] }] }, { matches: [{ headers: ['a'] }] }, 'a match with 2 headers goes before one with 1'],
  [{ matches: [{ query: ['q'] }] }, {}, 'a match with 1 query parameter goes before one with none'],
  [{ matches: [{ cookies: ['c'] }] }, {}, 'a match with 1 cookie goes before one with none'],
  [{ matches: [{ cidrs: ['0.0.0.0/0'] }] }, {}, 'a match with client CIDRs goes before one without'],
  [{ matches: [{ scheme: 'http' }] }, {}, 'a match with a scheme goes before one without'],
] as const satisfies readonly (readonly [RouteText, RouteText, string])[]) {
  test(`says that ${decidedBy}`, () => {
    const host = decidedBy.startsWith('host') ? 'b.a.example.com' : 'b.example.com';
    const fields = {
      path: '/x',
      query: '?q=1',
      headers: [
        ['a', '1'],
        ['b', '2'],
        ['cookie', 'c=1'],
      ],
    } as const;
    const { winner: first, outranked } = explain(table({ other, winner }), request({ host, ...fields }));
    assert.equal(first?.route.name, 'winner');
    assert.deepEqual(
      outranked.map((lost) => lost.decidedBy),
      [decidedBy],
    );
  });
}

test('of two rules of one object the earlier one goes first', () => {
  const [first, second] = [route('shop', 0, {}), { ...route('shop', 1, {}), id: 'ApiRoute/default/shop/1', rule: '1' }];
  assert.deepEqual(
    explain([first, second], request({})).outranked.map(({ decidedBy }) => decidedBy),
    ['the earlier rule of an object goes first'],
  );
});

test('tells each part that can fail, with what was expected and what was there', () => {
  const parts = table({
    host: { hosts: ['b.example.com', '*.other.com', '+.third.com'] },
    path: { matches: [{ path: '/orders' }] },
    methods: { matches: [{ methods: ['PUT', 'POST'] }] },
    header: { matches: [{ headers: ['x-a', 'x-b=1'] }] },
    headerAbsent: { matches: [{ headers: ['x-c~[0-9]+'] }] },
    query: { matches: [{ query: ['q=1'] }] },
    queryAbsent: { matches: [{ query: ['p'] }] },
    cookie: { matches: [{ cookies: ['c=1'] }] },
    cidrs: { matches: [{ cidrs: ['10.0.0.0/8', 'fd00::/8'] }] },
    scheme: { matches: [{ scheme: 'https' }] },
  });
  assert.deepEqual(
    misses(parts, {
      host: 'a.example.com',
      path: '/order',
      query: '?q=2',
      headers: [
        ['x-a', ''],
        ['x-b', '2'],
        ['x-b', '3'],
      ],
    }),
    [
      'scheme/0: scheme, https, http',
      'cidrs/0: clientCIDRs, an address in 10.0.0.0/8, fd00::/8, 192.0.2.1',
      'cookie/0: cookies, c = "1", no such cookie',
      'query/0: queryParams, q = "1", "2"',
      'queryAbsent/0: queryParams, p present, no such parameter',
      'header/0: headers, x-b = "1", "2", "3"',
      'headerAbsent/0: headers, x-c matching "[0-9]+", no such header',
      'methods/0: methods, PUT or POST, GET',
      'path/0: path, PathPrefix /orders, /order',
      'host/0: host, b.example.com or *.other.com or *.third.com (one label), a.example.com',
    ],
  );
});

test('the nearest match of a rule speaks for it', () => {
  const routes = table({ several: { matches: [{ path: '/x' }, { path: '/a', methods: ['PUT'] }, { path: '/a', headers: ['h'] }] } });
  assert.deepEqual(misses(routes, { path: '/a' }), ['several/2: headers, h present, no such header']);
});

test('rules of a host that fits come first, the more exact the host and the more of the path they share the nearer', () => {
  const routes = table({
    elsewhere: { hosts: ['other.org'], matches: [{ path: '/a/b/c' }] },
    sibling: { hosts: ['b.example.com'], matches: [{ path: '/a/b/c' }] },
    siblingElse: { hosts: ['c.example.com'], matches: [{ path: '/z' }] },
    any: { matches: [{ path: '/a/b/x' }] },
    wild: { hosts: ['*.example.com'], matches: [{ path: '/a/b/x' }] },
    exactFar: { hosts: ['a.example.com'], matches: [{ path: '/z' }] },
    exactNear: { hosts: ['a.example.com'], matches: [{ path: '/a/b/x' }] },
  });
  const order = misses(routes, { host: 'a.example.com', path: '/a/b/c' }).map((text) => text.split('/')[0]);
  assert.deepEqual(order, ['exactNear', 'exactFar', 'wild', 'any', 'sibling', 'siblingElse', 'elsewhere']);
});

test('numbers are bounded', () => {
  const many = Array.from({ length: 50 }, (_, index) => route(`m${index}`, index, { matches: [{ path: index % 2 === 0 ? '/' : '/other' }] }));
  const { outranked, nearMisses } = explain(many, request({ path: '/a' }), 7);
  assert.equal(outranked.length, 7);
  assert.equal(nearMisses.length, 7);
});

test('an empty table is explained too', () => {
  assert.deepEqual(explain([], request({})), { winner: undefined, outranked: [], nearMisses: [] });
});
