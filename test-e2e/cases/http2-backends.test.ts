/** Backends of HTTP/2 as the API server knows them: by a Service's appProtocol, and by a BackendPolicy, which may change. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http2';
import { before, test } from 'node:test';
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
let address: string | undefined;

/** Says its protocol, at an address such as pods have; undefined where there are none on this machine, as on kind. */
async function listen(): Promise<string | undefined> {
  const server = createServer((request, response) => response.end(`HTTP/${request.httpVersion} ${request.authority}`));
  return listenAsPod(wholeFile, server, PORT);
}

/** A Service without a selector, its slice, and a route to it. */
function behind(name: string, address: string, appProtocol?: string): KubernetesObject[] {
  const metadata = { name, namespace };
  return [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ name: 'web', port: 80, ...(appProtocol === undefined ? {} : { appProtocol }) }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'web', port: PORT, protocol: 'TCP' }],
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
    },
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'ApiRoute',
      metadata,
      spec: { ingressClassName: 'tidegate', hostnames: [`${name}.http2.test`], rules: [{ backendRefs: [{ name, port: 80 }] }] },
    },
  ] as KubernetesObject[];
}

function policy(protocol: string): KubernetesObject {
  return {
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'BackendPolicy',
    metadata: { name: 'by-policy', namespace },
    spec: { targetRefs: [{ kind: 'Service', name: 'by-policy' }], protocol },
  };
}

before(async () => {
  address = await listen();
  if (address === undefined) return;
  namespace = await cluster.namespace(wholeFile, 'http2');
  await cluster.apply([...behind('by-port', address, 'kubernetes.io/h2c'), ...behind('by-policy', address)]);
  gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace], replicas: 1 });
});

test('by appProtocol', async (context) => {
  if (address === undefined) return context.skip('pods do not run on this machine');
  await askUntil(gateway, { host: 'by-port.http2.test', path: '/' }, ({ body }) => body === 'HTTP/2.0 by-port.http2.test');
});

test('by BackendPolicy, as it comes and goes', async (context) => {
  if (address === undefined) return context.skip('pods do not run on this machine');
  const question = { host: 'by-policy.http2.test', path: '/' };
  await askUntil(gateway, question, ({ status }) => status === 502);
  await cluster.apply([policy('HTTP2')]);
  await askUntil(gateway, question, ({ body }) => body === 'HTTP/2.0 by-policy.http2.test');
  await cluster.apply([policy('HTTP1')]);
  await askUntil(gateway, question, ({ status }) => status === 502);
  await assert.rejects(cluster.apply([policy('h2c')]), /HTTP1|Unsupported value/);
  assert.equal((await ask(gateway, question)).status, 502);
});
