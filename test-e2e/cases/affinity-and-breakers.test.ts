/** BackendPolicies by the API server: session affinity by the UID of the Service, and a circuit breaker. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { before, test } from 'node:test';
import { AffinityKeys } from '../../src/upstream/affinity-keys.ts';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { ask, askUntil } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { openGateway } from '../cluster/gateways.ts';
import { listenAsPod } from '../cluster/pod-listener.ts';

const PORT = 8080;
const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: GatewayAddress;
let addresses: string[] | undefined;

/** Answers with its own address, or with 500; at addresses such as pods have. */
async function listen(): Promise<string | undefined> {
  const server = createServer((request, response) => response.writeHead(request.url === '/bad' ? 500 : 200).end(request.socket.localAddress));
  return listenAsPod(wholeFile, server, PORT);
}

function objects(name: string, endpoints: readonly string[], policy: Readonly<Record<string, unknown>>): KubernetesObject[] {
  const metadata = { name, namespace };
  return [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ name: 'web', port: 80 }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'web', port: PORT, protocol: 'TCP' }],
      endpoints: endpoints.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    },
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'ApiRoute',
      metadata,
      spec: { ingressClassName: 'tidegate', hostnames: [`${name}.breakers.test`], priority: 'High', rules: [{ backendRefs: [{ name, port: 80 }] }] },
    },
    { apiVersion: 'tidegate.dev/v1alpha1', kind: 'BackendPolicy', metadata, spec: { targetRefs: [{ kind: 'Service', name }], ...policy } },
  ] as KubernetesObject[];
}

before(async () => {
  const found = [await listen(), await listen()].filter((address) => address !== undefined);
  if (found.length < 2) return;
  addresses = found;
  namespace = await cluster.namespace(wholeFile, 'breakers');
  await cluster.apply([
    ...objects('sticky', found, { sessionAffinity: { mode: 'Persistent' } }),
    ...objects('fragile', found.slice(0, 1), { circuitBreaker: { minRequests: 3, failurePercent: 100, openFor: '1h' } }),
  ]);
  gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace], replicas: 1 });
});

test("the affinity cookie is a digest by the Service's UID, which every replica reads", async (context) => {
  if (addresses === undefined) return context.skip('pods do not run on this machine');
  const question = { host: 'sticky.breakers.test' };
  await askUntil(gateway, question, ({ status, headers }) => status === 200 && headers['set-cookie'] !== undefined);
  const first = await ask(gateway, question);
  const cookie = /^TG=([^;]+)/.exec(first.headers['set-cookie']?.[0] ?? '')?.[0] ?? '';
  const service = (await cluster.api.get({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'sticky', namespace } })) as unknown as {
    metadata: { uid: string };
  };
  const digest = new AffinityKeys({ own: new Uint8Array(32) }).digester(`${namespace}/sticky/80`, { serviceUid: service.metadata.uid });
  assert.equal(cookie, `TG=${digest(`${first.body}:${PORT}`)}`);
  for (let round = 0; round < 6; round++) assert.equal((await ask(gateway, { ...question, headers: { cookie } })).body, first.body);
});

test('a circuit breaker opens', async (context) => {
  if (addresses === undefined) return context.skip('pods do not run on this machine');
  const question = { host: 'fragile.breakers.test', path: '/bad' };
  await askUntil(gateway, question, ({ status, headers }) => status === 503 && Number(headers['retry-after']) > 3000);
});
