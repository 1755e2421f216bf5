/** A gateway that has used up its file descriptors: what is open goes on, and new connections are taken again once there is room. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { answering, Backend } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith } from './lifetime.ts';
import { catchAll, service } from './manifests.ts';

const DESCRIPTORS = 200;

/** Sends a request; resolves with whether an answer came, or the connection was closed. */
async function ask(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.once('data', (bytes) => resolve(String(bytes).startsWith('HTTP/1.1 200 ')));
    socket.once('close', () => resolve(false));
    if (socket.closed) resolve(false);
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  });
}

for (const wire of ['handle', 'stream']) {
  test(`out of file descriptors: ${wire}`, { skip: process.platform !== 'linux' }, async (t) => {
    const backend = await Backend.start(t, answering('ok'));
    const files = { 'all.yaml': service('web', [backend.port]) + catchAll('web') };
    const gateway = await GatewayUnderTest.start(t, files, ['--workers', '2', '--wire', wire], {}, { descriptors: DESCRIPTORS });
    const sockets = Array.from({ length: 2 * DESCRIPTORS }, () => {
      const socket = connect(gateway.http, '127.0.0.1').on('error', () => {});
      endWith(t, () => socket.destroy());
      return socket;
    });
    const served: Socket[] = [];
    await Promise.all(sockets.map(async (socket) => (await ask(socket)) && served.push(socket)));
    assert.ok(served.length >= 20 && served.length < DESCRIPTORS, `${served.length} of ${sockets.length} were taken`);
    // Those that are open go on, with backend connections of their own.
    for (const socket of served.slice(0, 20)) assert.equal(await ask(socket), true);
    for (const socket of sockets) socket.destroy();
    for (let isBack = false; !isBack; )
      isBack = await get(gateway.http, '/')
        .then(({ status }) => status === 200)
        .catch(() => false);
    const refused = /^tidegate_connections_refused_total (\d+)$/m.exec((await get(gateway.admin, '/metrics')).body)?.[1];
    assert.ok(Number(refused) > 0, `${refused} refused`);
  });
}
