/** What every router must do; run on the oracle and on the one that serves. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Route } from '../snapshot/snapshot.ts';
import { compileRouter } from './compile.ts';
import { compileOracle } from './oracle.ts';
import type { CompileRouter } from './router.ts';
import { type RequestText, type RouteText, request, route } from './testdata/routes.ts';

interface Case {
  readonly name: string;
  /** In order of age; the reverse order must do the same. */
  readonly routes: Readonly<Record<string, RouteText>>;
  /** Name of the route and index of the match (0 when left out); undefined: none. */
  readonly requests: readonly (readonly [RequestText, string | undefined, number?])[];
}

const cases: readonly Case[] = [
  { name: 'an empty table has nothing', routes: {}, requests: [[{}, undefined]] },
  {
    name: 'an exact host wins over wildcards, a longer wildcard over a shorter one, and any host comes last',
    routes: { any: {}, com: { hosts: ['*.com'] }, one: { hosts: ['*.one.com'] }, exact: { hosts: ['a.one.com'] } },
    requests: [
      [{ host: 'a.one.com' }, 'exact'],
      [{ host: 'b.one.com' }, 'one'],
      [{ host: 'c.b.one.com' }, 'one'],
      [{ host: 'one.com' }, 'com'],
      [{ host: 'com' }, 'any'],
      [{ host: 'localhost' }, 'any'],
      [{ host: '[::1]' }, 'any'],
    ],
  },
  {
    name: "an Ingress's wildcard covers one label, an ApiRoute's any number of them",
    routes: { ingress: { hosts: ['+.example.com'] }, outer: { hosts: ['*.com'] } },
    requests: [
      [{ host: 'a.example.com' }, 'ingress'],
      [{ host: 'b.a.example.com' }, 'outer'],
      [{ host: 'example.com' }, 'outer'],
    ],
  },
  {
    name: 'wildcards of both kinds with the same name are one level',
    routes: {
      ingress: { hosts: ['+.example.com'], matches: [{ path: '/a' }] },
      apiRoute: { hosts: ['*.example.com'], matches: [{ path: '/a/b' }, { path: '/' }] },
    },
    requests: [
      [{ host: 'x.example.com', path: '/a/b' }, 'apiRoute', 0],
      [{ host: 'x.example.com', path: '/a' }, 'ingress'],
      [{ host: 'x.example.com', path: '/' }, 'apiRoute', 1],
      [{ host: 'y.x.example.com', path: '/a' }, 'apiRoute', 1],
    ],
  },
  {
    name: 'a wildcard does not cover the bare name, nor a name that merely ends alike',
    routes: { wild: { hosts: ['*.example.com', '+.example.org'] } },
    requests: [
      [{ host: 'example.com' }, undefined],
      [{ host: 'badexample.com' }, undefined],
      [{ host: 'example.org' }, undefined],
      [{ host: 'a.b.example.org' }, undefined],
      [{ host: 'a.example.org' }, 'wild'],
    ],
  },
  {
    name: 'a host whose rules do not fit falls through to wildcards, then to rules without a host',
    routes: {
      exact: { hosts: ['a.example.com'], matches: [{ path: '/exact' }, { path: '/post', methods: ['POST'] }] },
      wild: { hosts: ['*.example.com'], matches: [{ path: '/wild' }] },
      outer: { hosts: ['*.com'], matches: [{ path: '/outer' }] },
      any: { matches: [{ path: '/' }] },
    },
    requests: [
      [{ host: 'a.example.com', path: '/exact' }, 'exact', 0],
      [{ host: 'a.example.com', path: '/wild' }, 'wild'],
      [{ host: 'a.example.com', path: '/outer' }, 'outer'],
      [{ host: 'a.example.com', path: '/post', method: 'POST' }, 'exact', 1],
      [{ host: 'a.example.com', path: '/post' }, 'any'],
      [{ host: 'a.example.com', path: '/else' }, 'any'],
    ],
  },
  {
    name: 'the host decides before the path',
    routes: { wild: { hosts: ['*.example.com'], matches: [{ path: '=/a/b' }] }, exact: { hosts: ['a.example.com'] } },
    requests: [[{ host: 'a.example.com', path: '/a/b' }, 'exact']],
  },
  {
    name: 'Exact wins over PathPrefix, the longest prefix over shorter ones, and both over RegularExpression',
    routes: {
      pattern: { matches: [{ path: '~/orders/.+/very/long/pattern.*|/.*' }] },
      root: { matches: [{ path: '/' }] },
      orders: { matches: [{ path: '/orders' }] },
      deep: { matches: [{ path: '/orders/new' }] },
      exact: { matches: [{ path: '=/orders/new' }] },
    },
    requests: [
      [{ path: '/orders/new' }, 'exact'],
      [{ path: '/orders/new/' }, 'deep'],
      [{ path: '/orders/new/1' }, 'deep'],
      [{ path: '/orders/newer' }, 'orders'],
      [{ path: '/orders' }, 'orders'],
      [{ path: '/ordersx' }, 'root'],
      [{ path: '/' }, 'root'],
    ],
  },
  {
    name: 'a prefix is one of whole elements, and empty elements count',
    routes: { a: { matches: [{ path: '/a' }] }, double: { matches: [{ path: '/a//b' }] }, slash: { matches: [{ path: '=/a/' }] } },
    requests: [
      [{ path: '/a' }, 'a'],
      [{ path: '/a/' }, 'slash'],
      [{ path: '/a/b' }, 'a'],
      [{ path: '/a//' }, 'a'],
      [{ path: '/a//b/c' }, 'double'],
      [{ path: '/ab' }, undefined],
      [{ path: '//a' }, undefined],
      [{ path: '/' }, undefined],
    ],
  },
  {
    name: 'an exact path is the whole path, with its trailing slash or without',
    routes: { root: { matches: [{ path: '=/' }] }, a: { matches: [{ path: '=/a' }] } },
    requests: [
      [{ path: '/' }, 'root'],
      [{ path: '//' }, undefined],
      [{ path: '/a' }, 'a'],
      [{ path: '/a/' }, undefined],
      [{ path: '/A' }, undefined],
    ],
  },
  {
    name: 'a regular expression covers the whole path, and the longest is tried first',
    routes: { short: { matches: [{ path: '~/a.*' }] }, long: { matches: [{ path: '~/(?:a|x)[0-9]+' }] }, alternatives: { matches: [{ path: '~/b|/bb' }] } },
    requests: [
      [{ path: '/a1' }, 'long'],
      [{ path: '/a1b' }, 'short'],
      [{ path: '/x1b' }, undefined],
      [{ path: '/y/a1' }, undefined],
      [{ path: '/bb' }, 'alternatives'],
      [{ path: '/bbb' }, undefined],
    ],
  },
  {
    name: 'many regular expressions on one host',
    routes: Object.fromEntries([
      ['all', { matches: [{ path: '~/.*' }] }],
      ...Array.from({ length: 40 }, (_, index) => [
        `s${index}`,
        { matches: [{ path: `~/s${index}/[a-z]+` }, { path: `~/s${index}/[a-z]+/[0-9]+`, methods: ['PUT'] }] },
      ]),
    ]),
    requests: [
      [{ path: '/s7/abc' }, 's7', 0],
      [{ path: '/s37/abc' }, 's37', 0],
      [{ path: '/s37/abc/12', method: 'PUT' }, 's37', 1],
      [{ path: '/s37/abc/12' }, 'all'],
      [{ path: '/s40/abc' }, 'all'],
    ],
  },
  {
    name: 'a regular expression that fits the path but not the rest gives way to a shorter one',
    routes: { long: { matches: [{ path: '~/[a-z]{1,9}', methods: ['PUT'] }] }, short: { matches: [{ path: '~/.*' }] } },
    requests: [
      [{ path: '/abc' }, 'short'],
      [{ path: '/abc', method: 'PUT' }, 'long'],
    ],
  },
  {
    name: 'among equal paths: method, headers, query parameters, cookies, client CIDRs, scheme, each before all that follow',
    routes: {
      age: {},
      scheme: { matches: [{ scheme: 'http' }] },
      cidrs: { matches: [{ cidrs: ['192.0.2.0/24'] }] },
      cookie: { matches: [{ cookies: ['c'] }] },
      query: { matches: [{ query: ['q'] }] },
      header: { matches: [{ headers: ['h'] }] },
      method: { matches: [{ methods: ['PUT'] }] },
    },
    requests: [
      [
        {
          method: 'PUT',
          query: '?q=1',
          headers: [
            ['h', '1'],
            ['cookie', 'c=1'],
          ],
        },
        'method',
      ],
      [
        {
          query: '?q=1',
          headers: [
            ['h', '1'],
            ['cookie', 'c=1'],
          ],
        },
        'header',
      ],
      [{ query: '?q=1', headers: [['cookie', 'c=1']] }, 'query'],
      [{ headers: [['cookie', 'c=1']] }, 'cookie'],
      [{}, 'cidrs'],
      [{ client: '198.51.100.1' }, 'scheme'],
      [{ client: '198.51.100.1', scheme: 'https' }, 'age'],
    ],
  },
  {
    name: 'more headers, more query parameters and more cookies win',
    routes: {
      h1: { matches: [{ path: '/h', headers: ['a'] }] },
      h2: { matches: [{ path: '/h', headers: ['a', 'b'] }] },
      q1: { matches: [{ path: '/q', query: ['a'] }] },
      q2: { matches: [{ path: '/q', query: ['a', 'b'] }] },
      c1: { matches: [{ path: '/c', cookies: ['a'] }] },
      c2: { matches: [{ path: '/c', cookies: ['a', 'b'] }] },
    },
    requests: [
      [
        {
          path: '/h',
          headers: [
            ['a', ''],
            ['b', ''],
          ],
        },
        'h2',
      ],
      [{ path: '/h', headers: [['a', '']] }, 'h1'],
      [{ path: '/q', query: '?a&b' }, 'q2'],
      [{ path: '/q', query: '?a' }, 'q1'],
      [{ path: '/c', headers: [['cookie', 'a=; b=']] }, 'c2'],
      [{ path: '/c', headers: [['cookie', 'a=']] }, 'c1'],
      [{ path: '/c' }, undefined],
    ],
  },
  {
    name: 'the older route wins among equals, then the earlier match of a rule',
    routes: {
      old: {
        matches: [
          { path: '/a', headers: ['x'] },
          { path: '/a', headers: ['y'] },
        ],
      },
      young: { matches: [{ path: '/a', headers: ['x'] }] },
    },
    requests: [
      [
        {
          path: '/a',
          headers: [
            ['x', '1'],
            ['y', '1'],
          ],
        },
        'old',
        0,
      ],
      [{ path: '/a', headers: [['y', '1']] }, 'old', 1],
    ],
  },
  {
    name: 'a longer path wins over a match with more parts',
    routes: { parts: { matches: [{ path: '/a', methods: ['GET'], headers: ['x'] }] }, longer: { matches: [{ path: '/a/b' }] } },
    requests: [
      [{ path: '/a/b', headers: [['x', '']] }, 'longer'],
      [{ path: '/a/c', headers: [['x', '']] }, 'parts'],
    ],
  },
  {
    name: 'a longer path whose parts do not fit gives way to a shorter one',
    routes: {
      root: { matches: [{ path: '/' }] },
      longer: { matches: [{ path: '/a/b', methods: ['PUT'] }] },
      exact: { matches: [{ path: '=/a/b', scheme: 'https' }] },
    },
    requests: [
      [{ path: '/a/b' }, 'root'],
      [{ path: '/a/b', method: 'PUT' }, 'longer'],
      [{ path: '/a/b', method: 'PUT', scheme: 'https' }, 'exact'],
    ],
  },
  {
    name: 'methods are alternatives',
    routes: { read: { matches: [{ methods: ['GET', 'HEAD'] }] } },
    requests: [
      [{ method: 'GET' }, 'read'],
      [{ method: 'HEAD' }, 'read'],
      [{ method: 'POST' }, undefined],
      [{ method: 'get' }, undefined],
    ],
  },
  {
    name: 'headers: exact, pattern over the whole value, present; one of several values is enough, and a list is one value',
    routes: {
      exact: { matches: [{ path: '/e', headers: ['x=1'] }] },
      pattern: { matches: [{ path: '/r', headers: ['x~v[0-9]+'] }] },
      present: { matches: [{ path: '/p', headers: ['x'] }] },
    },
    requests: [
      [{ path: '/e', headers: [['x', '1']] }, 'exact'],
      [
        {
          path: '/e',
          headers: [
            ['x', '2'],
            ['x', '1'],
          ],
        },
        'exact',
      ],
      [{ path: '/e', headers: [['x', '1, 2']] }, undefined],
      [{ path: '/e', headers: [['y', '1']] }, undefined],
      [{ path: '/e' }, undefined],
      [{ path: '/r', headers: [['x', 'v12']] }, 'pattern'],
      [{ path: '/r', headers: [['x', 'av12']] }, undefined],
      [{ path: '/r', headers: [['x', 'v12b']] }, undefined],
      [{ path: '/p', headers: [['x', '']] }, 'present'],
    ],
  },
  {
    name: 'query parameters: decoded, the first of a repeated one counts',
    routes: {
      exact: { matches: [{ path: '/e', query: ['q=a b'] }] },
      pattern: { matches: [{ path: '/r', query: ['q~[a-z]*'] }] },
      present: { matches: [{ path: '/p', query: ['é'] }] },
    },
    requests: [
      [{ path: '/e', query: '?q=a+b' }, 'exact'],
      [{ path: '/e', query: '?q=a%20b&q=c' }, 'exact'],
      [{ path: '/e', query: '?q=c&q=a+b' }, undefined],
      [{ path: '/r', query: '?q' }, 'pattern'],
      [{ path: '/r', query: '?q=A' }, undefined],
      [{ path: '/r' }, undefined],
      [{ path: '/p', query: '?%C3%A9' }, 'present'],
    ],
  },
  {
    name: 'cookies: exact, pattern, present, in any Cookie field',
    routes: {
      exact: { matches: [{ path: '/e', cookies: ['c=1'] }] },
      pattern: { matches: [{ path: '/r', cookies: ['c~1+'] }] },
      present: { matches: [{ path: '/p', cookies: ['c'] }] },
    },
    requests: [
      [
        {
          path: '/e',
          headers: [
            ['cookie', 'a=2'],
            ['cookie', 'c=1'],
          ],
        },
        'exact',
      ],
      [{ path: '/e', headers: [['cookie', 'c=2; c=1']] }, undefined],
      [{ path: '/r', headers: [['cookie', 'c=111']] }, 'pattern'],
      [{ path: '/p', headers: [['cookie', 'c=']] }, 'present'],
      [{ path: '/p', headers: [['cookie', 'C=1']] }, undefined],
    ],
  },
  {
    name: 'client CIDRs are alternatives, of both families',
    routes: { inside: { matches: [{ cidrs: ['10.0.0.0/8', 'fd00::/8'] }] } },
    requests: [
      [{ client: '10.200.1.1' }, 'inside'],
      [{ client: 'fd12::1' }, 'inside'],
      [{ client: '11.0.0.1' }, undefined],
      [{ client: 'fe80::1' }, undefined],
    ],
  },
  {
    name: 'the scheme',
    routes: { plain: { matches: [{ scheme: 'http' }] }, tls: { matches: [{ scheme: 'https' }] } },
    requests: [
      [{ scheme: 'http' }, 'plain'],
      [{ scheme: 'https' }, 'tls'],
    ],
  },
  {
    name: 'all parts of a match must hold',
    routes: {
      all: {
        hosts: ['a.example'],
        matches: [{ path: '/a', methods: ['PUT'], headers: ['h=1', 'i=2'], query: ['q=1'], cookies: ['c=1'], cidrs: ['10.0.0.0/8'], scheme: 'https' }],
      },
    },
    requests: [
      [
        {
          host: 'a.example',
          path: '/a/b',
          method: 'PUT',
          headers: [
            ['h', '1'],
            ['i', '2'],
            ['cookie', 'c=1'],
          ],
          query: '?q=1',
          client: '10.0.0.1',
          scheme: 'https',
        },
        'all',
      ],
      [
        {
          host: 'a.example',
          path: '/a/b',
          method: 'PUT',
          headers: [
            ['h', '1'],
            ['i', '3'],
            ['cookie', 'c=1'],
          ],
          query: '?q=1',
          client: '10.0.0.1',
          scheme: 'https',
        },
        undefined,
      ],
    ],
  },
  {
    name: 'any match of a rule will do, and the one that ranks first is told',
    routes: { several: { matches: [{ path: '/' }, { path: '=/a' }, { path: '/a' }] } },
    requests: [
      [{ path: '/a' }, 'several', 1],
      [{ path: '/a/b' }, 'several', 2],
      [{ path: '/b' }, 'several', 0],
    ],
  },
  {
    name: 'a default backend serves only what no rule takes, on any host level, and ranks by host among its like',
    routes: {
      hostDefault: { hosts: ['a.example.com'], isDefaultBackend: true },
      wildDefault: { hosts: ['+.example.com'], isDefaultBackend: true },
      anyDefault: { isDefaultBackend: true },
      exact: { hosts: ['a.example.com'], matches: [{ path: '/a' }] },
      any: { matches: [{ path: '/any' }] },
    },
    requests: [
      [{ host: 'a.example.com', path: '/a' }, 'exact'],
      [{ host: 'a.example.com', path: '/any' }, 'any'],
      [{ host: 'a.example.com', path: '/b' }, 'hostDefault'],
      [{ host: 'b.example.com', path: '/b' }, 'wildDefault'],
      [{ host: 'c.b.example.com', path: '/b' }, 'anyDefault'],
      [{ host: 'other', path: '/b' }, 'anyDefault'],
    ],
  },
  {
    name: 'the target * is no path',
    routes: { root: { matches: [{ path: '/' }] }, pattern: { matches: [{ path: '~[*]' }] } },
    requests: [[{ path: '*', method: 'OPTIONS' }, 'pattern']],
  },
];

const routers: Readonly<Record<string, CompileRouter>> = { oracle: compileOracle, 'compiled router': compileRouter };

for (const [name, compile] of Object.entries(routers)) {
  suite(name, () => {
    for (const { name, routes, requests } of cases) {
      test(name, () => {
        const table = Object.entries(routes).map(([routeName, text], index) => route(routeName, index, text));
        for (const order of [table, table.toReversed()]) {
          const router = compile(order, (found: Route) => found.name);
          for (const [text, expected, matchIndex = 0] of requests) {
            const found = router.find(request(text));
            assert.deepEqual(found, expected === undefined ? undefined : { value: expected, matchIndex }, JSON.stringify(text));
          }
        }
      });
    }
  });
}
