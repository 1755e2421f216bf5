/** A gateway that has used up its file descriptors: what is open goes on, and new connections are taken again once there is room. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { answering, Backend } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { Http2Client } from './http2-client.ts';
import { endWith } from './lifetime.ts';
import { catchAll, service } from './manifests.ts';

const DESCRIPTORS = 200;
/** Each needs a connection to a backend while its request is under way. */
const AT_ONCE = 10;

/** Sends a request; resolves with whether an answer came, or the connection was closed. */
async function ask(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.once('data', (bytes) => resolve(String(bytes).startsWith('HTTP/1.1 200 ')));
    socket.once('close', () => resolve(false));
    if (socket.closed) resolve(false);
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  });
}

test('out of file descriptors: who comes too late waits, and is served once there is room', { skip: process.platform !== 'linux' }, async (t) => {
  const backend = await Backend.start(t, answering('ok'));
  const files = { 'all.yaml': service('web', [backend.port]) + catchAll('web') };
  const gateway = await GatewayUnderTest.start(t, files, ['--workers', '2', '--wire', 'handle'], {}, { descriptors: DESCRIPTORS });
  const metric = async (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec((await get(gateway.admin, '/metrics')).body)?.[1]);
  const served: Socket[] = [];
  const waiting: Promise<boolean>[] = [];
  let [asked, answered] = [0, 0];
  const open = () => {
    const socket = connect(gateway.http, '127.0.0.1').on('error', () => {});
    endWith(t, () => socket.destroy());
    asked++;
    const answer = ask(socket).then((isGood) => {
      answered++;
      served.push(socket);
      return isGood;
    });
    waiting.push(answer);
    return answer;
  };
  // Up to the limit, and some more, which wait for the others.
  let isPaused = false;
  const paused = gateway.untilLogged('file descriptors are used up: new connections wait until there are some').then(() => {
    isPaused = true;
  });
  while (!isPaused) {
    assert.ok(asked < DESCRIPTORS, `${asked} connections, and accepting has not paused`);
    await Promise.race([Promise.all(Array.from({ length: AT_ONCE }, open)), paused]);
  }
  for (let more = 0; more < 100; more++) void open();
  // Those that are open go on, with backend connections of their own.
  for (const socket of served.slice(0, 20)) assert.equal(await ask(socket), true);
  assert.ok(answered < asked, `${answered} of ${asked} were answered`);
  assert.ok(answered < DESCRIPTORS);
  // Each that leaves makes room for one that waits.
  while (answered < asked) {
    for (const socket of served.splice(0)) socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set([true]));
  assert.equal(await metric('tidegate_connections_refused_total'), 0);
  assert.ok((await metric('tidegate_accept_pauses_total')) > 0);
});

test('file descriptors that backends have used up: who comes then waits for them, on each worker', { skip: process.platform !== 'linux' }, async (t) => {
  const held: Socket[] = [];
  const backend = await Backend.start(t, (request, socket) => {
    if (!request.head.startsWith('GET /held ')) return answering('ok')(request, socket);
    held.push(socket);
    return undefined;
  });
  const files = { 'all.yaml': service('web', [backend.port]) + catchAll('web') };
  const gateway = await GatewayUnderTest.start(t, files, ['--workers', '2', '--wire', 'handle'], {}, { descriptors: DESCRIPTORS });
  const paused = [0, 1].map((worker) =>
    gateway.untilLogged('file descriptors are used up: new connections wait until there are some', (line) => line.worker === worker),
  );
  // Many requests by few connections.
  let failed = 0;
  const statuses: Promise<number>[] = [];
  const clients = [0, 1].map(() => new Http2Client(t, `https://127.0.0.1:${gateway.https}`));
  await Promise.all(clients.map(({ session }) => once(session, 'remoteSettings')));
  for (let number = 0; number < DESCRIPTORS; number++) {
    const answer = (clients[number % 2] as Http2Client).send('/held').then(({ status }) => {
      if (status !== 200) failed++;
      return status;
    });
    statuses.push(answer);
  }
  await Promise.all(paused);
  while (held.length + failed < statuses.length) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(failed > 0, 'there were descriptors for all');
  // One for each worker, perhaps.
  const waiting = Array.from({ length: 8 }, () => {
    const socket = connect(gateway.http, '127.0.0.1').on('error', () => {});
    endWith(t, () => socket.destroy());
    return ask(socket);
  });
  for (const socket of held) socket.write(String(answering('late')({ head: '', body: '', connection: 0 }, socket)));
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set([true]));
  assert.equal((await Promise.all(statuses)).filter((status) => status === 200).length, held.length);
  assert.match((await get(gateway.admin, '/metrics')).body, /^tidegate_connections_refused_total 0$/m);
});

test('out of file descriptors on public sockets: who comes too late is closed and counted', { skip: process.platform !== 'linux' }, async (t) => {
  const backend = await Backend.start(t, answering('ok'));
  const files = { 'all.yaml': service('web', [backend.port]) + catchAll('web') };
  const gateway = await GatewayUnderTest.start(t, files, ['--workers', '2', '--wire', 'stream'], {}, { descriptors: DESCRIPTORS });
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
