import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import { deserialize } from 'node:v8';
import fc from '../../scripts/fast-check.ts';
import { route } from '../router/testdata/routes.ts';
import type { ConsumerSpec } from '../snapshot/auth.ts';
import type { Route } from '../snapshot/route.ts';
import { Sensitive } from '../snapshot/sensitive.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Endpoint, Upstream, UpstreamKey } from '../snapshot/upstream.ts';
import { BreakerMemory } from '../upstream/breaker/breaker-memory.ts';
import { upstream } from '../upstream/fixtures.ts';
import { BreakerSlots } from './breaker-slots.ts';
import type { ChangePart, PublishedEndpoint, ToWorker } from './messages.ts';
import { Publication } from './publication.ts';

function snapshot(routes: readonly Route[], endpoints: Readonly<Record<UpstreamKey, readonly string[]>>, connectTimeout = 5000): Snapshot {
  return {
    routes,
    upstreams: new Map(Object.keys(endpoints).map((key) => [key, upstream({ key, connectTimeout })])),
    endpoints: new Map(Object.entries(endpoints).map(([key, list]) => [key, list.map((address): Endpoint => ({ address, port: 80, state: 'Ready' }))])),
    certificates: new Map(),
    serverNames: [],
  };
}

function named(name: string, rank: number, host = name): Route {
  return route(name, rank, { hosts: [host] }, { id: name });
}

function partsOf(message: ToWorker): ChangePart[] {
  assert.equal(message.type, 'change');
  return message.parts.map((part) => deserialize(part) as ChangePart);
}

/** What a worker holds, by what it was sent. */
class Received {
  readonly routes = new Map<string, Route>();
  readonly upstreams = new Map<UpstreamKey, Upstream>();
  readonly endpoints = new Map<UpstreamKey, readonly PublishedEndpoint[]>();
  version = 0;

  take(message: ToWorker): void {
    const before = this.#slots;
    this.#take(message);
    const slots = this.#slots;
    assert.equal(new Set(slots.values()).size, slots.size, 'no two share a slot');
    for (const [name, slot] of slots) if (before.has(name)) assert.equal(slot, before.get(name), 'a slot lasts as long as its endpoint');
  }

  get #slots(): Map<string, number> {
    return new Map([...this.endpoints].flatMap(([key, list]) => list.map(({ address, slot }) => [`${key} ${address}`, slot] as const)));
  }

  #take(message: ToWorker): void {
    if (message.type === 'endpoints') {
      for (const [key, list] of message.endpoints) this.endpoints.set(key, list);
      this.version = message.version;
      return;
    }
    const parts = partsOf(message);
    assert.equal(message.type, 'change');
    for (const part of parts) {
      for (const [key, one] of part.upstreams) {
        assert.ok(part.endpoints.has(key), 'an upstream comes with its endpoints');
        this.upstreams.set(key, one);
      }
      for (const [key, list] of part.endpoints) {
        assert.ok(this.upstreams.has(key));
        this.endpoints.set(key, list);
      }
      for (const one of part.routes) this.routes.set(one.id, one);
    }
    for (const id of message.end.removedRoutes) assert.ok(this.routes.delete(id));
    for (const key of message.end.removedUpstreams) {
      assert.ok(this.upstreams.delete(key));
      this.endpoints.delete(key);
    }
    this.version = message.end.version;
  }

  /** Without what publication adds. */
  get plain() {
    return {
      routes: [...this.routes.values()].sort((one, other) => one.rank - other.rank).map((one, rank) => ({ ...one, rank })),
      upstreams: this.upstreams,
      endpoints: new Map([...this.endpoints].map(([key, list]) => [key, list.map(({ slot: _slot, ...endpoint }) => endpoint)])),
    };
  }
}

test('a change of one route and one endpoint list is all that is sent', () => {
  const publication = new Publication(new BreakerSlots(new BreakerMemory(BreakerMemory.allocate(1, 4), 1, 0), 4));
  const first = partsOf(publication.next(snapshot([named('a', 0), named('b', 1)], { one: ['10.0.0.1'], two: ['10.0.0.2'] })));
  assert.equal(first.flatMap(({ routes }) => routes).length, 2);
  const change = publication.next(snapshot([named('a', 0), named('b', 1, 'other')], { one: ['10.0.0.1'], two: ['10.0.0.3'] }));
  const parts = partsOf(change);
  assert.deepEqual(
    parts.map(({ upstreams, endpoints, routes }) => [[...upstreams.keys()], [...endpoints.keys()], routes.map(({ id }) => id)]),
    [
      [[], ['two'], []],
      [[], [], ['b']],
    ],
  );
  assert.equal(change.end.certificates, undefined);
});

test('a large snapshot goes in parts', () => {
  const routes = Array.from({ length: 2000 }, (_, index) => named(`r${index}`, index));
  const parts = partsOf(new Publication(new BreakerSlots(new BreakerMemory(BreakerMemory.allocate(1, 4), 1, 0), 4)).next(snapshot(routes, {})));
  assert.ok(parts.length >= 8);
  assert.deepEqual(
    parts.flatMap((part) => part.routes),
    routes,
  );
});

test('whatever changes, a worker that was there all along, and one that comes later, have the last snapshot', () => {
  const routesOf = fc
    .uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 5 })
    .chain((names) =>
      fc
        .array(fc.constantFrom('x', 'y'), { minLength: names.length, maxLength: names.length })
        .map((hosts) => names.map((name, rank) => named(name, rank, hosts[rank]))),
    );
  const addresses = fc.subarray(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  const anySnapshot = fc
    .tuple(routesOf, fc.dictionary(fc.constantFrom('one', 'two', 'three'), addresses, { noNullPrototype: true }), fc.constantFrom(1000, 2000))
    .map((parts) => snapshot(...parts));
  fc.assert(
    fc.property(fc.array(fc.tuple(anySnapshot, fc.option(addresses)), { minLength: 1, maxLength: 6 }), (rounds) => {
      const publication = new Publication(new BreakerSlots(new BreakerMemory(BreakerMemory.allocate(1, 4), 1, 0), 4));
      const received = new Received();
      for (const [next, later] of rounds) {
        received.take(publication.next(next));
        let endpoints = next.endpoints;
        const key = [...next.upstreams.keys()][0];
        if (later !== null && key !== undefined) {
          const changes = new Map([[key, later.map((address): Endpoint => ({ address, port: 80, state: 'Ready' }))]]);
          endpoints = new Map([...endpoints, ...changes]);
          received.take(publication.nextEndpoints(changes));
        }
        const { routes, upstreams } = next;
        assert.deepEqual(received.plain, { routes, upstreams, endpoints });
        const newcomer = new Received();
        newcomer.take(publication.whole());
        assert.deepEqual(newcomer.plain, received.plain);
        assert.deepEqual(newcomer.endpoints, received.endpoints, 'with the same slots');
        assert.equal(newcomer.version, received.version);
      }
    }),
  );
});

test('of consumers go out those that are new or changed, and the names of those that are gone; all of them to a worker that starts', () => {
  const publication = new Publication(new BreakerSlots(new BreakerMemory(BreakerMemory.allocate(1), 1, 0)));
  const consumer = (name: string, key: string): ConsumerSpec => ({
    ...{ namespace: 'shop', name, groups: [], basicUsers: [], certificateSubjects: [] },
    keyDigests: new Sensitive(hash('sha256', key)),
  });
  const [a, b, c] = [consumer('a', '1'), consumer('b', '2'), consumer('c', '3')];
  const sent = (consumers: readonly ConsumerSpec[]): unknown => {
    const map = new Map(consumers.map((one) => [`${one.namespace}/${one.name}`, one]));
    const message = publication.next({ ...snapshot([], {}), ...(map.size === 0 ? {} : { consumers: map }) });
    return { put: partsOf(message).flatMap((part) => part.consumers.map(({ id }) => id)), removed: message.end.removedConsumers };
  };
  assert.deepEqual(sent([a, b]), { put: ['shop/a', 'shop/b'], removed: [] });
  assert.deepEqual(sent([a, b]), { put: [], removed: [] });
  assert.deepEqual(sent([a, consumer('b', 'another'), c]), { put: ['shop/b', 'shop/c'], removed: [] });
  assert.deepEqual(
    partsOf(publication.whole()).flatMap((part) => part.consumers.map(({ id, keyDigests }) => [id, keyDigests.length])),
    [
      ['shop/a', 32],
      ['shop/b', 32],
      ['shop/c', 32],
    ],
  );
  assert.deepEqual(sent([c]), { put: [], removed: ['shop/a', 'shop/b'] });
  assert.deepEqual(sent([]), { put: [], removed: ['shop/c'] });
});
