import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Deadlines } from '../exchange/deadlines.ts';
import type { UpstreamHandler, UpstreamRequest } from '../exchange/streams.ts';
import { type FakeConnection, FakeConnector } from './fixtures.ts';
import { ConnectionPool, MAX_IDLE_CONNECTIONS, type PoolSettings } from './pool.ts';

const GET = { method: 'GET' } as UpstreamRequest;
const HANDLER = {} as UpstreamHandler;
const SETTINGS: PoolSettings = { connectTimeout: 5_000, idleTimeout: 60_000, maxRequestsPerConnection: 0 };

function make(change: Partial<PoolSettings> = {}) {
  const connector = new FakeConnector();
  // Its own timer never fires here: the tests sweep.
  const deadlines = new Deadlines(3_600_000);
  deadlines.sweep(0);
  const pool = new ConnectionPool('10.0.0.1', 8080, { ...SETTINGS, ...change }, connector, deadlines);
  const send = (fresh = false) => pool.request(GET, HANDLER, fresh);
  return { pool, deadlines, opened: connector.opened, send };
}

/** So many connections, all of them idle, the first one longest. */
function withIdle(count: number, change: Partial<PoolSettings> = {}) {
  const made = make(change);
  for (let number = 0; number < count; number++) made.send();
  for (const connection of made.opened) connection.done();
  return made;
}

const at = (opened: readonly FakeConnection[], index: number) => opened[index] as FakeConnection;

describe('connection pool', () => {
  it('connects where the endpoint is, when there is no idle connection', () => {
    const { pool, opened, send } = make({ connectTimeout: 1_234 });
    send();
    send();
    assert.deepEqual(
      opened.map((connection) => [connection.address, connection.port, connection.connectTimeout, connection.requests, connection.owner]),
      Array.from({ length: 2 }, () => ['10.0.0.1', 8080, 1_234, 1, pool]),
    );
  });

  it('reuses the connection that came back last', () => {
    const { opened, send } = withIdle(3);
    send();
    assert.deepEqual(
      opened.map((connection) => connection.requests),
      [1, 1, 2],
    );
    send();
    send();
    send();
    assert.deepEqual(
      opened.map((connection) => connection.requests),
      [2, 2, 2, 1],
    );
  });

  it('connects anew when asked to, and leaves idle connections alone', () => {
    const { pool, opened, send } = withIdle(1);
    send(true);
    assert.equal(opened.length, 2);
    assert.equal(pool.idle, 1);
  });

  it('forgets connections that are closed, idle ones and busy ones', () => {
    const { pool, opened, send } = withIdle(3);
    at(opened, 1).close();
    assert.equal(pool.idle, 2);
    send();
    at(opened, 2).close();
    send();
    assert.deepEqual([pool.idle, opened.length, at(opened, 0).requests], [0, 3, 2]);
  });

  it('closes connections that were idle for the idle time-out, and keeps those that were not', () => {
    const { pool, deadlines, opened, send } = withIdle(2);
    deadlines.sweep(30_000);
    send();
    at(opened, 1).done();
    deadlines.sweep(59_999);
    assert.equal(pool.idle, 2);
    deadlines.sweep(60_000);
    assert.deepEqual([at(opened, 0).destroyed, at(opened, 1).destroyed, pool.idle], [true, false, 1]);
    deadlines.sweep(89_999);
    assert.equal(pool.idle, 1);
    deadlines.sweep(90_000);
    assert.deepEqual([at(opened, 1).destroyed, pool.idle, deadlines.size], [true, 0, 0]);
  });

  it('does not time out a connection that has a request', () => {
    const { deadlines, opened, send } = withIdle(1);
    send();
    deadlines.sweep(600_000);
    assert.equal(at(opened, 0).destroyed, false);
    at(opened, 0).done();
    deadlines.sweep(659_999);
    assert.equal(at(opened, 0).destroyed, false);
    deadlines.sweep(660_000);
    assert.equal(at(opened, 0).destroyed, true);
  });

  it('takes 0 for no idle time-out and no limit of requests', () => {
    const { deadlines, pool, opened, send } = withIdle(1, { idleTimeout: 0 });
    deadlines.sweep(1e12);
    for (let number = 0; number < 5_000; number++) {
      send();
      at(opened, 0).done();
    }
    assert.deepEqual([pool.idle, opened.length, deadlines.size], [1, 1, 0]);
  });

  it('closes a connection that has had all its requests', () => {
    const { opened, send } = withIdle(1, { maxRequestsPerConnection: 2 });
    send();
    assert.equal(at(opened, 0).destroyed, false);
    at(opened, 0).done();
    assert.equal(at(opened, 0).destroyed, true);
    send();
    assert.equal(opened.length, 2);
  });

  it('keeps so many idle connections and no more', () => {
    const { pool, opened } = withIdle(MAX_IDLE_CONNECTIONS + 3);
    assert.equal(pool.idle, MAX_IDLE_CONNECTIONS);
    assert.equal(opened.filter((connection) => connection.destroyed).length, 3);
  });

  it('follows new settings', () => {
    const { pool, deadlines, opened, send } = withIdle(2);
    pool.configure({ connectTimeout: 7, idleTimeout: 1_000, maxRequestsPerConnection: 2 });
    send();
    at(opened, 1).done();
    assert.equal(at(opened, 1).destroyed, true);
    deadlines.sweep(1_000);
    assert.equal(at(opened, 0).destroyed, true);
    send();
    assert.equal(at(opened, 2).connectTimeout, 7);
    at(opened, 2).done();
    pool.configure({ ...SETTINGS, idleTimeout: 0 });
    deadlines.sweep(1e9);
    assert.equal(pool.idle, 1);
    pool.configure(SETTINGS);
    deadlines.sweep(1e9);
    assert.equal(pool.idle, 0);
  });

  it('closes idle connections at once when it is closed, and the others when they are done', () => {
    const { pool, deadlines, opened, send } = withIdle(2);
    send();
    pool.close();
    assert.deepEqual(
      opened.map((connection) => connection.destroyed),
      [true, false],
    );
    at(opened, 1).done();
    assert.deepEqual([at(opened, 1).destroyed, pool.idle, deadlines.size], [true, 0, 0]);
    send();
    at(opened, 2).done();
    assert.equal(at(opened, 2).destroyed, true);
  });
});
