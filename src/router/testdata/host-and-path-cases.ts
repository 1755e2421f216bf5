/** Named cases that every router must get right: which host, then which path. */
import type { RequestText, RouteText } from './routes.ts';

export interface Case {
  readonly name: string;
  /** In order of age; the reverse order must do the same. */
  readonly routes: Readonly<Record<string, RouteText>>;
  /** Name of the route and index of the match (0 when left out); undefined: none. */
  readonly requests: readonly (readonly [RequestText, string | undefined, number?])[];
}

export const hostAndPathCases: readonly Case[] = [
  {
    name: 'a named segment takes one element that is not empty; literal ones go before it, from the left',
    routes: {
      user: { matches: [{ path: '/users/{id}' }] },
      me: { matches: [{ path: '/users/me' }] },
      orders: { matches: [{ path: '/users/{id}/orders' }] },
      mine: { matches: [{ path: '/users/me/{what}' }] },
      exact: { matches: [{ path: '=/users/{id}/orders/{order}' }] },
      any: { matches: [{ path: '/{a}/{b}/orders/{d}/{e}', methods: ['PUT'] }] },
    },
    requests: [
      [{ path: '/users' }, undefined],
      [{ path: '/users/' }, undefined],
      [{ path: '/users/7' }, 'user'],
      [{ path: '/users/7/' }, 'user'],
      [{ path: '/users/{id}' }, 'user'],
      [{ path: '/users/7/x/y' }, 'user'],
      [{ path: '/users/me' }, 'me'],
      [{ path: '/users/me/orders' }, 'mine'],
      [{ path: '/users/me/' }, 'me'],
      [{ path: '/users/mee/orders' }, 'orders'],
      [{ path: '/users/7/orders/8' }, 'exact'],
      [{ path: '/users/me/orders/8' }, 'exact'],
      [{ path: '/users/7/orders/' }, 'orders'],
      [{ path: '/users/7/orders/8/9' }, 'orders'],
      [{ path: '/users/7/orders/8/9', method: 'PUT' }, 'any'],
    ],
  },
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
