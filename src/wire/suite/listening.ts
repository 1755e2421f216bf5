import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { before, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { WireMode } from '../index.ts';
import type { Wire } from '../wire.ts';
import { hasIpv6 } from './connecting.ts';
import type { Order } from './descriptors.ts';
import { dial, ending, finish, type Make, Recorder, readAll, serve, until } from './peers.ts';

class Greeter extends Recorder {
  override onData(bytes: Buffer, start: number, end: number): void {
    super.onData(bytes, start, end);
    this.connection.writeLatin1('hello');
    this.connection.end();
  }
}

/** Sockets and handshakes that this process has open, by what the event loop holds. */
function openHandles(): number {
  return process.getActiveResourcesInfo().filter((name) => /TCP|TLS/.test(name)).length;
}

async function greeting(port: number, secure: boolean): Promise<string> {
  const socket = await dial(port, secure);
  socket.write('x');
  return String(await readAll(socket));
}

export function listeningSuite(make: Make, name: WireMode, secure: boolean): void {
  let wire: Wire;
  before(async () => {
    wire = await make();
  });

  it('tells who connected', async () => {
    const served = await serve(wire, secure);
    const socket = await dial(served.listener.port, secure);
    await until(() => served.accepted.length === 1, 'accepted');
    const { connection } = served.accepted[0]!;
    assert.equal(connection.remoteAddress, '127.0.0.1');
    assert.equal(connection.remotePort, socket.localPort);
    assert.equal(connection.localPort, served.listener.port);
    assert.equal(connection.tls === undefined, !secure);
    assert.equal(served.listener.connections, 1);
    // Not destroyed: with TLS tickets that the client has not read, that would be a reset.
    socket.end();
    await until(() => served.accepted[0]!.ended, 'end');
    assert.equal(served.listener.connections, 1);
    await finish(served);
  });

  it('shows an IPv4 client of an IPv6 listener without the mapped prefix', { skip: !hasIpv6() }, async () => {
    const served = await serve(wire, secure, () => new Recorder(), { host: '::' });
    const socket = await dial(served.listener.port, secure);
    await until(() => served.accepted.length === 1, 'accepted');
    assert.equal(served.accepted[0]!.connection.remoteAddress, '127.0.0.1');
    const six = secure ? await dial(served.listener.port, true, { host: '::1' }) : await dial(served.listener.port, false, { host: '::1' });
    await until(() => served.accepted.length === 2, 'accepted');
    assert.equal(served.accepted[1]!.connection.remoteAddress, '::1');
    six.destroy();
    socket.destroy();
    await finish(served);
  });

  it('rejects with the code of the system when the port is taken, or the address is not ours', async () => {
    const served = await serve(wire, secure);
    await assert.rejects(
      serve(wire, secure, () => new Recorder(), { port: served.listener.port }),
      { code: 'EADDRINUSE' },
    );
    await assert.rejects(
      serve(wire, secure, () => new Recorder(), { host: '192.0.2.1' }),
      { code: 'EADDRNOTAVAIL' },
    );
    await finish(served);
  });

  it('stops accepting on close while open connections go on, and frees the port', async () => {
    const served = await serve(wire, secure, () => new Greeter());
    const { port } = served.listener;
    const socket = await dial(port, secure);
    await until(() => served.accepted.length === 1, 'accepted');
    await served.listener.close();
    const late = net.connect(port, '127.0.0.1');
    assert.equal(await ending(late), 'ECONNREFUSED');
    socket.write('x');
    assert.equal(String(await readAll(socket)), 'hello');
    const again = await serve(wire, secure, () => new Greeter(), { port });
    await finish(again);
    await finish(served);
    // Closing twice is harmless.
    await served.listener.close();
  });

  it('closes connections above the limit, counts them, and takes new ones when there is room again', async () => {
    const served = await serve(wire, secure, () => new Greeter(), { maxConnections: 2 });
    const one = await dial(served.listener.port, secure);
    const two = await dial(served.listener.port, secure);
    const three = net.connect(served.listener.port, '127.0.0.1');
    three.resume();
    assert.match(await ending(three), /^(closed|ECONNRESET)$/);
    assert.equal(served.listener.refusedConnections, 1);
    assert.equal(served.listener.connections, 2);
    one.destroy();
    two.write('x');
    assert.equal(String(await readAll(two)), 'hello');
    for (const recorder of served.accepted) recorder.connection.destroy();
    await until(() => served.listener.connections === 0, 'both gone');
    const four = await dial(served.listener.port, secure);
    four.write('x');
    assert.equal(String(await readAll(four)), 'hello');
    assert.equal(served.listener.refusedConnections, 1);
    await finish(served);
  });

  it('leaves nothing behind after 1,000 quick connections', { timeout: 240_000 }, async () => {
    const served = await serve(wire, secure, () => new Greeter());
    const before = openHandles();
    for (let batch = 0; batch < 40; batch++) {
      await Promise.all(
        Array.from({ length: 25 }, async (_, index) => {
          if (index % 5 === 4) {
            // Comes and goes without a word.
            const raw = await dial(served.listener.port, false);
            if (index % 2 === 0) raw.destroy();
            else raw.resetAndDestroy();
            return;
          }
          const socket = await dial(served.listener.port, secure);
          socket.write('x');
          assert.equal(String(await readAll(socket)), 'hello');
          socket.destroy();
        }),
      );
      for (const recorder of served.accepted.splice(0)) recorder.connection.destroy();
    }
    for (const recorder of served.accepted.splice(0)) recorder.connection.destroy();
    await until(() => {
      for (const recorder of served.accepted.splice(0)) recorder.connection.destroy();
      return served.listener.connections === 0 && openHandles() <= before;
    }, `handles back to ${before}`);
    await finish(served);
  });

  it('shares a port between worker threads', { timeout: 240_000 }, async () => {
    const probe = await serve(wire, secure, () => new Recorder(), { reusePort: true });
    const { port } = probe.listener;
    const workers = [1, 2].map(() => new Worker(new URL('./worker.ts', import.meta.url), { workerData: { wire: name, secure, port } }));
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    await finish(probe);
    const answers = await Promise.all(
      Array.from({ length: 60 }, async () => {
        const socket = await dial(port, secure);
        socket.write('who?');
        return String(await readAll(socket));
      }),
    );
    assert.equal(new Set(answers).size, 2, `answers from ${[...new Set(answers)]}`);
    for (const worker of workers) worker.postMessage('close');
    await Promise.all(workers.map((worker) => once(worker, 'exit')));
  });

  it('survives running out of file descriptors, and accepts again', { timeout: 240_000, skip: process.platform !== 'linux' }, async () => {
    const child = fork(new URL('./descriptors.ts', import.meta.url), [], {
      execPath: '/bin/sh',
      execArgv: ['-c', 'ulimit -n 96 && exec "$0" "$@"', process.execPath],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const order = (what: Order) => child.send(what);
    order({ listen: { mode: name, secure } });
    const [port] = (await once(child, 'message')) as [number];
    const many = Array.from({ length: 200 }, () => net.connect(port, '127.0.0.1'));
    for (const socket of many) socket.on('error', () => {}).resume();
    const starved = once(child, 'message');
    order('report');
    const [{ busy }] = (await starved) as [{ busy: number }];
    assert.ok(busy < 0.5, `used ${busy} of a core while it could not accept`);
    for (const socket of many) socket.destroy();
    // Those that still wait to be accepted may take ours with them; that must come to an end.
    let answer = '';
    for (let attempt = 0; attempt < 200 && answer !== 'hello'; attempt++) {
      answer = await greeting(port, secure).catch(() => '');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(answer, 'hello');
    const exited = once(child, 'exit');
    order('finish');
    assert.deepEqual((await exited).slice(0, 1), [0]);
  });
}
