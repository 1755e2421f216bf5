import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changedEndpoints, equalButEndpoints } from './equal.ts';
import { Sensitive } from './sensitive.ts';
import type { Snapshot } from './snapshot.ts';
import type { Endpoint } from './upstream.ts';

function snapshot(key = 'key', address = '10.0.0.1', path = '/'): Snapshot {
  const endpoint: Endpoint = { address, port: 80, state: 'Ready' };
  return {
    routes: [
      {
        id: 'ApiRoute/shop/web/0',
        kind: 'ApiRoute',
        namespace: 'shop',
        name: 'web',
        rule: '0',
        hosts: [{ type: 'Any' }],
        matches: [{ path: { type: 'PathPrefix', value: path }, headers: [], queryParams: [], cookies: [] }],
        rank: 0,
        isDefaultBackend: false,
        httpsRedirect: false,
        filters: {},
        timeouts: { request: 1, backendRequest: 1, idle: 1 },
        backends: [],
      },
    ],
    upstreams: new Map(),
    endpoints: new Map([
      ['shop/web/80', [endpoint]],
      ['shop/web/81', []],
    ]),
    certificates: new Map([['shop/tls', { id: 'shop/tls', chain: 'chain', key: new Sensitive(key) }]]),
    serverNames: [{ host: { type: 'Any' }, certificates: ['shop/tls'] }],
  };
}

test('equal snapshots are equal, whoever made them', () => {
  assert.ok(equalButEndpoints(snapshot(), snapshot()));
  assert.equal(changedEndpoints(snapshot(), snapshot()).size, 0);
});

test('another key makes a difference, though keys hide themselves', () => {
  assert.ok(!equalButEndpoints(snapshot('key'), snapshot('another')));
});

test('another certificate, server name, route or default certificate makes a difference', () => {
  const one = snapshot();
  assert.ok(!equalButEndpoints(one, { ...one, certificates: new Map() }));
  assert.ok(!equalButEndpoints(one, { ...one, certificates: new Map([...one.certificates].map(([, certificate]) => ['shop/other', certificate])) }));
  assert.ok(!equalButEndpoints(one, { ...one, serverNames: [] }));
  assert.ok(!equalButEndpoints(one, snapshot('key', '10.0.0.1', '/other')));
  assert.ok(!equalButEndpoints(one, { ...one, defaultCertificate: 'shop/tls' }));
});

test('endpoints are compared by themselves', () => {
  assert.ok(equalButEndpoints(snapshot('key', '10.0.0.1'), snapshot('key', '10.0.0.2')));
  assert.deepEqual(
    changedEndpoints(snapshot('key', '10.0.0.1'), snapshot('key', '10.0.0.2')),
    new Map([['shop/web/80', [{ address: '10.0.0.2', port: 80, state: 'Ready' }]]]),
  );
});
