/** Named cases that every router must get right: the parts of a match beside host and path, and what decides among equals. */
import type { Case } from './host-and-path-cases.ts';

export const partCases: readonly Case[] = [
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
];
