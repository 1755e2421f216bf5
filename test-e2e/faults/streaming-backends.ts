/** Backends of gRPC and of WebSockets, each at an address such as pods have, and routes to them. */
import { createServer as createHttpServer } from 'node:http';
import { createServer, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { WebSocketServer } from 'ws';
import { endWith } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { listenAsPod } from '../cluster/pod-listener.ts';
import type { Stage } from './fault.ts';
import { route } from './scene.ts';

const PORT = 8080;

/** A Service without a selector, its slice, and a route to it of the same name. */
async function publish(stage: Stage, name: string, address: string | undefined, appProtocol?: string): Promise<void> {
  if (address === undefined) throw new Error('pods do not run on this machine');
  const metadata = { name, namespace: stage.namespace };
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'web', port: PORT, protocol: 'TCP' }],
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  } as KubernetesObject;
  const port = { name: 'web', port: 80, ...(appProtocol === undefined ? {} : { appProtocol }) };
  await stage.cluster.apply([{ apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [port] } }, slice, route(stage, name, name)]);
}

/** A gRPC service by HTTP/2 in clear: each message of a call comes back when it has come, and the status is 0. What is no gRPC gets 415. */
export async function serveGrpc(stage: Stage, name: string): Promise<void> {
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream: ServerHttp2Stream, fields: IncomingHttpHeaders) => {
    stream.on('error', () => {});
    if (fields['content-type'] !== 'application/grpc') {
      stream.respond({ ':status': 415 }, { endStream: true });
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.pipe(stream);
  });
  const address = await listenAsPod(stage.lifetime, server, PORT);
  endWith(stage.lifetime, () => {
    for (const session of sessions) session.destroy();
  });
  await publish(stage, name, address, 'kubernetes.io/h2c');
}

/** A WebSocket server that echoes. */
export async function serveWebSockets(stage: Stage, name: string): Promise<void> {
  // Whoever asks for no WebSocket gets what `ws` answers where it has the port to itself.
  const listener = createHttpServer((_request, response) => response.writeHead(426).end());
  const address = await listenAsPod(stage.lifetime, listener, PORT);
  const server = new WebSocketServer({ server: listener });
  endWith(stage.lifetime, () => {
    for (const socket of server.clients) socket.terminate();
  });
  server.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
  await publish(stage, name, address);
}
