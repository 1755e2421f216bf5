import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Deadlines } from '../../exchange/deadlines.ts';
import { MemoryConnection } from '../../http1/memory-wire.fixture.ts';
import { CIRCUIT_BREAKER } from '../../snapshot/defaults.ts';
import type { CircuitBreaker } from '../../snapshot/upstream.ts';
import { PassthroughMetrics } from '../../telemetry/passthrough-metrics.ts';
import { BackendPicker } from '../../upstream/backend-picker.ts';
import { Permit } from '../../upstream/breaker/breaker-memory.ts';
import { endpoint, fakeContext, upstream } from '../../upstream/fixtures.ts';
import { CANCELLED, FAILED } from '../../upstream/health/worker-health.ts';
import { UpstreamState } from '../../upstream/upstream-state.ts';
import type { ConnectOptions } from '../../wire/wire.ts';
import type { PassthroughContext } from './passthrough.ts';
import { PassthroughConnection } from './passthrough-connection.ts';
import type { CompiledPassthrough } from './server-names.ts';

/** Begins one, towards a backend that has not accepted it yet. */
function begin() {
  const results: number[] = [];
  const endpoint = { address: '192.0.2.9', port: 443, started() {}, finished: (_ms: number, _failed: boolean, result: number) => void results.push(result) };
  const backend = { upstream: { upstream: { connectTimeout: 5_000 }, pick: () => endpoint, pickBeyond: () => undefined, takeConnection: () => () => {} } };
  const route = {
    picker: { pick: () => backend, pickOther: () => undefined },
    route: { idleTimeout: 60_000 },
    counts: new PassthroughMetrics().route('a'),
  } as unknown as CompiledPassthrough;
  const deadlines = new Deadlines(1_000_000);
  const finished: string[] = [];
  const connect = ({ handler }: ConnectOptions) => new MemoryConnection(handler);
  const context = {
    wire: { connect },
    deadlines,
    finished: ({ reason }: PassthroughConnection) => void finished.push(reason),
  } as unknown as PassthroughContext;
  const client = new MemoryConnection();
  const connection = new PassthroughConnection(context, client, route, 'a.test');
  connection.start();
  return { client, connection, deadlines, results, finished };
}

it('a client that leaves before its backend has accepted is no failure of the endpoint', () => {
  const { client, results, finished } = begin();
  client.handler.onClose(new Error('reset'));
  assert.deepEqual({ results, finished }, { results: [CANCELLED], finished: ['client_gone'] });
});

it('the end of the process is none either', () => {
  const { connection, results, finished } = begin();
  connection.stop();
  assert.deepEqual({ results, finished }, { results: [CANCELLED], finished: ['drain_timeout'] });
});

it('a backend that does not accept in time is one', () => {
  const { deadlines, results, finished } = begin();
  deadlines.sweep(deadlines.now + 6_000);
  assert.deepEqual({ results, finished }, { results: [FAILED], finished: ['connect_timeout'] });
});

/** A route to one upstream of so many endpoints; connections to backends are in `dialled`, in order. */
function setUp(endpoints: number, circuitBreaker?: Partial<CircuitBreaker>) {
  const context = fakeContext();
  const settings = circuitBreaker === undefined ? {} : { circuitBreaker: { ...CIRCUIT_BREAKER, ...circuitBreaker } };
  const listed = Array.from({ length: endpoints }, (_, index) => endpoint(index));
  const state = new UpstreamState(upstream(settings), listed, context, circuitBreaker === undefined ? undefined : 0);
  const lookup = { availability: context.availability, get: () => state };
  const picker = new BackendPicker([{ upstream: state.key, weight: 1, backup: false }], lookup, () => 0);
  const counts = new PassthroughMetrics().route('a');
  const route = { route: { idleTimeout: 60_000 }, picker, counts } as unknown as CompiledPassthrough;
  const deadlines = new Deadlines(1_000_000);
  const dialled: { readonly host: string; readonly connection: MemoryConnection }[] = [];
  const over: PassthroughConnection[] = [];
  const passthroughs = {
    wire: {
      connect({ host, handler }: ConnectOptions) {
        const connection = new MemoryConnection(handler);
        dialled.push({ host, connection });
        return connection;
      },
    },
    deadlines,
    finished: (one: PassthroughConnection) => void over.push(one),
  } as unknown as PassthroughContext;
  const begin = (): MemoryConnection => {
    const client = new MemoryConnection();
    new PassthroughConnection(passthroughs, client, route, 'a.test').start();
    return client;
  };
  /** What the backend that was dialled last does. */
  const last = (): MemoryConnection => (dialled.at(-1) as (typeof dialled)[number]).connection;
  return {
    state,
    counts,
    dialled,
    over,
    begin,
    accept: () => last().handler.onConnect?.(),
    refuse: () => last().break(new Error('ECONNREFUSED')),
    last,
    context,
  };
}

describe('endpoints that do not accept', () => {
  it('are each tried once, three at most', () => {
    for (const [endpoints, tries] of [
      [1, 1],
      [2, 2],
      [3, 3],
      [5, 3],
    ] as const) {
      const { begin, refuse, dialled, over } = setUp(endpoints);
      const client = begin();
      for (let count = 1; count <= tries; count++) {
        assert.equal(dialled.length, count);
        refuse();
      }
      assert.deepEqual([dialled.length, new Set(dialled.map(({ host }) => host)).size], [tries, tries]);
      assert.deepEqual(
        over.map(({ reason, attempts }) => [reason, attempts]),
        [['connect_failure', tries]],
      );
      assert.ok(client.destroyed);
    }
  });

  it('are passed by for one that does, whose bytes are counted', () => {
    const { begin, refuse, accept, last, over, counts } = setUp(3);
    const client = begin();
    refuse();
    refuse();
    accept();
    client.send('hello');
    last().send('welcome');
    assert.deepEqual([last().received, client.received], ['hello', 'welcome']);
    assert.deepEqual([counts.received, counts.sent], [5, 7]);
    assert.equal(over.length, 0);
  });

  it('open the circuit breaker: nobody is let through then', () => {
    const { begin, refuse, dialled, over, state } = setUp(3, { minRequests: 3, failurePercent: 100 });
    begin();
    for (let count = 0; count < 3; count++) refuse();
    const client = begin();
    assert.equal(dialled.length, 3);
    assert.ok(client.destroyed);
    assert.deepEqual(
      over.map(({ reason }) => reason),
      ['connect_failure', 'circuit_open'],
    );
    assert.deepEqual([...state.metrics.refusals], [['circuit_open', 1]]);
  });
});

describe("the circuit breaker's limits", () => {
  it('maxConnections: open connections, as long as they are', () => {
    const { begin, accept, last, over, dialled, context } = setUp(1, { maxConnections: 2 });
    const held = () => context.breakers.held(0, Permit.Connection);
    const clients = [begin(), begin()];
    accept();
    assert.equal(held(), 2);
    begin();
    assert.deepEqual(
      over.map(({ reason }) => reason),
      ['circuit_max_connections'],
    );
    assert.equal(dialled.length, 2);
    clients[0]?.break();
    assert.equal(held(), 1);
    begin();
    accept();
    assert.deepEqual([dialled.length, held()], [3, 2]);
    last().break(new Error('ECONNRESET'));
    assert.equal(held(), 1);
  });

  it('maxRequests: tries to connect; a client that leaves gives its place back', () => {
    const { begin, accept, over, context } = setUp(1, { maxRequests: 1 });
    const held = () => [context.breakers.held(0, Permit.Request), context.breakers.held(0, Permit.Connection)];
    begin();
    begin();
    accept();
    assert.deepEqual(
      over.map(({ reason }) => reason),
      ['circuit_max_requests'],
    );
    assert.deepEqual(held(), [0, 1]);
    const client = begin();
    assert.deepEqual(held(), [1, 2]);
    client.break();
    assert.deepEqual(held(), [0, 1]);
  });
});
