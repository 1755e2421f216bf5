/** A gateway that has too much to do: --max-concurrency and --max-connections-per-client, over two workers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { before, test } from 'node:test';
import { Backend } from './backend.ts';
import { type Answer, get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, type Lifetime, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const MOST = 8;

let backend: Backend;
let gateway: GatewayUnderTest;
const held: Socket[] = [];

before(async () => {
  backend = await Backend.start(wholeFile, ({ head }, socket) => {
    if (head.startsWith('GET /events')) return 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n';
    if (head.startsWith('GET /quick')) return OK;
    held.push(socket);
    return undefined;
  });
  const files = {
    'services.yaml': service('web', [backend.port]),
    'routes.yaml': [
      apiRoute('normal', '  rules: [{ backendRefs: [{ name: web, port: 80 }] }]'),
      apiRoute('low', '  priority: Low\n  rules: [{ matches: [{ path: { value: /low } }], backendRefs: [{ name: web, port: 80 }] }]'),
      apiRoute('high', '  priority: Low\n  rules: [{ priority: High, matches: [{ path: { value: /high } }], backendRefs: [{ name: web, port: 80 }] }]'),
    ].join(''),
  };
  gateway = await GatewayUnderTest.start(wholeFile, files, ['--workers', '2', '--max-concurrency', String(MOST), '--max-connections-per-client', '40']);
});

function answerAll(): void {
  for (const socket of held.splice(0)) socket.write(OK);
}

/** Requests at once; resolves when as many as `most` are with the backend and all others are answered. */
async function flood(
  path: string,
  count: number,
  most: number,
): Promise<{ readonly answers: readonly Promise<Answer>[]; readonly refused: readonly Answer[] }> {
  const seen = backend.requests.length;
  const refused: Answer[] = [];
  const answers = Array.from({ length: count }, () => get(gateway.http, path));
  for (const answer of answers) void answer.then((one) => one.status !== 200 && refused.push(one));
  await backend.untilRequests(seen + most);
  while (refused.length < count - most) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(backend.requests.length, seen + most);
  return { answers, refused };
}

test('exactly so many are under way in the pod, High a quarter more, and Low a quarter fewer', async () => {
  for (const [path, most] of [
    ['/', MOST],
    ['/low', 6],
    ['/high', 10],
  ] as const) {
    const { answers, refused } = await flood(path, 20, most);
    const [one] = refused;
    assert.deepEqual([one?.status, one?.headers['retry-after'], one?.headers['content-type']], [503, '1', 'application/problem+json']);
    const { reason } = await gateway.untilAccess((line) => line.requestId === one?.headers['x-request-id']);
    assert.equal(reason, 'overloaded');
    answerAll();
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    assert.equal(statuses.filter((status) => status === 200).length, most);
  }
  assert.match((await get(gateway.admin, '/metrics')).body, /^tidegate_requests_shed_total\{reason="overloaded"\} 36$/m);
});

test('while Low is refused the others are served', async () => {
  const { answers } = await flood('/low', 6, 6);
  assert.equal((await get(gateway.http, '/low')).status, 503);
  assert.equal((await get(gateway.http, '/quick')).status, 200);
  answerAll();
  await Promise.all(answers);
});

test('event streams give back their place when they begin', async (t) => {
  const streams = Array.from({ length: MOST }, () => open(t, '127.0.0.1'));
  for (const stream of streams) {
    stream.write('GET /events HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(stream, 'data');
  }
  const { answers } = await flood('/', MOST, MOST);
  answerAll();
  assert.deepEqual(new Set((await Promise.all(answers)).map(({ status }) => status)), new Set([200]));
});

/** A connection from one of the machine's own addresses. */
function open(lifetime: Lifetime, localAddress: string): Socket {
  const socket = connect({ port: gateway.http, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  endWith(lifetime, () => socket.destroy());
  return socket;
}

test('a client has so many connections and no more; another one has its own', async (t) => {
  const answered = async (socket: Socket): Promise<boolean> => {
    socket.write('GET /quick HTTP/1.1\r\nHost: a\r\n\r\n');
    return new Promise((resolve) => {
      socket.once('data', () => resolve(true));
      socket.once('close', () => resolve(false));
    });
  };
  const sockets = Array.from({ length: 45 }, () => open(t, '127.0.0.2'));
  const outcomes = await Promise.all(sockets.map(answered));
  assert.equal(outcomes.filter(Boolean).length, 40);
  assert.equal(await answered(open(t, '127.0.0.3')), true);
  // One that is closed makes room for another.
  sockets[outcomes.indexOf(true)]?.destroy();
  for (let served = false; !served; ) served = await answered(open(t, '127.0.0.2'));
});
