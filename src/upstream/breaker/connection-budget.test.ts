/** Connections and waiting requests within a breaker's limits: pools of two endpoints in two workers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from '../../../scripts/fast-check.ts';
import { Deadlines } from '../../exchange/deadlines.ts';
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../../exchange/streams.ts';
import { NO_BODY } from '../../exchange/streams.ts';
import { type FakeConnection, FakeConnector, upstream } from '../fixtures.ts';
import { ConnectionPool } from '../pool.ts';
import { BreakerMemory, Permit } from './breaker-memory.ts';
import { ConnectionBudget } from './connection-budget.ts';

const GET = { method: 'GET', body: NO_BODY } as UpstreamRequest;
const POST = { method: 'POST', body: 3 } as UpstreamRequest;

function setUp(maxConnections: number, maxPendingRequests = 1024) {
  const buffer = BreakerMemory.allocate(2, 1);
  const workers = [0, 1].map((worker) => {
    const memory = new BreakerMemory(buffer, 2, worker);
    const deadlines = new Deadlines(3_600_000);
    const budget = new ConnectionBudget({ maxConnections, maxPendingRequests }, memory, 0, deadlines);
    const connector = new FakeConnector();
    const pools = ['10.0.0.1', '10.0.0.2'].map((address) => {
      const pool = new ConnectionPool(address, 8080, upstream(), connector, deadlines);
      pool.setBudget(budget);
      return pool;
    });
    const send = (endpoint: number, request = GET, handler: Partial<UpstreamHandler> = {}): UpstreamStream | undefined =>
      (pools[endpoint] as ConnectionPool).request(request, handler as UpstreamHandler, false);
    return { deadlines, budget, opened: connector.opened, pools, send, memory };
  });
  const [one, other] = workers as [(typeof workers)[number], (typeof workers)[number]];
  const open = (): FakeConnection[] => [...one.opened, ...other.opened].filter((connection) => !connection.destroyed);
  const carried = (): number => [...one.opened, ...other.opened].reduce((sum, connection) => sum + connection.requests, 0);
  return { one, other, open, carried, held: (permit: Permit) => one.memory.held(0, permit) };
}

const at = (opened: readonly FakeConnection[], index: number): FakeConnection => opened[index] as FakeConnection;

describe('connection budget', () => {
  it('makes exactly so many connections, over endpoints and workers, and lets exactly so many requests wait', () => {
    const { one, other, open, held } = setUp(3, 2);
    const streams = [one.send(0), other.send(1), one.send(1), other.send(0), one.send(0), one.send(1), other.send(1)];
    assert.equal(open().length, 3);
    assert.deepEqual(
      streams.map((stream) => stream !== undefined),
      [true, true, true, true, true, false, false],
    );
    assert.deepEqual([held(Permit.Connection), held(Permit.Pending)], [3, 2]);
  });

  it('what waits goes out on the connection that comes back, in order', async () => {
    const { one, carried, held } = setUp(1);
    const streams = [one.send(0), one.send(0), one.send(0)];
    assert.deepEqual(
      streams.map((stream) => stream?.connected),
      [true, false, false],
    );
    at(one.opened, 0).done();
    assert.equal(carried(), 1, 'not from within the callback');
    await setImmediate();
    assert.equal(carried(), 2);
    assert.deepEqual(
      streams.map((stream) => stream?.connected),
      [true, true, false],
    );
    at(one.opened, 0).done();
    await setImmediate();
    assert.deepEqual([carried(), held(Permit.Pending), one.opened.length], [3, 0, 1]);
  });

  it('a WebSocket that a backend of HTTP/2 has refused takes the place of the connection that said so', async () => {
    const { one, open, held } = setUp(1);
    const pool = one.pools[0] as ConnectionPool;
    pool.configure(upstream({ protocol: 'H2C' }));
    const upgrade = { method: 'GET', body: NO_BODY, upgrade: 'websocket' } as UpstreamRequest;
    one.send(0, upgrade);
    at(one.opened, 0).done();
    assert.ok(pool.onTunnelRefused(upgrade, {} as UpstreamHandler) !== undefined);
    assert.deepEqual([open().map((connection) => connection.upstream.protocol), held(Permit.Connection)], [['HTTP1'], 1]);
    // Another one waits, as any request does.
    assert.equal(one.send(0, upgrade)?.connected, false);
    assert.equal(held(Permit.Pending), 1);
    at(one.opened, 1).close();
    await setImmediate();
    assert.deepEqual([open().length, held(Permit.Pending)], [1, 0]);
  });

  it("another client's connection, which is idle, makes room for what waits at the same endpoint", async () => {
    const { one, open, held } = setUp(1);
    const pool = one.pools[0] as ConnectionPool;
    pool.configure(upstream({ proxyProtocol: 'V1' }));
    const [first, second] = [Buffer.from('PROXY 1'), Buffer.from('PROXY 2')];
    one.send(0, { ...GET, preamble: first });
    const waiting = one.send(0, { ...GET, preamble: second });
    assert.equal(waiting?.connected, false);
    at(one.opened, 0).done();
    await setImmediate();
    assert.equal(waiting?.connected, true);
    assert.deepEqual(
      open().map(({ preamble }) => preamble),
      [second],
    );
    assert.deepEqual([held(Permit.Connection), held(Permit.Pending)], [1, 0]);
  });

  it('a connection that is lost makes room for another', async () => {
    const { one, held } = setUp(1);
    one.send(0);
    one.send(1);
    at(one.opened, 0).close();
    await setImmediate();
    assert.deepEqual([one.opened.length, at(one.opened, 1).address, held(Permit.Connection), held(Permit.Pending)], [2, '10.0.0.2', 1, 0]);
  });

  it('an idle connection to one endpoint makes room for one to the other', async () => {
    const { one, held } = setUp(1);
    one.send(0);
    at(one.opened, 0).done();
    one.send(1);
    assert.deepEqual([at(one.opened, 0).destroyed, at(one.opened, 1).address, held(Permit.Connection)], [true, '10.0.0.2', 1]);
    one.send(0);
    at(one.opened, 1).done();
    await setImmediate();
    assert.deepEqual([at(one.opened, 1).destroyed, at(one.opened, 2).address, held(Permit.Pending)], [true, '10.0.0.1', 0]);
  });

  it("an idle connection of one worker makes room for another worker's, at the next sweeps", () => {
    const { one, other, held } = setUp(1);
    one.send(0);
    at(one.opened, 0).done();
    const waiting = other.send(0);
    assert.equal(waiting?.connected, false);
    one.deadlines.sweep(1);
    assert.equal(at(one.opened, 0).destroyed, true);
    other.deadlines.sweep(1);
    assert.equal(waiting?.connected, true);
    assert.deepEqual([held(Permit.Connection), held(Permit.Pending)], [1, 0]);
  });

  it('idle connections stay while nobody waits', () => {
    const { one } = setUp(1);
    one.send(0);
    at(one.opened, 0).done();
    one.deadlines.sweep(1);
    assert.equal(at(one.opened, 0).destroyed, false);
  });

  it('a request that is cancelled while it waits is never sent, and makes room for another to wait', async () => {
    const { one, carried, held } = setUp(1, 1);
    one.send(0);
    const waiting = one.send(0);
    assert.equal(one.send(0), undefined);
    waiting?.cancel();
    assert.equal(held(Permit.Pending), 0);
    at(one.opened, 0).done();
    await setImmediate();
    assert.equal(carried(), 1);
  });

  it('a body is asked for once there is a connection that is up', async () => {
    const { one } = setUp(1);
    let asked = 0;
    one.send(0);
    one.send(0, POST, { onUpstreamWritable: () => asked++ });
    assert.equal(asked, 0);
    at(one.opened, 0).done();
    await setImmediate();
    assert.equal(asked, 1);
  });

  it('what comes of a body meanwhile is kept for the connection, and its end', async () => {
    const { one } = setUp(1);
    const asked: number[] = [];
    one.send(0);
    const [whole, begun] = [1, 2].map((number) => one.send(0, POST, { onUpstreamWritable: () => asked.push(number) })) as [UpstreamStream, UpstreamStream];
    assert.equal(whole.writeBody(Buffer.from('abc'), 0, 3, false), false);
    whole.endBody(undefined);
    assert.equal(begun.writeBody(Buffer.from('d'), 0, 1, false), false);
    const [connection] = one.opened as [FakeConnection];
    connection.done();
    await setImmediate();
    connection.done();
    await setImmediate();
    assert.deepEqual([connection.written, asked], [['abc', 'END', 'd'], [2]]);
  });

  it('what waits goes out when the breaker is taken away, and connections still give back what they hold', async () => {
    const { one, carried, held } = setUp(1);
    one.send(0);
    one.send(0);
    one.budget.configure(undefined);
    assert.equal(carried(), 2);
    for (const connection of one.opened) connection.close();
    assert.equal(held(Permit.Connection), 0);
  });

  it('a worker that dies gives back its connections and its waiting requests', () => {
    const { one, other, held } = setUp(2);
    one.send(0);
    other.send(0);
    other.send(0);
    one.memory.releaseWorker(1, 1, 0);
    assert.deepEqual([held(Permit.Connection), held(Permit.Pending)], [1, 0]);
  });

  it('never has more connections than allowed, and serves everybody in the end', async () => {
    const step = fc.record({ worker: fc.nat(1), endpoint: fc.nat(1), what: fc.constantFrom('send', 'done', 'close', 'sweep') });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), async (most, steps) => {
        const { one, other, open, carried, held } = setUp(most);
        const busy = (connection: FakeConnection): boolean => !connection.destroyed && connection.isBusy;
        let sent = 0;
        for (const { worker, endpoint, what } of steps) {
          const at = worker === 0 ? one : other;
          if (what === 'send') {
            at.send(endpoint);
            sent++;
          } else if (what === 'done') {
            at.opened.find(busy)?.done();
          } else if (what === 'close') {
            at.opened.findLast((connection) => !connection.destroyed)?.close();
          } else {
            at.deadlines.sweep(1);
          }
          await setImmediate();
          assert.ok(open().length <= most);
          assert.equal(held(Permit.Connection), open().length);
          assert.equal(held(Permit.Pending), sent - carried());
        }
        for (let round = 0; round < sent * 4; round++) {
          for (const at of [one, other]) {
            for (const connection of at.opened.filter(busy)) connection.done();
            await setImmediate();
            at.deadlines.sweep(1);
          }
        }
        assert.deepEqual([carried(), held(Permit.Pending)], [sent, 0]);
      }),
      { numRuns: 60 },
    );
  });
});
