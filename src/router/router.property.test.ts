/** The router that serves agrees with the oracle on random tables and requests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import type { Route } from '../snapshot/route.ts';
import { compileRouter, RouterBuilder } from './compile.ts';
import { explain } from './explanation.ts';
import { compileOracle } from './oracle.ts';
import type { Found, Routable } from './router.ts';
import { type MatchText, type RequestText, type RouteText, request, route } from './testdata/routes.ts';

const TABLES = 2_000;
const REQUESTS = 60;

// Few words, so that routes collide in every way: same host, same path, same parts.
const name = fc.constantFrom('x', 'a.x', 'b.x', 'a.b.x', 'b.a.x', 'a.b.a.x', 'y', 'a.y', 'a.a');
const hostText = fc.oneof(
  fc.constant('*'),
  name,
  fc.tuple(fc.constantFrom('*.', '+.'), fc.constantFrom('x', 'a.x', 'b.x', 'b.a.x', 'y', 'a')).map((parts) => parts.join('')),
);
const elements = fc.array(fc.constantFrom('a', 'b', 'ab', ''), { maxLength: 4 });
const pathText = elements.map((list) => `/${list.join('/')}`);
const withoutSlash = (text: string) => text.replace(/\/+$/, '') || '/';
const prefixText = pathText.map(withoutSlash);
/** Braces in requests are what they are. */
const namedText = fc.array(fc.constantFrom('a', 'b', 'ab', '', '{id}', '{x}'), { minLength: 1, maxLength: 4 }).map((list) => `/${list.join('/')}`);
const pattern = fc.constantFrom('/a', '/.*', '/a.*', '/(a|b)', '/b|/a', '/a/[ab]', '/[^/]*', '/[^/]+', '(/a)+', '/a{1,2}', '.*b', '/a|ab', '[*]', '');
const pathMatch = fc.oneof(
  { weight: 3, arbitrary: pathText.map((text) => `=${text}`) },
  { weight: 5, arbitrary: prefixText },
  { weight: 1, arbitrary: namedText.map((text) => `=${text}`) },
  { weight: 2, arbitrary: namedText.map(withoutSlash) },
  { weight: 3, arbitrary: pattern.map((text) => `~${text}`) },
);
const fieldText = fc.constantFrom('a', 'b', 'a=1', 'a=', 'b=2', 'a~1*', 'a~[12]', 'b~.*');
const fields = fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(fieldText, { minLength: 1, maxLength: 3 }) });

function sometimes<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(arbitrary, { freq: 3, nil: undefined }).chain((value) => fc.boolean().map((keep) => (keep ? value : undefined)));
}

const matchText = fc
  .record({
    path: pathMatch,
    methods: sometimes(fc.subarray(['GET', 'PUT'])),
    headers: fields,
    query: fields,
    cookies: fields,
    cidrs: sometimes(fc.subarray(['10.0.0.0/8', '10.1.0.0/16', '::/0'])),
    scheme: sometimes(fc.constantFrom('http' as const, 'https' as const)),
  })
  .map((record) => Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as MatchText);

const routeText: fc.Arbitrary<RouteText> = fc.record({
  hosts: fc.array(hostText, { minLength: 1, maxLength: 3 }),
  matches: fc.array(matchText, { minLength: 1, maxLength: 4 }),
  isDefaultBackend: fc.boolean().chain((first) => fc.boolean().map((second) => first && second)),
});

/** Ranks are unique, and in no relation to the order of the table. */
const table: fc.Arbitrary<Route[]> = fc
  .array(fc.tuple(routeText, fc.integer({ min: 0, max: 5 })), { maxLength: 14 })
  .map((list) => list.map(([text, age], index) => route(`r${index}`, age * 100 + index, text)));

const requestText: fc.Arbitrary<RequestText> = fc.record({
  host: fc.oneof(name, fc.constantFrom('', 'a', 'c.x', 'c.b.a.x', 'xx', 'a.xx', '.x')),
  path: fc.oneof({ weight: 20, arbitrary: pathText }, { weight: 1, arbitrary: fc.constant('*') }),
  query: fc.constantFrom('', '?a=1', '?a=2&b', '?b=2&a=', '?c'),
  method: fc.constantFrom('GET', 'PUT', 'POST'),
  scheme: fc.constantFrom('http' as const, 'https' as const),
  client: fc.constantFrom('10.1.0.1', '10.2.0.1', '11.0.0.1', '::1'),
  headers: fc.array(
    fc.constantFrom<[string, string]>(['a', '1'], ['a', '2'], ['a', ''], ['b', '2'], ['cookie', 'a=1'], ['cookie', 'b=2; a=2'], ['cookie', 'b']),
    { maxLength: 4 },
  ),
});

function explainedBy(routes: readonly Route[], routable: Routable): Found<string> | undefined {
  const { winner } = explain(routes, routable, 3);
  return winner === undefined ? undefined : { value: winner.route.id, matchIndex: winner.matchIndex };
}

test('router and oracle agree', () => {
  let pairs = 0;
  let matched = 0;
  fc.assert(
    fc.property(table, fc.array(requestText, { minLength: REQUESTS, maxLength: REQUESTS }), (routes, texts) => {
      const oracle = compileOracle(routes, ({ id }) => id);
      const router = compileRouter(routes, ({ id }) => id);
      for (const [index, text] of texts.entries()) {
        const routable = request(text);
        const expected = oracle.find(routable);
        if (index < 4) assert.deepEqual(explainedBy(routes, routable), expected);
        assert.deepEqual(router.find(routable), expected, JSON.stringify(text));
        pairs++;
        if (expected !== undefined) matched++;
      }
    }),
    { numRuns: TABLES },
  );
  assert.ok(pairs >= 100_000, `${pairs} pairs`);
  // Were nearly all requests without a route, or the table's own words never met, the agreement would say little.
  assert.ok(matched > pairs / 10 && matched < (pairs * 9) / 10, `${matched} of ${pairs} found a route`);
});

/** To the end, in one go. */
function finish<T>(steps: Generator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** What to take away (by place), and what to put in its place or beside it. */
const change = fc.record({
  removed: fc.array(fc.integer({ min: 0, max: 13 }), { maxLength: 4 }),
  set: fc.array(fc.tuple(fc.integer({ min: 0, max: 13 }), routeText), { maxLength: 4 }),
});

test('routers that are made one of the other agree with the oracle of what is left, and stay as they are', () => {
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.array(requestText, { minLength: 20, maxLength: 20 }), (changes, texts) => {
      const builder = new RouterBuilder<string>();
      const current = new Map<string, Route>();
      const requests = texts.map(request);
      const made: { readonly find: (routable: Routable) => Found<string> | undefined; readonly expected: readonly (Found<string> | undefined)[] }[] = [];
      for (const [round, { removed, set }] of changes.entries()) {
        const ids = removed.map((place) => `r${place}`);
        for (const id of ids) current.delete(id);
        // Of several by one id the last counts, and its content is another one each time.
        const routes = new Map(set.map(([place, text]) => [`r${place}`, route(`r${place}`, place * 10 + (round % 3), text, { id: `r${place}` })]));
        for (const [id, one] of routes) current.set(id, one);
        const router = finish(builder.change(ids, routes.values(), ({ id, rank }) => `${id} ${rank}`));
        const oracle = compileOracle([...current.values()], ({ id, rank }) => `${id} ${rank}`);
        made.push({ find: (routable) => router.find(routable), expected: requests.map((routable) => oracle.find(routable)) });
      }
      for (const { find, expected } of made) {
        for (const [index, routable] of requests.entries()) assert.deepEqual(find(routable), expected[index], JSON.stringify(texts[index]));
      }
    }),
    { numRuns: 500 },
  );
});
