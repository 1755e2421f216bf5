/** A load balancer before the gateway that passes connections on, and hosts whose TLS is passed on to their pods. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { before, test } from 'node:test';
import { endWith, wholeFile } from '../../test/gateway/lifetime.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { startReplica } from '../cluster/gateways.ts';
import { Workload } from '../cluster/workload.ts';

const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: GatewayAddress;

before(async () => {
  namespace = await cluster.namespace(wholeFile, 'edge');
  gateway = await startReplica(wholeFile, cluster, { namespaces: [namespace], args: ['--proxy-protocol', '--trusted-proxies', '127.0.0.1/32'] });
});

/** Sends text as it is; what came until the end. */
async function talk(text: string): Promise<string> {
  const socket = connect(gateway.http, gateway.host);
  endWith(wholeFile, () => socket.destroy());
  socket.on('error', () => {});
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1');
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

test('PROXY headers of the load balancer: the pod sees whose connection it is, and a connection without one is closed', async (t) => {
  await Workload.start(t, cluster, { namespace, name: 'proxied' });
  await cluster.apply([
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'ApiRoute',
      metadata: { name: 'proxied', namespace },
      spec: { ingressClassName: 'tidegate', hostnames: ['proxied.edge.test'], rules: [{ backendRefs: [{ name: 'proxied', port: 80 }] }] },
    },
  ]);
  const request = 'GET / HTTP/1.1\r\nHost: proxied.edge.test\r\nConnection: close\r\n\r\n';
  let answer = '';
  for (const last = Date.now() + 180_000; !/^HTTP\/1\.1 200 /.test(answer) && Date.now() < last; ) {
    answer = await talk(`PROXY TCP4 203.0.113.9 198.51.100.1 50001 80\r\n${request}`);
  }
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.match(answer, /203\.0\.113\.9/);
  assert.equal(await talk(request), '');
});

test('the API server takes an ApiRoute that passes TLS through, and refuses one that could not', async () => {
  const route = (name: string, rule: object) => ({
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'ApiRoute',
    metadata: { name, namespace },
    spec: {
      ingressClassName: 'tidegate',
      hostnames: [`${name}.edge.test`],
      tls: { mode: 'Passthrough' },
      rules: [{ backendRefs: [{ name: 'proxied', port: 80 }], ...rule }],
    },
  });
  await cluster.apply([route('passed', {})]);
  await assert.rejects(cluster.apply([route('filtered', { filters: { limits: { maxRequestBodyBytes: 1 } } })]), /Passthrough/);
});
