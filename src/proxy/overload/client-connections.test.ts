import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { ClientConnections, NO_MORE } from './client-connections.ts';
import { OverloadMemory } from './overload-memory.ts';

const WORKERS = 2;

function setUp(most: number, exempt: readonly string[] = []) {
  const buffer = ClientConnections.allocate(WORKERS);
  return { buffer, workers: [0, 1].map((worker) => new ClientConnections(buffer, WORKERS, worker, most, exempt)) as [ClientConnections, ClientConnections] };
}

describe('connections of one client', () => {
  it('exactly so many, over all workers, for each client by itself', () => {
    const step = fc.record({ worker: fc.nat(1), client: fc.nat(5), closes: fc.boolean() });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 100 }), (most, steps) => {
        const { workers } = setUp(most);
        const open: { client: number; worker: number; place: number }[] = [];
        for (const { worker, client, closes } of steps) {
          if (closes) {
            const [closed] = open.splice(client, 1);
            if (closed !== undefined) workers[closed.worker]?.leave(closed.place);
            continue;
          }
          const place = workers[worker]?.enter(`10.0.0.${client}`) ?? Number.NaN;
          assert.equal(place === NO_MORE, open.filter((one) => one.client === client).length >= most);
          if (place !== NO_MORE) open.push({ client, worker, place });
        }
      }),
      { numRuns: 50 },
    );
  });

  it('an IPv6 client is its first 64 bits, an IPv4 one its address', () => {
    const [one, other] = setUp(1).workers;
    assert.notEqual(one.enter('2001:db8::1'), NO_MORE);
    assert.equal(other.enter('2001:db8::ffff:2'), NO_MORE);
    assert.notEqual(other.enter('2001:db8:0:1::1'), NO_MORE);
    assert.notEqual(one.enter('192.0.2.1'), NO_MORE);
    assert.notEqual(one.enter('192.0.2.2'), NO_MORE);
  });

  it('trusted proxies, which stand for many clients, have as many as they like', () => {
    const [one] = setUp(1, ['10.0.0.0/8']).workers;
    for (let number = 0; number < 10; number++) assert.notEqual(one.enter('10.1.2.3'), NO_MORE);
  });

  it('a worker that died is forgotten', () => {
    const { buffer, workers } = setUp(2);
    for (const worker of workers) worker.enter('10.0.0.1');
    assert.equal(workers[0].enter('10.0.0.1'), NO_MORE);
    ClientConnections.releaseWorker(buffer, WORKERS, 1);
    assert.notEqual(workers[0].enter('10.0.0.1'), NO_MORE);
    assert.equal(workers[0].enter('10.0.0.1'), NO_MORE);
  });

  it('where there is no room to count, everybody is let in', () => {
    const [one] = setUp(1).workers;
    const places = Array.from({ length: 150_000 }, (_, index) => one.enter(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`));
    assert.equal(places.includes(NO_MORE), false);
  });
});

describe('exchanges under way in the pod', () => {
  it('exactly so many, and a worker that died gives back its own', () => {
    const buffer = OverloadMemory.allocate(WORKERS);
    const [one, other] = [0, 1].map((worker) => new OverloadMemory(buffer, worker)) as [OverloadMemory, OverloadMemory];
    assert.deepEqual([one.enter(3), other.enter(3), other.enter(3), one.enter(3)], [true, true, true, false]);
    one.leave();
    assert.deepEqual([other.enter(3), one.enter(3)], [true, false]);
    one.releaseWorker(1);
    assert.deepEqual([one.enter(3), one.enter(3), one.enter(3), one.enter(3)], [true, true, true, false]);
  });
});
