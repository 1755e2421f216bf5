import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Endpoint, UpstreamKey } from '../snapshot/upstream.ts';
import { buildSet, type Manifest } from '../translate/testdata/build-set.ts';
import { translate } from '../translate/translate.ts';
import { type Answer, answered, NameServer } from './name-server.fixture.ts';
import type { Publisher } from './publisher.ts';
import { ResolvingPublisher } from './resolving-publisher.ts';

const KEY = 'default/web/80';

function external(externalName: string, name = 'web', port = 80): readonly Manifest[] {
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { type: 'ExternalName', externalName } },
    { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name }, spec: { rules: [{ backendRefs: [{ name, port }] }] } },
  ];
}

function plain(name: string, ...addresses: readonly string[]): readonly Manifest[] {
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports: [{ port: 80 }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ port: 80 }],
      endpoints: [{ addresses }],
    },
    { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name }, spec: { rules: [{ backendRefs: [{ name, port: 80 }] }] } },
  ];
}

class FakeWorkers implements Publisher {
  readonly published: string[] = [];

  snapshot({ endpoints }: Snapshot): void {
    this.published.push(`snapshot ${describeEndpoints(endpoints)}`);
  }

  endpoints(changes: ReadonlyMap<UpstreamKey, readonly Endpoint[]>): void {
    this.published.push(`endpoints ${describeEndpoints(changes)}`);
  }

  take(): string[] {
    return this.published.splice(0);
  }
}

function describeEndpoints(endpoints: ReadonlyMap<UpstreamKey, readonly Endpoint[]>): string {
  return [...endpoints].map(([key, list]) => `${key}=${list.map(({ address, port }) => `${address} ${port}`).join()}`).join('; ');
}

function begin(names: Readonly<Record<string, Answer>>, allowLoopbackEndpoints = false) {
  const server = new NameServer(names);
  const workers = new FakeWorkers();
  const log: string[] = [];
  const troubles: string[] = [];
  const publisher = new ResolvingPublisher(workers, {
    onTroubles: (found) => troubles.push([...found].map(([key, { reason, message }]) => `${key} ${reason} ${message}`).join('; ')),
    lookup: server.lookup,
    log: (level, message, { upstream, upstreams, address, reason }) =>
      log.push(`${level} ${message}: ${upstream ?? upstreams} ${address ?? ''} ${reason ?? ''}`.trim()),
    allowLoopbackEndpoints,
    random: () => 0.5,
  });
  const options = { ingressClass: 'tidegate', allowExternalName: true, allowLoopbackEndpoints };
  const apply = (...manifests: readonly Manifest[]): void => publisher.snapshot(translate(buildSet(manifests), options).snapshot);
  return { server, workers, publisher, apply, takeLog: () => log.splice(0), takeTroubles: () => troubles.splice(0) };
}

async function refreshed(): Promise<void> {
  mock.timers.tick(30_000);
  await answered();
}

describe('resolving publisher', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
  afterEach(() => mock.timers.reset());

  test('a snapshot without names passes at once and as it is, and names no work', async () => {
    const { server, workers, publisher, apply } = begin({});
    apply(...plain('shop', '10.0.0.1'));
    assert.deepEqual(workers.take(), ['snapshot default/shop/80=10.0.0.1 80']);
    publisher.endpoints(new Map([['default/shop/80', [{ address: '10.0.0.2', port: 80, state: 'Ready' as const }]]]));
    assert.deepEqual(workers.take(), ['endpoints default/shop/80=10.0.0.2 80']);
    assert.deepEqual(publisher.published?.endpoints.get('default/shop/80')?.[0]?.address, '10.0.0.2');
    await refreshed();
    assert.deepEqual(server.take(), []);
  });

  test('a name becomes its addresses; the snapshot waits for them', async () => {
    const { workers, publisher, apply } = begin({ 'web.test': ['10.0.0.2', '2001:db8::1', '10.0.0.1'] });
    apply(...external('Web.test'));
    assert.deepEqual([workers.take(), publisher.published], [[], undefined]);
    await answered();
    assert.deepEqual(workers.take(), [`snapshot ${KEY}=10.0.0.1 80,10.0.0.2 80,2001:db8::1 80`]);
    assert.deepEqual(publisher.counts, { resolved: 1, stale: 0, unresolved: 0, refused: 0 });
  });

  test('where a name leads elsewhere, its upstreams’ endpoints go out by themselves', async () => {
    const { server, workers, apply } = begin({ 'web.test': ['10.0.0.1'] });
    apply(...external('web.test'), ...external('web.test', 'other', 8080), ...plain('shop', '10.0.0.9'));
    await answered();
    workers.take();
    server.names.set('web.test', ['10.0.0.2']);
    await refreshed();
    assert.deepEqual(workers.take(), ['endpoints default/other/8080=10.0.0.2 8080; default/web/80=10.0.0.2 80']);
    await refreshed();
    assert.deepEqual(workers.take(), []);
  });

  test('a later snapshot keeps the addresses that are known, and waits no longer than half a second for those of new names', async () => {
    const { server, workers, apply, publisher } = begin({ 'web.test': ['10.0.0.1'], 'slow.test': 'hangs' });
    apply(...external('web.test'), ...plain('shop', '10.0.0.9'));
    await answered();
    workers.take();
    apply(...external('web.test'), ...plain('shop', '10.0.0.9'), ...external('slow.test', 'slow'));
    await answered();
    mock.timers.tick(300);
    // What changes meanwhile waits for nothing.
    publisher.endpoints(new Map([['default/shop/80', [{ address: '10.0.0.8', port: 80, state: 'Ready' as const }]]]));
    assert.deepEqual(workers.take(), ['endpoints default/shop/80=10.0.0.8 80']);
    mock.timers.tick(199);
    assert.deepEqual(workers.take(), []);
    mock.timers.tick(1);
    assert.deepEqual(workers.take(), ['snapshot default/shop/80=10.0.0.8 80; default/slow/80=; default/web/80=10.0.0.1 80']);
    server.answer('slow.test', ['10.0.0.5']);
    await answered();
    assert.deepEqual(workers.take(), ['endpoints default/slow/80=10.0.0.5 80']);
  });

  test('the first snapshot waits for one look-up; a name that does not resolve has no endpoint', async () => {
    const { workers, apply, takeLog } = begin({ 'web.test': 'hangs' });
    apply(...external('web.test'), ...external('gone.test', 'gone'));
    await answered();
    mock.timers.tick(4999);
    assert.deepEqual(workers.take(), []);
    mock.timers.tick(1);
    assert.deepEqual(workers.take(), [`snapshot default/gone/80=; ${KEY}=`]);
    assert.deepEqual(takeLog(), ['warn a name can not be resolved: default/gone/80', 'warn a name can not be resolved: default/web/80']);
  });

  test('an edit of the name takes the old addresses away, also when the new name does not resolve', async () => {
    const { workers, apply } = begin({ 'web.test': ['10.0.0.1'] });
    apply(...external('web.test'));
    await answered();
    workers.take();
    apply(...external('gone.test'));
    await answered();
    assert.deepEqual(workers.take(), [`snapshot ${KEY}=`]);
  });

  test('a failure keeps the last addresses', async () => {
    const { server, workers, apply } = begin({ 'web.test': ['10.0.0.1'] });
    apply(...external('web.test'));
    await answered();
    workers.take();
    server.names.set('web.test', new Error('EAI_AGAIN'));
    await refreshed();
    await refreshed();
    apply(...external('web.test'), ...plain('shop', '10.0.0.9'));
    assert.deepEqual(workers.take(), [`snapshot default/shop/80=10.0.0.9 80; ${KEY}=10.0.0.1 80`]);
  });

  for (const [address, reason] of [
    ['127.0.0.1', 'a loopback address'],
    ['127.8.9.1', 'a loopback address'],
    ['::1', 'a loopback address'],
    ['0:0:0:0:0:0:0:1', 'a loopback address'],
    ['::ffff:127.0.0.1', 'a loopback address'],
    ['::ffff:7f00:1', 'a loopback address'],
    ['169.254.169.254', 'a link-local, multicast or unspecified address'],
    ['::FFFF:A9FE:A9FE', 'a link-local, multicast or unspecified address'],
    ['fe80::1%eth0', 'a link-local, multicast or unspecified address'],
    ['0.0.0.0', 'a link-local, multicast or unspecified address'],
    ['::', 'a link-local, multicast or unspecified address'],
    ['224.0.0.1', 'a link-local, multicast or unspecified address'],
    ['ff02::1', 'a link-local, multicast or unspecified address'],
    ['10.96.0.1', 'the API server'],
    ['::ffff:10.96.0.1', 'the API server'],
    ['fd00:0::1', 'the API server'],
    ['elsewhere.test', 'no address'],
  ] as const) {
    test(`a name that was good and comes to lead to ${address} loses that endpoint, and only that`, async () => {
      const { server, workers, publisher, apply, takeLog } = begin({ 'web.test': ['10.0.0.1'] });
      apply(...external('web.test'));
      publisher.refuse(['10.96.0.1 80', 'fd00::1 80']);
      await answered();
      workers.take();
      server.names.set('web.test', [address, '10.0.0.1', '10.0.0.2']);
      await refreshed();
      assert.deepEqual(workers.take(), [`endpoints ${KEY}=10.0.0.1 80,10.0.0.2 80`]);
      assert.deepEqual(takeLog(), [`warn a name leads to an address that no endpoint may have: ${KEY} ${address.toLowerCase()} ${reason}`]);
      assert.equal(publisher.counts.refused, 1);
      server.names.set('web.test', [address]);
      await refreshed();
      assert.deepEqual([workers.take(), takeLog()], [[`endpoints ${KEY}=`], []]);
      server.names.set('web.test', ['10.0.0.1']);
      await refreshed();
      assert.deepEqual([workers.take(), takeLog()], [[`endpoints ${KEY}=10.0.0.1 80`], [`info a name leads to no refused address any more: ${KEY}`]]);
      assert.equal(publisher.counts.refused, 0);
    });
  }

  test('loopback is taken where endpoints may be there, link-local never', async () => {
    const { workers, apply } = begin({ 'web.test': ['127.0.0.1', '::1', '169.254.169.254', 'fe80::1'] }, true);
    apply(...external('web.test'));
    await answered();
    assert.deepEqual(workers.take(), [`snapshot ${KEY}=127.0.0.1 80,::1 80`]);
  });

  test('an address becomes the API server’s: it is taken back at once, on the API server’s port alone', async () => {
    const { workers, publisher, apply } = begin({ 'web.test': ['10.0.0.1', '10.0.0.2'] });
    apply(...external('web.test'), ...external('web.test', 'other', 8080));
    await answered();
    workers.take();
    publisher.refuse(['10.0.0.1 80']);
    assert.deepEqual(workers.take(), [`endpoints ${KEY}=10.0.0.2 80`]);
    publisher.refuse(['10.9.9.9 80']);
    assert.deepEqual(workers.take(), [`endpoints ${KEY}=10.0.0.1 80,10.0.0.2 80`]);
  });

  test('what routes are to tell of their names is told once, and when it is over', async () => {
    const { server, apply, publisher, takeTroubles } = begin({
      'web.test': new Error('down'),
      'near.test': ['10.0.0.1', '169.254.169.254'],
      'slow.test': 'hangs',
    });
    apply(...external('web.test'), ...external('near.test', 'near'), ...external('slow.test', 'slow'), ...plain('shop', '10.0.0.9'));
    await answered();
    mock.timers.tick(6000);
    await answered();
    assert.equal(
      takeTroubles().at(-1),
      [
        'default/near/80 RefNotPermitted has the externalName near.test, which leads to a link-local, multicast or unspecified address',
        'default/slow/80 BackendNotFound has the externalName slow.test, which can not be resolved',
        'default/web/80 BackendNotFound has the externalName web.test, which can not be resolved',
      ].join('; '),
    );
    server.answer('slow.test', ['10.0.0.5']);
    server.names.set('web.test', ['10.0.0.2']).set('near.test', ['169.254.0.1', '10.0.0.1']);
    await refreshed();
    await refreshed();
    // Another address of the same kind is no news.
    assert.equal(
      takeTroubles()
        .at(-1)
        ?.replace(/ has.*/, ''),
      'default/near/80 RefNotPermitted',
    );
    // A name that was good keeps its addresses, so there is nothing to tell.
    server.names.set('web.test', new Error('down')).set('near.test', ['10.0.0.1']);
    await refreshed();
    await refreshed();
    assert.deepEqual(takeTroubles(), ['']);
    publisher.refuse(['10.0.0.1 80']);
    await answered();
    assert.deepEqual(takeTroubles(), ['default/near/80 RefNotPermitted has the externalName near.test, which leads to the API server']);
    apply(...plain('shop', '10.0.0.9'));
    await answered();
    assert.deepEqual(takeTroubles(), ['']);
    publisher.close();
  });

  test('an address in place of a name is left to translation', () => {
    const { server, workers, apply } = begin({});
    apply(...external('10.0.0.7'));
    assert.deepEqual([workers.take(), server.take()], [[`snapshot ${KEY}=10.0.0.7 80`], []]);
  });

  test('names of Services that are gone are looked up no more, nor is anything published after close', async () => {
    const { server, workers, publisher, apply } = begin({ 'web.test': ['10.0.0.1'], 'other.test': ['10.0.0.2'], 'slow.test': 'hangs' });
    apply(...external('web.test'), ...external('other.test', 'other'));
    await answered();
    apply(...external('web.test'));
    server.take();
    await refreshed();
    assert.deepEqual(server.take(), ['web.test']);
    workers.take();
    apply(...external('web.test'), ...external('slow.test', 'slow'));
    publisher.close();
    server.names.set('web.test', ['10.0.0.3']);
    server.answer('slow.test', ['10.0.0.4']);
    await refreshed();
    assert.deepEqual(workers.take(), []);
  });
});
