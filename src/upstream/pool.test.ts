import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Deadlines } from '../exchange/deadlines.ts';
import type { UpstreamHandler, UpstreamRequest } from '../exchange/streams.ts';
import type { Upstream } from '../snapshot/upstream.ts';
import { type FakeConnection, FakeConnector, upstream } from './fixtures.ts';
import { ConnectionPool, MAX_IDLE_CONNECTIONS } from './pool.ts';

const GET = { method: 'GET' } as UpstreamRequest;
const HANDLER = {} as UpstreamHandler;
const SETTINGS = upstream();

function make(change: Partial<Upstream> = {}) {
  const connector = new FakeConnector();
  // Its own timer never fires here: the tests sweep.
  const deadlines = new Deadlines(3_600_000);
  deadlines.sweep(0);
  const pool = new ConnectionPool('10.0.0.1', 8080, { ...SETTINGS, ...change }, connector, deadlines);
  const send = (fresh = false) => pool.request(GET, HANDLER, fresh);
  return { pool, deadlines, connector, opened: connector.opened, send };
}

/** So many connections, all of them idle, the first one longest. */
function withIdle(count: number, change: Partial<Upstream> = {}) {
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
      opened.map((connection) => [connection.address, connection.port, connection.upstream.connectTimeout, connection.requests, connection.owner]),
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
    pool.configure(upstream({ connectTimeout: 7, idleTimeout: 1_000, maxRequestsPerConnection: 2 }));
    send();
    at(opened, 1).done();
    assert.equal(at(opened, 1).destroyed, true);
    deadlines.sweep(1_000);
    assert.equal(at(opened, 0).destroyed, true);
    send();
    assert.equal(at(opened, 2).upstream.connectTimeout, 7);
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

  it('closes connections that speak another protocol than the new settings, busy ones when they are done', () => {
    const { pool, deadlines, opened, send } = withIdle(2);
    send();
    pool.configure(upstream({ protocol: 'H2C' }));
    assert.deepEqual([opened.map((connection) => connection.destroyed), pool.idle, deadlines.size], [[true, false], 0, 0]);
    at(opened, 1).done();
    assert.equal(at(opened, 1).destroyed, true);
    send();
    assert.deepEqual([opened.length, at(opened, 2).upstream.protocol], [3, 'H2C']);
    at(opened, 2).done();
    assert.deepEqual([pool.idle, at(opened, 2).destroyed], [1, false]);
  });
});

describe('connection pool of connections that carry several requests', () => {
  const upgrade = { method: 'GET', upgrade: 'websocket' } as UpstreamRequest;

  it('opens a connection of HTTP/1.1 for each WebSocket where the backend takes no tunnels, and keeps none of them', () => {
    const { pool, opened, connector, send } = make({ protocol: 'H2C' });
    connector.streams = 10;
    send();
    connector.streams = 1;
    at(opened, 0).takesTunnels = false;
    pool.request(upgrade, HANDLER, false);
    pool.request(upgrade, HANDLER, true);
    assert.deepEqual(
      opened.map((connection) => [connection.upstream.protocol, connection.requests]),
      [
        ['H2C', 1],
        ['HTTP1', 1],
        ['HTTP1', 1],
      ],
    );
    at(opened, 1).done();
    assert.deepEqual([at(opened, 1).destroyed, pool.idle], [true, 0]);
  });

  it('puts a WebSocket beside other requests where the backend takes it, or has not said that it does not', () => {
    const { pool, opened, connector, send } = make({ protocol: 'H2C' });
    connector.streams = 10;
    pool.request(upgrade, HANDLER, false);
    at(opened, 0).takesTunnels = true;
    pool.request(upgrade, HANDLER, false);
    send();
    assert.deepEqual([opened.length, at(opened, 0).requests, at(opened, 0).upstream.protocol], [1, 3, 'H2C']);
  });

  it('asks no more for a minute once a WebSocket was refused, and sends that one elsewhere', () => {
    const { pool, opened, connector, deadlines } = make({ protocol: 'H2C' });
    connector.streams = 10;
    pool.request(upgrade, HANDLER, false);
    at(opened, 0).done();
    assert.ok(pool.onTunnelRefused(upgrade, HANDLER) !== undefined);
    pool.request(upgrade, HANDLER, false);
    assert.deepEqual(
      opened.map((connection) => connection.upstream.protocol),
      ['H2C', 'HTTP1', 'HTTP1'],
    );
    deadlines.sweep(deadlines.now + 60_000);
    pool.request(upgrade, HANDLER, false);
    assert.equal(at(opened, 3).upstream.protocol, 'H2C');
  });

  function sharing(streams: number, change: Partial<Upstream> = {}) {
    const made = make(change);
    made.connector.streams = streams;
    return { ...made, requests: () => made.opened.map((connection) => connection.requests) };
  }

  it('fills a connection before it opens the next', () => {
    const { send, requests } = sharing(3);
    for (let number = 0; number < 7; number++) send();
    assert.deepEqual(requests(), [3, 3, 1]);
  });

  it('uses the room that a full connection has again', () => {
    const { opened, send, requests } = sharing(2);
    for (let number = 0; number < 4; number++) send();
    at(opened, 0).done();
    send();
    assert.deepEqual(requests(), [3, 2]);
    send();
    assert.deepEqual(requests(), [3, 2, 1]);
  });

  it('gives nothing more to a connection whose backend takes fewer at once than was thought, and sends elsewhere what waits for it', () => {
    const { pool, opened, send, requests } = sharing(100);
    for (let number = 0; number < 3; number++) send();
    at(opened, 0).shrink(2);
    assert.equal(pool.streamsAtOnce, 2);
    assert.ok(pool.onNoRoom(GET, HANDLER) !== undefined);
    send();
    assert.deepEqual(requests(), [3, 2]);
    at(opened, 0).done();
    at(opened, 0).done();
    pool.onRoom(at(opened, 0));
    send();
    assert.deepEqual(requests(), [4, 2]);
  });

  it('keeps a connection without requests as an idle one, once', () => {
    const { pool, deadlines, opened, send, requests } = sharing(2);
    send();
    at(opened, 0).done();
    assert.equal(pool.idle, 1);
    send();
    send();
    assert.deepEqual([pool.idle, requests()], [0, [3]]);
    at(opened, 0).done();
    at(opened, 0).done();
    assert.equal(pool.idle, 1);
    deadlines.sweep(60_000);
    assert.deepEqual([pool.idle, at(opened, 0).destroyed, deadlines.size], [0, true, 0]);
  });

  it('sends a retry on a connection that is in use, but not on an idle one', () => {
    const { opened, send, requests } = sharing(10);
    send();
    send(true);
    assert.deepEqual(requests(), [2]);
    at(opened, 0).done();
    at(opened, 0).done();
    send(true);
    send(true);
    assert.deepEqual(requests(), [2, 2]);
  });

  it('gives nothing more to a connection that has retired or has had all its requests', () => {
    const { pool, opened, send, requests } = sharing(10, { maxRequestsPerConnection: 3 });
    send();
    at(opened, 0).retire();
    for (let number = 0; number < 4; number++) send();
    assert.deepEqual(requests(), [1, 3, 1]);
    for (let number = 0; number < 3; number++) at(opened, 1).done();
    assert.deepEqual([pool.idle, at(opened, 1).destroyed], [0, true]);
  });

  it('forgets a connection that is closed', () => {
    const { pool, opened, send, requests } = sharing(10);
    send();
    at(opened, 0).close();
    send();
    assert.deepEqual([pool.idle, requests()], [0, [1, 1]]);
  });

  it('closes connections with requests once those are done', () => {
    const { pool, opened, send, requests } = sharing(10);
    send();
    send();
    pool.close();
    at(opened, 0).done();
    send();
    assert.deepEqual(requests(), [2, 1]);
    at(opened, 0).done();
    assert.equal(at(opened, 0).destroyed, true);
  });

  describe('where connections begin with a PROXY header', () => {
    const [one, other] = [Buffer.from('one'), Buffer.from('other')];
    const forClient = (preamble: Buffer | undefined) => ({ method: 'GET', preamble }) as UpstreamRequest;

    it("reuses a connection for the very client's connection it was made for", () => {
      const { pool, opened } = make({ proxyProtocol: 'V2' });
      for (const preamble of [one, other, one]) pool.request(forClient(preamble), HANDLER, false);
      assert.deepEqual(
        opened.map(({ preamble }) => preamble),
        [one, other, one],
      );
      for (const connection of opened) connection.done();
      pool.request(forClient(other), HANDLER, false);
      pool.request(forClient(one), HANDLER, false);
      pool.request(forClient(one), HANDLER, false);
      assert.deepEqual(
        opened.map(({ requests }) => requests),
        [2, 2, 2],
      );
      pool.request(forClient(other), HANDLER, false);
      assert.equal(opened.length, 4);
      assert.equal(pool.idle, 0);
    });

    it('shares one that carries several requests among those of its client alone', () => {
      const { pool, connector, opened } = make({ proxyProtocol: 'V1', protocol: 'H2C' });
      connector.streams = 3;
      for (const preamble of [one, other, one, other, one]) pool.request(forClient(preamble), HANDLER, false);
      assert.deepEqual(
        opened.map(({ preamble, requests }) => [preamble, requests]),
        [
          [one, 3],
          [other, 2],
        ],
      );
    });

    it("says of requests that no client has brought that they are nobody's", () => {
      const { opened, send } = make({ proxyProtocol: 'V1' });
      send();
      assert.equal(String(at(opened, 0).preamble), 'PROXY UNKNOWN\r\n');
      at(opened, 0).done();
      send();
      assert.equal(opened.length, 1);
    });

    it('makes room for a client that is there by closing the connection that is idle longest', () => {
      const { pool, opened } = make({ proxyProtocol: 'V2' });
      for (let count = 0; count <= MAX_IDLE_CONNECTIONS; count++) pool.request(forClient(Buffer.from(String(count))), HANDLER, false);
      for (const connection of opened) connection.done();
      assert.equal(pool.idle, MAX_IDLE_CONNECTIONS);
      assert.equal(at(opened, 0).destroyed, true);
      assert.equal(at(opened, MAX_IDLE_CONNECTIONS).destroyed, false);
    });

    it('leaves what was made without one, or with another version, to end', () => {
      const { pool, opened } = make();
      pool.request(forClient(undefined), HANDLER, false);
      at(opened, 0).done();
      pool.configure({ ...SETTINGS, proxyProtocol: 'V1' });
      assert.equal(at(opened, 0).destroyed, true);
    });
  });
});
