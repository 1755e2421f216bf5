/** Pools, endpoints and balancers over HTTP/1.1 connections and sockets as they run in a worker. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { Deadlines } from '../exchange/deadlines.ts';
import { Fields } from '../exchange/fields.ts';
import { NO_BODY, type UpstreamFailure, type UpstreamHandler } from '../exchange/streams.ts';
import { ClientConnection } from '../http1/client-connection.ts';
import type { Upstream } from '../snapshot/upstream.ts';
import { createWire } from '../wire/index.ts';
import type { EndpointState } from './endpoint-state.ts';
import { fakeContext, request, upstream } from './fixtures.ts';
import { Upstreams } from './upstreams.ts';

/** A backend that answers each request with its own name, at once or when told to. */
class Backend extends EventEmitter {
  readonly sockets: Socket[] = [];
  /** Sockets whose request has no answer yet. */
  readonly waiting: Socket[] = [];
  readonly #server: Server;
  readonly #name: string;

  constructor(name: string, atOnce: boolean) {
    super();
    this.#name = name;
    this.#server = createServer((socket) => {
      this.sockets.push(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.emit('closed'));
      socket.on('data', () => {
        this.waiting.push(socket);
        if (atOnce) this.answer();
        this.emit('request');
      });
    });
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  answer(): void {
    this.waiting.shift()?.write(`HTTP/1.1 200 OK\r\nContent-Length: ${this.#name.length}\r\n\r\n${this.#name}`);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

interface Outcome {
  body: string;
  failure: UpstreamFailure | undefined;
}

class Collector implements UpstreamHandler {
  readonly outcome: Promise<Outcome>;
  #resolve: (outcome: Outcome) => void = () => {};
  #body = '';

  constructor() {
    this.outcome = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  onInformational(): void {}
  onUpstreamWritable(): void {}

  onResponse(_status: number, _fields: Fields, _length: number, first: Buffer | undefined, start: number, end: number, _stable: boolean, last: boolean): void {
    if (first !== undefined) this.#body += first.toString('latin1', start, end);
    if (last) this.onResponseEnd();
  }

  onResponseData(bytes: Buffer, start: number, end: number): void {
    this.#body += bytes.toString('latin1', start, end);
  }

  onResponseEnd(): void {
    // Behind the connection's way back to its pool.
    setImmediate(() => this.#resolve({ body: this.#body, failure: undefined }));
  }

  onUpstreamFailure(failure: UpstreamFailure): void {
    setImmediate(() => this.#resolve({ body: this.#body, failure }));
  }
}

function get(endpoint: EndpointState, fresh = false): Promise<Outcome> {
  const collector = new Collector();
  const fields = new Fields();
  fields.set('Host', 'orders');
  endpoint.pool.request({ method: 'GET', target: '/', fields, body: NO_BODY }, collector, fresh);
  return collector.outcome;
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe('upstreams over HTTP/1.1', () => {
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  async function backend(name: string, atOnce = true): Promise<Backend> {
    const made = await new Backend(name, atOnce).listen();
    closing.push(() => made.close());
    return made;
  }

  async function serve(backends: readonly { readonly port: number }[], change: Partial<Upstream> = {}) {
    const wire = await createWire('stream');
    const deadlines = new Deadlines(5);
    const { inFlight, metrics, affinityKeys, health, zone, breakers } = fakeContext();
    const upstreams = new Upstreams({
      connector: { connect: (address, port, { connectTimeout }, owner) => new ClientConnection(wire, deadlines, { address, port }, connectTimeout, owner) },
      deadlines,
      inFlight,
      metrics,
      affinityKeys,
      health,
      zone,
      breakers,
      random: () => 0,
    });
    closing.push(() => {
      upstreams.close();
      deadlines.close();
    });
    const list = (ports: readonly { readonly port: number }[]) =>
      ports.map(({ port }, slot) => ({ address: '127.0.0.1', port, state: 'Ready' as const, slot }));
    upstreams.put({ upstreams: new Map([['orders', upstream({ key: 'orders', ...change })]]), endpoints: new Map([['orders', list(backends)]]) });
    const set = (ports: readonly { readonly port: number }[]) => upstreams.applyEndpoints(new Map([['orders', list(ports)]]));
    const pick = (avoid?: EndpointState) => upstreams.get('orders')?.pick(request(), avoid) as EndpointState;
    return { pick, set };
  }

  it('sends one request after another on one connection, and requests at the same time on several', async () => {
    const one = await backend('one');
    const { pick } = await serve([one]);
    for (let number = 0; number < 5; number++) assert.deepEqual(await get(pick()), { body: 'one', failure: undefined });
    assert.deepEqual([one.sockets.length, pick().pool.idle], [1, 1]);
    await Promise.all([get(pick()), get(pick()), get(pick())]);
    assert.deepEqual([one.sockets.length, pick().pool.idle], [3, 3]);
    await get(pick(), true);
    assert.deepEqual([one.sockets.length, pick().pool.idle], [4, 4]);
  });

  it('spreads over the endpoints', async () => {
    const { pick } = await serve([await backend('one'), await backend('two')]);
    const bodies: string[] = [];
    for (let number = 0; number < 4; number++) bodies.push((await get(pick())).body);
    assert.deepEqual(bodies, ['one', 'two', 'one', 'two']);
  });

  it('forgets a connection that the backend closed, and does without', async () => {
    const one = await backend('one');
    const { pick } = await serve([one]);
    await get(pick());
    one.sockets[0]?.end();
    await until(() => pick().pool.idle === 0);
    assert.equal((await get(pick())).body, 'one');
    assert.equal(one.sockets.length, 2);
  });

  it('never uses a connection again on which something came unasked', async () => {
    const one = await backend('one');
    const { pick } = await serve([one]);
    await get(pick());
    one.sockets[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
    await once(one, 'closed');
    assert.equal(pick().pool.idle, 0);
    assert.equal((await get(pick())).body, 'one');
  });

  it('closes idle connections after the idle time-out', async () => {
    const one = await backend('one');
    const { pick } = await serve([one], { idleTimeout: 20 });
    await get(pick());
    await once(one, 'closed');
    assert.equal(pick().pool.idle, 0);
  });

  it('closes connections that have had all their requests', async () => {
    const one = await backend('one');
    const { pick } = await serve([one], { maxRequestsPerConnection: 2 });
    await get(pick());
    await Promise.all([get(pick()), once(one, 'closed')]);
    await get(pick());
    assert.equal(one.sockets.length, 2);
  });

  it('lets requests to an endpoint that goes finish, and then closes', async () => {
    const [one, two] = [await backend('one', false), await backend('two')];
    const { pick, set } = await serve([one, two]);
    const gone = pick();
    const first = get(gone);
    await once(one, 'request');
    one.answer();
    await first;
    const outcomes = [get(gone), get(gone)];
    await until(() => one.waiting.length === 2);
    set([two]);
    assert.equal(pick().port, two.port);
    assert.equal(pick().port, two.port);
    const closed = once(one, 'closed');
    one.answer();
    await closed;
    one.answer();
    assert.deepEqual(await Promise.all(outcomes), [
      { body: 'one', failure: undefined },
      { body: 'one', failure: undefined },
    ]);
    await until(() => one.sockets.every((socket) => socket.destroyed));
  });

  it('tells that a connection was refused, and has another endpoint to go to', async () => {
    const [one, refusing] = [await backend('one'), await backend('refusing')];
    const { pick } = await serve([refusing, one]);
    refusing.close();
    const failed = pick();
    assert.deepEqual(await get(failed), { body: '', failure: 'connect-failure' });
    for (let number = 0; number < 4; number++) assert.equal((await get(pick(failed))).body, 'one');
    assert.equal(failed.pool.idle, 0);
  });
});
