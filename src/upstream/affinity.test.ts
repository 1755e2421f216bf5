/** Session affinity: what cookies say, how long they hold, and what they give away. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { Fields } from '../exchange/fields.ts';
import type { Backend } from '../snapshot/route.ts';
import type { SessionAffinity } from '../snapshot/upstream.ts';
import type { Affinity } from './affinity.ts';
import { AffinityKeys } from './affinity-keys.ts';
import { BackendPicker, type PickedBackend, type PickedEndpoint } from './backend-picker.ts';
import type { EndpointState } from './endpoint-state.ts';
import { endpoint, fakeContext, seeded, upstream } from './fixtures.ts';
import { Upstreams } from './upstreams.ts';

const BALANCED: SessionAffinity = { cookieName: 'TG', ttl: 3_600_000, mode: 'Balanced' };

interface Client {
  readonly clientAddress: string;
  readonly path: string;
  readonly scheme: 'http' | 'https';
  readonly requestFields: { get(name: string): undefined };
  cookie(name: string): string | undefined;
  queryParam(name: string): undefined;
}

function client(cookies: Readonly<Record<string, string>> = {}, scheme: 'http' | 'https' = 'http'): Client {
  return {
    clientAddress: '192.0.2.1',
    path: '/',
    scheme,
    requestFields: { get: () => undefined },
    cookie: (name) => cookies[name],
    queryParam: () => undefined,
  };
}

/** Upstreams `a` and `b` with three endpoints each, and a route to them. */
function setUp(affinity: SessionAffinity = BALANCED, backends: readonly Backend[] = [{ upstream: 'a', weight: 1, backup: false }]) {
  const upstreams = new Upstreams(fakeContext());
  const endpoints = new Map(['a', 'b'].map((key, index) => [key, [0, 1, 2].map((number) => endpoint(index * 10 + number))]));
  upstreams.put({ upstreams: new Map(['a', 'b'].map((key) => [key, upstream({ key, sessionAffinity: affinity })])), endpoints });
  return { upstreams, endpoints, picker: new BackendPicker(backends, upstreams, seeded(1)) };
}

/** Set-Cookie of an answer by that endpoint; undefined: none. */
function stamped(backend: PickedBackend, to: EndpointState, request: Client): string | undefined {
  const fields = new Fields();
  backend.affinity?.stamp(request, to, fields);
  return fields.get('set-cookie');
}

/** The first answer that a client without a cookie gets. */
function first(picker: BackendPicker): PickedEndpoint & { readonly value: string; readonly affinity: Affinity } {
  assert.equal(picker.pickAffine(client()), undefined);
  const backend = picker.pick() as PickedBackend;
  const picked = backend.upstream?.pick(client(), undefined) as EndpointState;
  const value = /^TG=([^;]+);/.exec(stamped(backend, picked, client()) ?? '')?.[1];
  assert.ok(value !== undefined);
  return { backend, endpoint: picked, value, affinity: backend.affinity as Affinity };
}

describe('session affinity', () => {
  it('keeps a client at its endpoint, without a new cookie', () => {
    const { picker } = setUp();
    const { endpoint: mine, value } = first(picker);
    for (let round = 0; round < 10; round++) {
      const kept = picker.pickAffine(client({ TG: value })) as PickedEndpoint;
      assert.equal(kept.endpoint, mine);
      assert.equal(stamped(kept.backend, kept.endpoint, client({ TG: value })), undefined);
    }
  });

  it('writes the attributes that keep a cookie from scripts, other sites and plain connections', () => {
    const { picker } = setUp();
    const { backend, endpoint: mine, value } = first(picker);
    assert.equal(stamped(backend, mine, client()), `TG=${value}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax`);
    assert.equal(stamped(backend, mine, client({}, 'https')), `TG=${value}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure`);
  });

  it('writes them as an Ingress has them, and no Max-Age for as long as the browser runs', () => {
    const { picker } = setUp({ cookieName: 'TG', mode: 'Balanced', cookie: { path: '/shop', domain: 'example.com', sameSite: 'None', secure: true } });
    const { backend, endpoint: mine, value } = first(picker);
    assert.equal(stamped(backend, mine, client()), `TG=${value}; Path=/shop; Domain=example.com; HttpOnly; SameSite=None; Secure`);
  });

  it('Balanced: gives another endpoint and a new cookie once the old one is not in use any more', () => {
    const { picker, upstreams, endpoints } = setUp();
    const { endpoint: mine, value } = first(picker);
    const list = endpoints.get('a') ?? [];
    upstreams.applyEndpoints(new Map([['a', list.map((one) => (mine.address === one.address ? { ...one, state: 'Terminating' as const } : one))]]));
    const request = client({ TG: value });
    assert.equal(picker.pickAffine(request), undefined);
    const backend = picker.pick() as PickedBackend;
    const other = backend.upstream?.pick(request, undefined) as EndpointState;
    assert.notEqual(other, mine);
    const renewed = stamped(backend, other, request) ?? '';
    assert.match(renewed, /^TG=/);
    assert.ok(!renewed.includes(value));
  });

  it('Persistent: stays as long as the endpoint is listed, and through a try elsewhere', () => {
    const { picker, upstreams, endpoints } = setUp({ ...BALANCED, mode: 'Persistent' });
    const { backend, endpoint: mine, value } = first(picker);
    const list = endpoints.get('a') ?? [];
    const request = client({ TG: value });
    upstreams.applyEndpoints(new Map([['a', list.map((one) => (mine.address === one.address ? { ...one, state: 'Terminating' as const } : one))]]));
    assert.equal(picker.pickAffine(request)?.endpoint, mine);
    const other = [...(upstreams.get('a')?.endpoints ?? [])].find((one) => one !== mine) as EndpointState;
    assert.equal(stamped(backend, other, request), undefined);
    upstreams.applyEndpoints(new Map([['a', list.filter((one) => mine.address !== one.address)]]));
    assert.equal(picker.pickAffine(request), undefined);
    assert.ok(stamped(backend, other, request)?.startsWith('TG='));
  });

  it('a new cookie after a try elsewhere, unless the Ingress keeps the old one', () => {
    for (const keepOnFailure of [false, true]) {
      const { picker, upstreams } = setUp({ ...BALANCED, cookie: { keepOnFailure } });
      const { backend, endpoint: mine, value } = first(picker);
      const other = [...(upstreams.get('a')?.endpoints ?? [])].find((one) => one !== mine) as EndpointState;
      assert.equal(stamped(backend, other, client({ TG: value })) === undefined, keepOnFailure);
    }
  });

  it('keeps the backendRef, too, whatever the weights, but for one of weight 0', () => {
    const refs = (weight: number): Backend[] => [
      { upstream: 'a', weight: 1, backup: false },
      { upstream: 'b', weight, backup: false },
    ];
    const { upstreams } = setUp();
    const [inB] = [...(upstreams.get('b')?.endpoints ?? [])] as [EndpointState];
    const value = upstreams.get('b')?.digestOf(inB, BALANCED) as string;
    for (const weight of [1, 1_000_000]) {
      const kept = new BackendPicker(refs(weight), upstreams).pickAffine(client({ TG: value }));
      assert.deepEqual([kept?.backend.index, kept?.endpoint], [1, inB]);
    }
    assert.equal(new BackendPicker(refs(0), upstreams).pickAffine(client({ TG: value })), undefined);
  });

  it('a backup keeps nobody while others serve', () => {
    const { upstreams } = setUp({ ...BALANCED, mode: 'Persistent' });
    const picker = new BackendPicker(
      [
        { upstream: 'a', weight: 1, backup: false },
        { upstream: 'b', weight: 1, backup: true },
      ],
      upstreams,
    );
    const [inB] = [...(upstreams.get('b')?.endpoints ?? [])] as [EndpointState];
    const request = client({ TG: upstreams.get('b')?.digestOf(inB, BALANCED) as string });
    assert.equal(picker.pickAffine(request), undefined);
    upstreams.applyEndpoints(new Map([['a', []]]));
    assert.equal(picker.pickAffine(request)?.endpoint, inB);
  });

  it('comes and goes with the policy, for routes that stay', () => {
    const { picker, upstreams, endpoints } = setUp();
    const { endpoint: mine, value } = first(picker);
    const put = (change: { sessionAffinity?: SessionAffinity }) =>
      upstreams.put({ upstreams: new Map([['a', upstream({ key: 'a', ...change })]]), endpoints: new Map([['a', endpoints.get('a') ?? []]]) });
    put({});
    assert.equal(picker.pickAffine(client({ TG: value })), undefined);
    assert.equal(picker.backends[0]?.affinity, undefined);
    put({ sessionAffinity: BALANCED });
    assert.equal(picker.pickAffine(client({ TG: value }))?.endpoint, mine);
  });

  it('takes nothing for a cookie of its own that is none', () => {
    const { picker } = setUp();
    const { value } = first(picker);
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.equal(picker.pickAffine(client({ TG: text })), undefined);
      }),
    );
    for (const text of ['', value.toLowerCase(), `${value}=`, value.slice(1)]) {
      if (text !== value) assert.equal(picker.pickAffine(client({ TG: text })), undefined, text);
    }
  });
});

describe('keys of affinity cookies', () => {
  const own = new Uint8Array(32).fill(1);
  const other = new Uint8Array(32).fill(2);
  const value = (keys: AffinityKeys, serviceUid?: string, key = 'shop/web/80'): string =>
    keys.digester(key, serviceUid === undefined ? {} : { serviceUid })('10.0.0.1:8080');

  it('replicas agree by the secret of a file, or by the UID of the Service; without either by nothing', () => {
    const file = new Uint8Array(32).fill(3);
    assert.equal(value(new AffinityKeys({ own, configured: file })), value(new AffinityKeys({ own: other, configured: file })));
    assert.equal(value(new AffinityKeys({ own }), 'uid'), value(new AffinityKeys({ own: other }), 'uid'));
    assert.notEqual(value(new AffinityKeys({ own })), value(new AffinityKeys({ own: other })));
  });

  it('Services with one address have different values', () => {
    const keys = new AffinityKeys({ own });
    assert.notEqual(value(keys, 'uid', 'shop/web/80'), value(keys, 'uid', 'shop/api/80'));
    assert.notEqual(value(keys, 'one'), value(keys, 'other'));
  });

  it('values are 22 characters that need no quotes in a cookie', () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ minLength: 1 }), (name, uid) => {
        assert.match(new AffinityKeys({ own }).digester('a/b/80', { serviceUid: uid })(name), /^[A-Za-z0-9_-]{22}$/);
      }),
    );
  });
});
