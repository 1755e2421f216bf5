import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { FakeApiServer, type FakeObject, status } from './fake-api-server.fixture.ts';
import { keyOf, Reflector, type ReflectorOptions, type Sink } from './reflector.ts';

const SERVICES = '/api/v1/services';

/** Keeps what it is given, and tells of every change. */
class Shelf implements Sink {
  readonly objects = new Map<string, FakeObject>();
  /** `+a`, `-a`: every change, so that objects that flap are seen. */
  readonly log: string[] = [];
  #waiting: (() => void)[] = [];

  put(object: object): void {
    const key = keyOf(object);
    this.log.push(`${this.objects.has(key) ? '~' : '+'}${key}`);
    this.objects.set(key, object as FakeObject);
    this.wake();
  }

  remove(object: object): void {
    this.#drop(keyOf(object));
  }

  retain(keys: ReadonlySet<string>): void {
    for (const key of this.objects.keys()) if (!keys.has(key)) this.#drop(key);
    this.wake();
  }

  #drop(key: string): void {
    if (this.objects.delete(key)) this.log.push(`-${key}`);
    this.wake();
  }

  wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async until(test: () => boolean): Promise<void> {
    while (!test()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async untilNames(...names: string[]): Promise<void> {
    await this.until(() => [...this.objects.keys()].sort().join() === names.map((name) => `shop/${name}`).join());
  }
}

function service(name: string, extra: object = {}): FakeObject {
  return { metadata: { name, namespace: 'shop' }, ...extra };
}

async function begin(t: TestContext, prepare: (fake: FakeApiServer) => void = () => {}, options: Partial<ReflectorOptions> = {}) {
  const fake = await FakeApiServer.start(t);
  prepare(fake);
  const shelf = new Shelf();
  const failures: unknown[] = [];
  const reflector = new Reflector({
    client: fake.client(t),
    paths: [SERVICES],
    sink: shelf,
    random: () => 0,
    onChange: (failure) => {
      if (failure !== undefined) failures.push(failure);
      shelf.wake();
    },
    ...options,
  });
  t.after(() => reflector.stop());
  reflector.start();
  return { fake, shelf, reflector, failures };
}

describe('lists', () => {
  test('as a stream: synced at its end and not before, then the same stream brings changes', async (t) => {
    const { fake, shelf, reflector } = await begin(t, (server) => {
      server.put(SERVICES, service('a'));
      server.put(SERVICES, service('b'));
    });
    assert.equal(reflector.hasSynced, false);
    await shelf.until(() => reflector.hasSynced);
    await shelf.untilNames('a', 'b');
    fake.put(SERVICES, service('c'));
    fake.remove(SERVICES, 'shop', 'a');
    await shelf.untilNames('b', 'c');
    assert.equal(fake.requests.length, 1);
    assert.deepEqual(Object.fromEntries(fake.requests[0]?.query ?? []), {
      sendInitialEvents: 'true',
      resourceVersionMatch: 'NotOlderThan',
      watch: 'true',
      allowWatchBookmarks: 'true',
      timeoutSeconds: '60',
    });
  });

  test('in pages where the server has no streams, then a watch from where the list ended', async (t) => {
    const names = Array.from({ length: 1201 }, (_, index) => `s${String(index).padStart(4, '0')}`);
    const { fake, shelf, reflector } = await begin(t, (server) => {
      server.streams = false;
      for (const name of names) server.put(SERVICES, service(name));
    });
    await shelf.until(() => reflector.hasSynced);
    await shelf.untilNames(...names);
    const { version } = fake;
    fake.onWatch = () => shelf.wake();
    await shelf.until(() => fake.watchers.size === 1);
    fake.remove(SERVICES, 'shop', 's0000');
    await shelf.untilNames(...names.slice(1));
    assert.deepEqual(
      fake.requests.map(({ query }) => [query.get('limit'), query.get('continue'), query.get('resourceVersion')]),
      [
        [null, null, null],
        ['500', null, null],
        ['500', '500', null],
        ['500', '1000', null],
        [null, null, String(version)],
      ],
    );
    assert.deepEqual([reflector.counts.lists, reflector.counts.watches], [2, 1]);
  });

  test('a stream that ends before its list is complete is no list: nothing is lost, and it is tried again', async (t) => {
    const { shelf, reflector } = await begin(t, (server) => {
      server.put(SERVICES, service('a'));
      server.intercept = (request, response) => {
        server.intercept = () => false;
        response.end(`${JSON.stringify({ type: 'ADDED', object: service('a') })}\n`);
        return request.isStreamingList;
      };
    });
    await shelf.untilNames('a');
    assert.equal(reflector.hasSynced, false);
    await shelf.until(() => reflector.hasSynced);
    assert.deepEqual([...reflector.counts.errors], [['Cut', 1]]);
    assert.deepEqual(shelf.log, ['+shop/a', '~shop/a']);
  });

  test('a page that expires begins the list anew', async (t) => {
    const { shelf, reflector } = await begin(t, (server) => {
      server.streams = false;
      for (let index = 0; index < 600; index++) server.put(SERVICES, service(`s${index}`));
      server.intercept = ({ query }, response) => {
        if (query.get('continue') === null) return false;
        server.intercept = () => false;
        server.remove(SERVICES, 'shop', 's0');
        status(response, 410, 'Expired', 'the provided continue parameter is too old');
        return true;
      };
    });
    await shelf.until(() => reflector.hasSynced);
    assert.equal(shelf.objects.size, 599);
    assert.equal(shelf.objects.has('shop/s0'), false);
  });
});

describe('watches', () => {
  test('go on from the last bookmark when the server ends them', async (t) => {
    const { fake, shelf, reflector } = await begin(t);
    await shelf.until(() => reflector.hasSynced);
    for (let round = 0; round < 10; round++) fake.put('/api/v1/others', { metadata: { name: 'x' } });
    const { version } = fake;
    const resumed = fake.next(({ isWatch, isStreamingList }) => isWatch && !isStreamingList);
    fake.bookmark();
    for (const { response } of fake.watchers) response.end();
    assert.equal((await resumed).query.get('resourceVersion'), String(version));
    fake.put(SERVICES, service('a'));
    await shelf.untilNames('a');
    assert.equal(reflector.counts.lists, 1);
  });

  for (const how of ['cut in the middle of a line', 'silent'] as const) {
    test(`that are ${how} go on from the last event, and miss nothing`, async (t) => {
      const { fake, shelf, reflector, failures } = await begin(t, (server) => server.put(SERVICES, service('a')), { timings: { silence: 200 } });
      await shelf.until(() => reflector.hasSynced);
      fake.put(SERVICES, service('b'));
      await shelf.untilNames('a', 'b');
      const { version } = fake;
      const resumed = fake.next(({ isStreamingList }) => !isStreamingList);
      if (how === 'silent') {
        // Nothing arrives any more, and the connection stays open.
        for (const watcher of fake.watchers) fake.watchers.delete(watcher);
      } else fake.cut();
      fake.remove(SERVICES, 'shop', 'a');
      assert.equal((await resumed).query.get('resourceVersion'), String(version));
      await shelf.untilNames('b');
      assert.equal(reflector.counts.lists, 1);
      assert.deepEqual(
        failures.map((failure) => (failure as { fault: string }).fault),
        [how === 'silent' ? 'TimedOut' : 'Cut'],
      );
      assert.deepEqual(shelf.log, ['+shop/a', '+shop/b', '-shop/a']);
    });
  }

  test('are ended by the server before a silence would end them, however long they last', async (t) => {
    const { fake, shelf, reflector } = await begin(t, () => {}, { random: () => 0.999 });
    await shelf.until(() => reflector.hasSynced);
    assert.ok(Number(fake.requests[0]?.query.get('timeoutSeconds')) < 90);
  });

  // kube-apiserver sends no bookmark of a resource of which it has seen no event since its own start.
  test('that are open again are up to date, though nothing comes on them', { timeout: 30_000 }, async (t) => {
    const { fake, shelf, reflector, failures } = await begin(t, (server) => server.put(SERVICES, service('a')), { timings: { shortWatch: 50 } });
    await shelf.until(() => reflector.hasSynced);
    fake.cut();
    await shelf.until(() => reflector.failure !== undefined);
    await shelf.until(() => reflector.failure === undefined);
    assert.equal(failures.length, 1);
    assert.deepEqual([reflector.counts.lists, reflector.counts.watches], [1, 1]);
    assert.equal(fake.watchers.size, 1);
  });

  for (const how of ['an event', 'an answer'] as const) {
    test(`410 as ${how}: a new list takes what changed, without a flap, deletions too`, async (t) => {
      const { fake, shelf, reflector } = await begin(t, (server) => {
        for (const name of ['a', 'b', 'c']) server.put(SERVICES, service(name));
      });
      await shelf.until(() => reflector.hasSynced);
      const watchers = [...fake.watchers];
      fake.watchers.clear();
      fake.remove(SERVICES, 'shop', 'b');
      fake.put(SERVICES, service('d'));
      fake.compacted = fake.version;
      for (const watcher of watchers) fake.watchers.add(watcher);
      if (how === 'an event') fake.fail({ kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' });
      else for (const { response } of watchers) response.end();
      await shelf.untilNames('a', 'c', 'd');
      await shelf.until(() => reflector.counts.lists === 2 && reflector.failure === undefined);
      assert.deepEqual(shelf.log.slice(3), ['~shop/a', '~shop/c', '+shop/d', '-shop/b']);
      assert.deepEqual([...reflector.counts.errors], [['Expired', 1]]);
    });
  }

  test('500s are waited out, ever longer; 429 is waited for as long as it says', async (t) => {
    const { fake, shelf, reflector } = await begin(t);
    await shelf.until(() => reflector.hasSynced);
    const times: number[] = [];
    fake.intercept = (_request, response) => {
      times.push(performance.now());
      shelf.wake();
      if (times.length <= 3) status(response, 500, 'InternalError');
      else if (times.length === 4) status(response, 429, 'TooManyRequests', 'wait', { 'retry-after': '1' });
      else return false;
      return true;
    };
    for (const { response } of fake.watchers) response.end();
    await shelf.until(() => times.length === 5);
    const waits = times.slice(1).map((time, index) => time - (times[index] as number));
    assert.ok((waits[0] as number) >= 240 && (waits[1] as number) >= 490 && (waits[2] as number) >= 990, String(waits));
    assert.ok((waits[3] as number) >= 990, String(waits));
    fake.put(SERVICES, service('a'));
    await shelf.untilNames('a');
    assert.deepEqual(
      [...reflector.counts.errors],
      [
        ['InternalError', 3],
        ['TooManyRequests', 1],
      ],
    );
    assert.equal(reflector.failure, undefined);
  });

  test('a line that is no event ends the watch, which goes on from before it', async (t) => {
    const { fake, shelf, reflector } = await begin(t);
    await shelf.until(() => reflector.hasSynced);
    for (const { response } of fake.watchers) response.write('nonsense\n');
    await shelf.until(() => reflector.failure !== undefined);
    fake.put(SERVICES, service('a'));
    await shelf.untilNames('a');
    assert.deepEqual([...reflector.counts.errors], [['Malformed', 1]]);
  });
});

describe('refusals', () => {
  test('403 in the first moments is tried again; one that lasts settles, and is still tried', async (t) => {
    let isAllowed = false;
    const { shelf, reflector } = await begin(
      t,
      (server) => {
        server.put(SERVICES, service('a'));
        server.intercept = (_request, response) => {
          if (!isAllowed) status(response, 403, 'Forbidden');
          return !isAllowed;
        };
      },
      { timings: { grace: 300 } },
    );
    await shelf.until(() => reflector.failure !== undefined);
    assert.equal(reflector.state, 'waiting');
    await shelf.until(() => reflector.state === 'denied');
    isAllowed = true;
    await shelf.until(() => reflector.state === 'synced');
    assert.equal(reflector.failure, undefined);
    await shelf.untilNames('a');
  });

  test('a permission that is taken away takes nothing away, and what changed meanwhile comes when it is back', async (t) => {
    const { fake, shelf, reflector } = await begin(t, (server) => server.put(SERVICES, service('a')), { timings: { grace: 0, vanish: 0 } });
    await shelf.until(() => reflector.hasSynced);
    fake.intercept = (_request, response) => {
      status(response, 403, 'Forbidden');
      return true;
    };
    for (const { response } of fake.watchers) response.end();
    await shelf.until(() => (reflector.counts.errors.get('Forbidden') ?? 0) >= 2);
    assert.equal(reflector.state, 'synced');
    assert.deepEqual([...shelf.objects.keys()], ['shop/a']);
    fake.put(SERVICES, service('b'));
    fake.intercept = () => false;
    await shelf.untilNames('a', 'b');
  });

  test('a collection that is not there is polled for, in each version; one that vanishes for good takes its objects along', async (t) => {
    const { fake, shelf, reflector } = await begin(
      t,
      (server) => {
        server.missing.add('/apis/g/v1/grants');
        server.missing.add('/apis/g/v1beta1/grants');
        server.put('/apis/g/v1beta1/grants', service('a'));
      },
      { paths: ['/apis/g/v1/grants', '/apis/g/v1beta1/grants'], timings: { grace: 100, vanish: 400 } },
    );
    await shelf.until(() => reflector.state === 'absent');
    fake.missing.delete('/apis/g/v1beta1/grants');
    await shelf.until(() => reflector.state === 'synced');
    await shelf.untilNames('a');
    fake.missing.add('/apis/g/v1beta1/grants');
    for (const { response } of fake.watchers) response.end();
    await shelf.until(() => reflector.failure !== undefined);
    assert.equal(shelf.objects.size, 1);
    await shelf.until(() => reflector.state === 'absent');
    assert.equal(shelf.objects.size, 0);
  });
});

test('a server that is down at first, goes away and comes back elsewhere in its history', async (t) => {
  const { fake, shelf, reflector } = await begin(t, (server) => server.put(SERVICES, service('a')));
  await shelf.until(() => reflector.hasSynced);
  const { port } = fake;
  await fake.stop();
  await shelf.until(() => (reflector.counts.errors.get('Unreachable') ?? 0) >= 2);
  assert.deepEqual([...shelf.objects.keys()], ['shop/a']);
  fake.remove(SERVICES, 'shop', 'a');
  fake.put(SERVICES, service('b'));
  await fake.listen(port);
  await shelf.untilNames('b');
  assert.equal(reflector.counts.lists, 1);
});

test('after stop nothing is asked and nothing arrives', async (t) => {
  const { fake, shelf, reflector } = await begin(t);
  await shelf.until(() => reflector.hasSynced);
  await reflector.stop();
  fake.put(SERVICES, service('a'));
  assert.equal(shelf.objects.size, 0);
  assert.equal(fake.requests.length, 1);
});
