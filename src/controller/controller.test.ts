import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import type { ResourceSet } from '../resources/resource-set.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Endpoint, UpstreamKey } from '../snapshot/upstream.ts';
import type { Source } from '../sources/source.ts';
import { buildSet, type Manifest } from '../translate/testdata/build-set.ts';
import type { TranslateOptions } from '../translate/translate.ts';
import { Controller } from './controller.ts';
import type { Publisher } from './publisher.ts';

const options: TranslateOptions = { ingressClass: 'tidegate', allowExternalName: false, allowLoopbackEndpoints: true };

const service: Manifest = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { ports: [{ port: 80 }] } };
const route = (path: string, more: object = {}): Manifest => ({
  apiVersion: 'tidegate.dev/v1alpha1',
  kind: 'ApiRoute',
  metadata: { name: 'web', ...more },
  spec: { rules: [{ matches: [{ path: { value: path } }], backendRefs: [{ name: 'web', port: 80 }] }] },
});
const routeA = route('/a');
const slice = (...addresses: string[]): Manifest => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  ports: [{ port: 8080 }],
  endpoints: addresses.map((address) => ({ addresses: [address] })),
});

class FakeSource implements Source {
  readonly listeners = new Set<(set: ResourceSet) => void>();
  current: ResourceSet;

  constructor(manifests: readonly Manifest[]) {
    this.current = buildSet(manifests);
  }

  start(): Promise<ResourceSet> {
    return Promise.resolve(this.current);
  }

  onChange(listener: (set: ResourceSet) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The next set; maps whose entries are the same stay the same, as sources promise. */
  change(manifests: readonly Manifest[]): void {
    const next = buildSet(manifests) as unknown as Record<string, unknown>;
    const before = this.current as unknown as Record<string, unknown>;
    for (const [field, part] of Object.entries(next)) {
      const old = before[field];
      if (part instanceof Map && old instanceof Map && part.size === old.size && [...part].every(([key, entry]) => old.get(key) === entry)) next[field] = old;
    }
    this.current = next as unknown as ResourceSet;
    for (const listener of this.listeners) listener(this.current);
  }
}

type Published = { readonly snapshot: Snapshot } | { readonly endpoints: ReadonlyMap<UpstreamKey, readonly Endpoint[]> };

class FakePublisher implements Publisher {
  readonly published: Published[] = [];

  snapshot(snapshot: Snapshot): void {
    this.published.push({ snapshot });
  }

  endpoints(endpoints: ReadonlyMap<UpstreamKey, readonly Endpoint[]>): void {
    this.published.push({ endpoints });
  }

  /** What came since the last call, in short. */
  take(): string[] {
    return this.published.splice(0).map((one) => {
      if ('snapshot' in one) return `snapshot ${one.snapshot.routes.map(({ matches }) => matches[0]?.path.value).join()}`;
      return [...one.endpoints].map(([key, list]) => `endpoints ${key} ${list.map(({ address }) => address).join()}`).join('; ');
    });
  }
}

async function begin(manifests: readonly Manifest[]) {
  const source = new FakeSource(manifests);
  const publisher = new FakePublisher();
  const log: string[] = [];
  const controller = new Controller(source, options, publisher, (level, message, fields) => {
    if (level !== 'debug') log.push(`${level} ${message} ${fields.object ?? ''} ${fields.message ?? fields.error ?? ''}`.trim());
  });
  await controller.start();
  return { source, publisher, log, controller };
}

/** Long enough for any change to be taken in. */
function settle(): void {
  mock.timers.tick(1000);
}

describe('controller', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
  afterEach(() => mock.timers.reset());

  test('the first set is published by start', async () => {
    const { publisher, controller } = await begin([service, route('/a'), slice('10.0.0.1')]);
    assert.deepEqual(publisher.take(), ['snapshot /a']);
    assert.equal(controller.current?.snapshot.endpoints.get('default/web/80')?.length, 1);
    assert.deepEqual(
      controller.current?.statuses.map(({ name }) => name),
      ['web'],
    );
    assert.equal(controller.resources?.services.size, 1);
  });

  test('a change of slices alone goes out as endpoints of what it touched', async () => {
    const { source, publisher, controller } = await begin([service, routeA, slice('10.0.0.1')]);
    publisher.take();
    const routes = controller.current?.snapshot.routes;
    source.change([service, routeA, slice('10.0.0.2', '10.0.0.3')]);
    settle();
    assert.deepEqual(publisher.take(), ['endpoints default/web/80 10.0.0.2,10.0.0.3']);
    assert.equal(controller.current?.snapshot.endpoints.get('default/web/80')?.length, 2);
    assert.equal(controller.current?.snapshot.routes, routes, 'routes are not translated again');
    source.change([service, routeA]);
    settle();
    assert.deepEqual(publisher.take(), ['endpoints default/web/80 '], 'an upstream without endpoints is told, too');
  });

  test('a change of a slice that changes no endpoint is not published', async () => {
    const { source, publisher, controller } = await begin([service, routeA, slice('10.0.0.1')]);
    publisher.take();
    source.change([service, routeA, slice('10.0.0.1', '10.0.0.1')]);
    settle();
    assert.deepEqual(publisher.take(), []);
    assert.equal(controller.resources, source.current);
  });

  test('any other change goes out as a snapshot', async () => {
    const { source, publisher } = await begin([service, routeA, slice('10.0.0.1')]);
    publisher.take();
    source.change([service, route('/b'), slice('10.0.0.2')]);
    settle();
    assert.deepEqual(publisher.take(), ['snapshot /b']);
  });

  test('what changes nothing for the data plane is not published', async () => {
    const { source, publisher, controller } = await begin([service, routeA, slice('10.0.0.1')]);
    publisher.take();
    source.change([service, route('/a', { labels: { team: 'shop' }, generation: 2 }), slice('10.0.0.1')]);
    settle();
    assert.deepEqual(publisher.take(), []);
    assert.equal(controller.current?.statuses[0]?.conditions[0]?.observedGeneration, 2, 'statuses are those of the new version');
  });

  test('where another change matters to nobody, endpoints still go out by themselves', async () => {
    const { source, publisher } = await begin([service, routeA, slice('10.0.0.1')]);
    publisher.take();
    source.change([service, route('/a', { labels: { team: 'shop' } }), slice('10.0.0.2')]);
    settle();
    assert.deepEqual(publisher.take(), ['endpoints default/web/80 10.0.0.2']);
  });

  test('changes in a row are taken together, soon after the last one', async () => {
    const { source, publisher } = await begin([service, routeA]);
    publisher.take();
    for (const path of ['/b', '/c', '/d']) {
      source.change([service, route(path)]);
      mock.timers.tick(10);
    }
    assert.deepEqual(publisher.take(), []);
    mock.timers.tick(10);
    assert.deepEqual(publisher.take(), ['snapshot /d']);
    settle();
    assert.deepEqual(publisher.take(), [], 'and once');
  });

  test('troubles of names are translated by themselves, and stay through later changes', async () => {
    const { source, publisher, controller } = await begin([service, routeA, slice('10.0.0.1')]);
    publisher.take();
    const resolved = () => controller.current?.statuses[0]?.conditions.find(({ type }) => type === 'ResolvedRefs')?.status;
    controller.setNameTroubles(new Map([['default/web/80', { reason: 'BackendNotFound', message: 'is in trouble', hint: '' }]]));
    settle();
    assert.deepEqual([resolved(), publisher.take()], ['False', []]);
    source.change([service, routeA, slice('10.0.0.2')]);
    settle();
    assert.deepEqual([resolved(), publisher.take()], ['False', ['endpoints default/web/80 10.0.0.2']]);
    controller.setNameTroubles(new Map());
    settle();
    assert.deepEqual([resolved(), publisher.take()], ['True', []]);
  });

  test('changes that never end are not held off for longer than the maximum', async () => {
    const { source, publisher } = await begin([service, routeA]);
    publisher.take();
    const seen: string[] = [];
    for (let time = 0; time < 1000; time += 10) {
      source.change([service, route(`/${time}`)]);
      mock.timers.tick(10);
      seen.push(...publisher.take());
    }
    assert.deepEqual(seen, ['snapshot /190', 'snapshot /390', 'snapshot /590', 'snapshot /790', 'snapshot /990']);
  });

  test('nothing is published after close, and the source is let go', async () => {
    const { source, publisher, controller } = await begin([service, routeA]);
    publisher.take();
    source.change([service, route('/b')]);
    controller.close();
    settle();
    assert.deepEqual(publisher.take(), []);
    assert.equal(source.listeners.size, 0);
  });

  test('a change that comes before the first set is in is not lost', async () => {
    const source = new FakeSource([service, routeA]);
    const publisher = new FakePublisher();
    const controller = new Controller(source, options, publisher, () => {});
    const started = controller.start();
    source.change([service, route('/b')]);
    await started;
    settle();
    assert.deepEqual(publisher.take().at(-1), 'snapshot /b');
  });

  test('what the source throws at the start is thrown on', async () => {
    const source = new FakeSource([]);
    source.start = () => Promise.reject(new Error('the folder is missing'));
    await assert.rejects(new Controller(source, options, new FakePublisher(), () => {}).start(), /the folder is missing/);
  });

  test('a fault of ours is told, what serves goes on serving, and the next change is taken', async () => {
    const { source, publisher, log } = await begin([service, routeA]);
    publisher.take();
    source.current = { ...source.current };
    for (const listener of source.listeners) listener({ ...source.current, services: undefined as never });
    settle();
    assert.deepEqual(publisher.take(), []);
    assert.match(log.join('\n'), /^error translation failed +TypeError/);
    source.change([service, route('/b')]);
    settle();
    assert.deepEqual(publisher.take(), ['snapshot /b']);
  });

  test('bad objects are told once, and when they are good again', async () => {
    const bad: Manifest = { ...routeA, spec: { rules: [], hostnamess: [] } };
    const { source, log } = await begin([service, routeA]);
    const take = (): string[] => log.splice(0);
    assert.deepEqual(take(), []);
    source.change([service, bad]);
    settle();
    assert.deepEqual(take(), [
      'warn object has a problem ApiRoute/default/web the list is empty',
      'warn object has a problem ApiRoute/default/web unknown field "hostnamess"',
    ]);
    source.change([service, bad, slice('10.0.0.1')]);
    settle();
    assert.deepEqual(take(), [], 'told already');
    source.change([service, { ...bad, spec: { rules: [] } }, slice('10.0.0.1')]);
    settle();
    assert.deepEqual(take(), [], 'one problem fewer is nothing new');
    source.change([service, routeA, slice('10.0.0.1')]);
    settle();
    assert.deepEqual(take(), ['info object is good again ApiRoute/default/web']);
  });

  test('problems that show beside other objects are told as well; an object that goes is not good again', async () => {
    const { source, log } = await begin([routeA]);
    assert.deepEqual(log.splice(0), ['warn object has a problem ApiRoute/default/web Service default/web does not exist']);
    source.change([]);
    settle();
    assert.deepEqual(log.splice(0), []);
    source.change([routeA]);
    settle();
    assert.equal(log.splice(0).length, 1);
    source.change([routeA, service]);
    settle();
    assert.deepEqual(log.splice(0), ['info object is good again ApiRoute/default/web']);
  });

  test('of an object with many problems, the first are told and the rest is counted', async () => {
    const rules = Array.from({ length: 25 }, (_, index) => ({ matches: [{ path: { value: `/${index}` } }], backendRefs: [{ name: 'gone', port: 80 }] }));
    const { log } = await begin([{ ...routeA, spec: { rules } }]);
    assert.equal(log.length, 11);
    assert.equal(log.at(-1), 'warn object has further problems ApiRoute/default/web');
  });
});
