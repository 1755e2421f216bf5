import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Deadlines } from '../../exchange/deadlines.ts';
import { MemoryConnection } from '../../http1/memory-wire.fixture.ts';
import { CANCELLED, FAILED } from '../../upstream/health/worker-health.ts';
import type { ConnectOptions } from '../../wire/wire.ts';
import type { PassthroughContext } from './passthrough.ts';
import { PassthroughConnection } from './passthrough-connection.ts';
import type { CompiledPassthrough } from './server-names.ts';

/** Begins one, towards a backend that has not accepted it yet. */
function begin() {
  const results: number[] = [];
  const endpoint = { address: '192.0.2.9', port: 443, started() {}, finished: (_ms: number, _failed: boolean, result: number) => void results.push(result) };
  const backend = { upstream: { upstream: { connectTimeout: 5_000 }, pick: () => endpoint } };
  const route = { picker: { pick: () => backend, pickOther: () => undefined }, route: { idleTimeout: 60_000 } } as unknown as CompiledPassthrough;
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
