/** WebSockets through a gateway that has its routes from the API server: the tunnel, and limits of its life as they are edited. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { before, type TestContext, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { endWith, wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { askUntil } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { openGateway } from '../cluster/gateways.ts';
import { listenAsPod } from '../cluster/pod-listener.ts';

const PORT = 8080;
const HOST = 'chat.websocket.test';
const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: GatewayAddress;
let address: string | undefined;

/** Echoes, at an address such as pods have; undefined where there are none on this machine, as on kind. */
async function listen(): Promise<string | undefined> {
  // Whoever asks for no WebSocket gets what `ws` answers where it has the port to itself.
  const server = createServer((_request, response) => response.writeHead(426).end());
  const chosen = await listenAsPod(wholeFile, server, PORT);
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
  endWith(wholeFile, () => {
    for (const socket of sockets.clients) socket.terminate();
  });
  return chosen;
}

function route(timeouts: Readonly<Record<string, string>>): KubernetesObject {
  return {
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'ApiRoute',
    metadata: { name: 'chat', namespace },
    spec: { ingressClassName: 'tidegate', hostnames: [HOST], rules: [{ timeouts, backendRefs: [{ name: 'chat', port: 80 }] }] },
  };
}

before(async () => {
  address = await listen();
  if (address === undefined) return;
  namespace = await cluster.namespace(wholeFile, 'websocket');
  const metadata = { name: 'chat', namespace };
  await cluster.apply([
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ name: 'web', port: 80 }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'chat' } },
      addressType: 'IPv4',
      ports: [{ name: 'web', port: PORT, protocol: 'TCP' }],
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
    } as KubernetesObject,
    route({}),
  ]);
  gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace], replicas: 1 });
  // A WebSocket server refuses what is none.
  await askUntil(gateway, { host: HOST }, ({ status }) => status === 426);
});

async function open(t: TestContext): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${gateway.host}:${gateway.http}/`, { headers: { Host: HOST } });
  endWith(t, () => socket.terminate());
  await once(socket, 'open');
  return socket;
}

test('a tunnel goes on through an edit of its route, and a later one has the limit that was written', async (t) => {
  if (address === undefined) return t.skip('pods do not run on this machine');
  const first = await open(t);
  first.send('hello');
  assert.equal(String((await once(first, 'message'))[0]), 'hello');
  await cluster.apply([route({ request: '1s' })]);
  // Until the edit is live a new tunnel has no limit; behind it each ends with 1001.
  for (;;) {
    const later = await open(t);
    const code = await Promise.race([
      once(later, 'close').then(([closed]) => closed as number),
      new Promise<number>((resolve) => setTimeout(resolve, 3_000, 0)),
    ]);
    if (code !== 0) {
      assert.equal(code, 1001);
      break;
    }
  }
  first.send('still here');
  assert.equal(String((await once(first, 'message'))[0]), 'still here');
});
