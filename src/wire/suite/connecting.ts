import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, it } from 'node:test';
import type { Wire } from '../wire.ts';
import { type Make, Recorder, until } from './peers.ts';

interface Resettable {
  readonly _handle: { reset(done: () => void): number };
}

/** Outgoing connections. */
export function connectingSuite(make: Make): void {
  let wire: Wire;
  let server: net.Server;
  let sockets: net.Socket[] = [];
  let port = 0;

  before(async () => {
    wire = await make();
    server = net.createServer({ allowHalfOpen: true }, (socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.on('data', (chunk) => socket.write(chunk));
      socket.on('end', () => socket.end());
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    port = (server.address() as net.AddressInfo).port;
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    sockets = [];
    await new Promise((resolve) => server.close(resolve));
  });

  function dialed(host: string, to: number): Recorder {
    const recorder = new Recorder();
    recorder.connection = wire.connect({ host, port: to, handler: recorder });
    assert.deepEqual(recorder.events, [], 'reported from within connect');
    return recorder;
  }

  it('connects, exchanges bytes and ends', async () => {
    const recorder = dialed('127.0.0.1', port);
    await until(() => recorder.events.length > 0, 'connected');
    assert.deepEqual(recorder.events, ['connect']);
    assert.equal(recorder.connection.remoteAddress, '127.0.0.1');
    assert.equal(recorder.connection.remotePort, port);
    assert.ok(recorder.connection.localPort > 0);
    assert.equal(recorder.connection.tls, undefined);
    assert.equal(recorder.connection.writeHeadAndBytes('he', Buffer.from('--llo--'), 2, 5, false), true);
    await until(() => recorder.length === 5, 'echo');
    assert.equal(recorder.text, 'hello');
    recorder.connection.end();
    await until(() => recorder.closed, 'closed');
    assert.deepEqual(recorder.events, ['connect', 'end', 'close']);
    assert.equal(recorder.error, undefined);
  });

  it('sets TCP_NODELAY', async () => {
    const recorder = dialed('127.0.0.1', port);
    // Two small writes in a row: with Nagle's algorithm the second would wait for the first one's acknowledgement, which
    // a peer that has nothing to say delays by 40 ms. Counted, not timed: fifty rounds of that pattern must not need fifty delays,
    // at least at one of the times at which the machine has not much else to do.
    await until(() => recorder.events.length > 0, 'connected');
    const times: number[] = [];
    for (let round = 0; Math.min(...times) >= 50 * 40 && times.length < 15; ) {
      const began = Date.now();
      for (const last = round + 50; round < last; round++) {
        recorder.connection.writeLatin1('a');
        recorder.connection.writeLatin1('b');
        await until(() => recorder.length === (round + 1) * 2, 'echo');
      }
      times.push(Date.now() - began);
    }
    assert.ok(Math.min(...times) < 50 * 40, `fifty rounds took ${times} ms`);
    recorder.connection.destroy();
    await until(() => recorder.closed, 'closed');
  });

  it('sends in order what was written before the connection was up, and reports the drain', async () => {
    const recorder = dialed('127.0.0.1', port);
    const bytes = Buffer.from('cd');
    assert.equal(recorder.connection.writeLatin1('ab'), false);
    assert.equal(recorder.connection.write(bytes, 0, 2, false), false);
    bytes.fill('-');
    assert.equal(recorder.connection.writeHeadAndBytes('e', Buffer.from('fg'), 0, 2, true), false);
    await until(() => recorder.length === 7 && recorder.drains > 0, 'echo and drain');
    assert.equal(recorder.text, 'abcdefg');
    assert.equal(recorder.events[0], 'connect');
    recorder.connection.destroy();
    await until(() => recorder.closed, 'closed');
  });

  it('half-closes after what was written before the connection was up', async () => {
    const recorder = dialed('127.0.0.1', port);
    recorder.connection.writeLatin1('all of it');
    recorder.connection.end();
    await until(() => recorder.closed, 'closed');
    assert.equal(recorder.text, 'all of it');
    assert.deepEqual(recorder.events, ['connect', 'end', 'close']);
  });

  it('hands on what the peer has said before it reset the connection, though a write fails before that is read', async () => {
    // A public socket destroys itself with the error of the write.
    if (wire.name !== 'handle') return;
    const before = sockets.length;
    const recorder = dialed('127.0.0.1', port);
    await until(() => recorder.events.length > 0 && sockets.length > before, 'connected');
    const socket = sockets.at(-1) as net.Socket;
    socket.write('answer');
    // At once, and not after a turn of the event loop as `resetAndDestroy` does.
    (socket as unknown as Resettable)._handle.reset(() => {});
    assert.equal(recorder.connection.writeLatin1('the rest of the request'), true);
    assert.equal(recorder.connection.writeLatin1('and more'), true);
    await until(() => recorder.closed, 'closed');
    assert.equal(recorder.text, 'answer');
    assert.deepEqual(recorder.events, ['connect', 'close']);
    assert.match(recorder.error?.code ?? '', /^(ECONNRESET|EPIPE)$/);
    socket.destroy();
  });

  it('resolves no name, even one that this machine knows', async () => {
    for (const host of ['localhost', 'localhost.', '127.1', '']) {
      const recorder = dialed(host, port);
      recorder.connection.writeLatin1('x');
      await until(() => recorder.closed, 'closed');
      assert.deepEqual(recorder.events, ['close']);
      assert.equal(recorder.error?.code, 'ERR_INVALID_IP_ADDRESS', host);
    }
  });

  it('reports a refused connection', async () => {
    const free = net.createServer();
    await once(free.listen(0, '127.0.0.1'), 'listening');
    const refused = (free.address() as net.AddressInfo).port;
    await new Promise((resolve) => free.close(resolve));
    const recorder = dialed('127.0.0.1', refused);
    recorder.connection.writeLatin1('x');
    await until(() => recorder.closed, 'closed');
    assert.deepEqual(recorder.events, ['close']);
    assert.equal(recorder.error?.code, 'ECONNREFUSED');
  });

  it('reports an address that can not be reached', async () => {
    // The unspecified port of a broadcast address: the kernel answers by itself.
    const recorder = dialed('255.255.255.255', 9);
    await until(() => recorder.closed, 'closed');
    assert.deepEqual(recorder.events, ['close']);
    assert.match(recorder.error?.code ?? '', /^(ENETUNREACH|EACCES|EHOSTUNREACH|EADDRNOTAVAIL)$/);
  });

  it('connects over IPv6', { skip: !hasIpv6() }, async () => {
    const six = net.createServer((socket) => socket.end('six'));
    await once(six.listen(0, '::1'), 'listening');
    const recorder = dialed('::1', (six.address() as net.AddressInfo).port);
    await until(() => recorder.ended, 'end');
    assert.equal(recorder.text, 'six');
    assert.equal(recorder.connection.remoteAddress, '::1');
    recorder.connection.destroy();
    await until(() => recorder.closed, 'closed');
    await new Promise((resolve) => six.close(resolve));
  });

  for (const way of ['destroy', 'reset'] as const) {
    it(`closes without an error on ${way} before the connection is up`, async () => {
      const recorder = dialed('127.0.0.1', port);
      recorder.connection[way]();
      assert.deepEqual(recorder.events, []);
      await until(() => recorder.closed, 'closed');
      assert.deepEqual(recorder.events, ['close']);
      assert.equal(recorder.error, undefined);
    });
  }

  it('reports bytes and a close that come unasked', async () => {
    const recorder = dialed('127.0.0.1', port);
    const before = sockets.length;
    await until(() => recorder.events.length > 0 && sockets.length > before, 'connected');
    sockets.at(-1)!.end('surprise');
    await until(() => recorder.ended, 'end');
    assert.equal(recorder.text, 'surprise');
    recorder.connection.end();
    await until(() => recorder.closed, 'closed');
    assert.equal(recorder.error, undefined);
  });

  it('does not read while paused from the start', async () => {
    const recorder = dialed('127.0.0.1', port);
    recorder.connection.pauseReading();
    recorder.connection.writeLatin1('echo');
    await until(() => sockets.at(-1)!.bytesWritten === 4, 'echoed');
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(recorder.length, 0);
    recorder.connection.resumeReading();
    await until(() => recorder.text === 'echo', 'echo');
    recorder.connection.destroy();
    await until(() => recorder.closed, 'closed');
  });
}

export function hasIpv6(): boolean {
  const socket = new net.Socket();
  socket.destroy();
  return Object.values((globalThis.process.getBuiltinModule('node:os') as typeof import('node:os')).networkInterfaces()).some((list) =>
    list?.some((entry) => entry.address === '::1'),
  );
}
