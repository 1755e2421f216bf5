/** TLS to backends and client certificates, by ConfigMaps and Secrets of a cluster. */
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Authority, type IssuedCertificate } from '../../test/certificates/authority.ts';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { tlsSecret } from '../cluster/certificates.ts';
import { ask, askUntil } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { openGateway } from '../cluster/gateways.ts';
import { Workload } from '../cluster/workload.ts';

const PATIENCE = 60_000;
const IN_PODS = process.env.TIDEGATE_GATEWAY !== undefined && 'pods with certificates of their own are run by the case itself';

const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: GatewayAddress;

before(async () => {
  namespace = await cluster.namespace(wholeFile, 'tls');
  gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace], replicas: 1 });
});

function configMap(name: string, data: Readonly<Record<string, string>>): KubernetesObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data };
}

function route(name: string, host: string, spec: object): KubernetesObject {
  return {
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'ApiRoute',
    metadata: { name, namespace },
    spec: { ingressClassName: 'tidegate', hostnames: [host], ...spec },
  };
}

/** One request over TLS with a client certificate. @returns its status */
function statusWith(host: string, certificate: IssuedCertificate | undefined, path = '/'): Promise<number> {
  return new Promise((resolve, reject) => {
    request(
      {
        ...{ host: gateway.host, port: gateway.https, servername: host, path, headers: { host }, rejectUnauthorized: false, agent: false },
        ...(certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key }),
      },
      (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode ?? 0));
      },
    )
      .on('error', reject)
      .end();
  });
}

async function untilStatus(wanted: number, host: string, certificate: IssuedCertificate | undefined, path = '/'): Promise<void> {
  for (const deadline = Date.now() + PATIENCE; ; await sleep(50)) {
    const status = await statusWith(host, certificate, path);
    if (status === wanted) return;
    if (Date.now() > deadline) assert.fail(`${host} still answers ${status}, not ${wanted}`);
  }
}

test('a backend is verified by the authority of a ConfigMap, and shown a Secret; a ConfigMap that is mended is seen', { skip: IN_PODS }, async (t) => {
  const authority = new Authority('Backend Root');
  const server = authority.issue({ names: ['backend.test'] });
  const clients = new Authority('Gateway Root');
  const name = 'secure';
  const host = `${name}.tls.test`;
  const tls = { cert: server.cert, key: server.key, requestCert: true, rejectUnauthorized: true, ca: clients.cert };
  await Workload.start(t, cluster, { namespace, name, tls });
  await cluster.apply([
    configMap('backend-ca', { 'ca.crt': new Authority('Wrong Root').cert }),
    tlsSecret(namespace, 'gateway', clients.issue({ subject: 'gateway' })),
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'BackendPolicy',
      metadata: { name, namespace },
      spec: {
        targetRefs: [{ kind: 'Service', name }],
        tls: { hostname: 'backend.test', caCertificateRefs: [{ name: 'backend-ca' }], clientCertificateRef: { name: 'gateway' } },
      },
    },
    route(name, host, { rules: [{ backendRefs: [{ name, port: 80 }] }] }),
  ]);
  await askUntil(gateway, { host }, (answer) => answer.status === 502);
  await cluster.apply([configMap('backend-ca', { 'ca.crt': authority.cert })]);
  await askUntil(gateway, { host }, (answer) => answer.service === name);
});

test('clients show a certificate of the authority of a ConfigMap, and none that a list has revoked', async (t) => {
  const authority = new Authority('Client Root');
  const [good, revoked] = [authority.issue({ subject: 'good' }), authority.issue({ subject: 'revoked' })];
  const name = 'asking';
  const host = `${name}.tls.test`;
  await Workload.start(t, cluster, { namespace, name });
  await cluster.apply([
    configMap('client-ca', { 'ca.crt': authority.cert }),
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'client-crl', namespace }, stringData: { 'ca.crl': authority.revocationList([]) } },
    route(name, host, {
      tls: { clientValidation: { caCertificateRefs: [{ name: 'client-ca' }], crlRefs: [{ kind: 'Secret', name: 'client-crl' }] } },
      rules: [
        { backendRefs: [{ name, port: 80 }] },
        { name: 'known', matches: [{ path: { value: '/known' } }], filters: { directResponse: { statusCode: 200 } } },
      ],
    }),
    // Whose certificate it is, is who calls.
    {
      ...{ apiVersion: 'tidegate.dev/v1alpha1', kind: 'AuthPolicy', metadata: { name: 'known', namespace } },
      spec: {
        targetRefs: [{ group: 'tidegate.dev', kind: 'ApiRoute', name, sectionName: 'known' }],
        methods: [{ clientCertificate: {} }],
        authorization: [{ expression: "identity.consumer == 'good' && identity.subject == 'CN=good'" }],
      },
    },
    {
      ...{ apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiConsumer', metadata: { name: 'good', namespace } },
      spec: { certificateSubjects: ['CN=good'] },
    },
  ]);
  await untilStatus(200, host, good);
  await untilStatus(200, host, revoked);
  await untilStatus(403, host, revoked, '/known');
  await untilStatus(200, host, good, '/known');
  assert.equal(await statusWith(host, undefined), 403);
  assert.equal(await statusWith(host, new Authority('Unknown Root').issue({ subject: 'stranger' })), 403);
  assert.equal((await ask(gateway, { host })).status, 403);
  await cluster.apply([
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'client-crl', namespace }, stringData: { 'ca.crl': authority.revocationList([revoked]) } },
  ]);
  await untilStatus(403, host, revoked);
  assert.equal(await statusWith(host, good), 200);
});
