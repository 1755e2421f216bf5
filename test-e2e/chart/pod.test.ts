/**
 * The chart's Deployment, run as its pod would be, with exactly the permissions that the chart gives: the API server's audit
 * log tells that none is missing and none is too much.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { endWith, wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { Cluster } from '../cluster/cluster.ts';
import { Workload } from '../cluster/workload.ts';
import { ControlPlane } from '../control-plane/control-plane.ts';
import { AuditLog } from './audit-log.ts';
import { Pod } from './pod.ts';
import { root } from './readme.ts';
import { allows, type Grant, grantsOf } from './rules.ts';

const NAMESPACE = 'gateways';
const HOST = `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}`;
const USER = `system:serviceaccount:${NAMESPACE}:tidegate`;
/** Installs the CRD of a grant, which the gateway reads where there is one. */
const GRANTS = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'referencegrants.gateway.networking.k8s.io', annotations: { 'api-approved.kubernetes.io': 'unapproved, for a test' } },
  spec: {
    group: 'gateway.networking.k8s.io',
    scope: 'Namespaced',
    names: { kind: 'ReferenceGrant', listKind: 'ReferenceGrantList', plural: 'referencegrants', singular: 'referencegrant' },
    versions: [
      {
        name: 'v1beta1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } } },
      },
    ],
  },
};

let cluster: Cluster;
let audit: AuditLog;
let plane: ControlPlane;
before(async () => {
  audit = new AuditLog(mkdtempSync(join(tmpdir(), 'audit-')), USER);
  plane = await ControlPlane.start({ apiServerFlags: audit.flags });
  endWith(wholeFile, () => plane.stop());
  cluster = Cluster.open(wholeFile, plane.kubeconfig);
  await cluster.api.create(GRANTS);
  helm('install', 'tidegate', 'charts/tidegate', '--namespace', NAMESPACE, '--create-namespace', '--set', `listenAddress=${HOST}`, '--set', 'drainDelay=0s');
  await cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', '--filename', join(root, 'crds')]);
});

function helm(...args: readonly string[]): void {
  const home = join(tmpdir(), 'helm-pod');
  const environment = { ...process.env, KUBECONFIG: plane.kubeconfig, HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
  execFileSync('helm', args, { cwd: root, env: environment, stdio: ['ignore', 'ignore', 'inherit'] });
}

const object = (apiVersion: string, kind: string, name: string, namespace?: string): KubernetesObject => ({
  apiVersion,
  kind,
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
});
const deployment = async (): Promise<KubernetesObject> => {
  const found = await cluster.until(object('apps/v1', 'Deployment', 'tidegate', NAMESPACE), (one) => one !== undefined);
  assert.ok(found !== undefined);
  return found;
};

/** What the roles that are bound to the gateway's account grant. */
async function grants(): Promise<readonly Grant[]> {
  const base = '/apis/rbac.authorization.k8s.io/v1';
  const lists = await Promise.all(
    ['clusterroles', 'roles'].map((plural) => cluster.api.call('GET', `${base}/${plural}?labelSelector=app.kubernetes.io/instance%3Dtidegate`)),
  );
  return grantsOf(lists.flatMap(({ body }) => body.items));
}

/** GET by plain HTTP. @returns status and body */
async function get(host: string, path: string): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    request({ host: HOST, port: 8080, path, headers: { host }, agent: false }, (response) => {
      let body = '';
      response.on('data', (bytes: Buffer) => {
        body += bytes.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });
}

const condition = (found: KubernetesObject | undefined, type: string): string | undefined =>
  found?.status?.conditions?.find((one: { type: string }) => one.type === type)?.status;

describe("the Deployment's pod", () => {
  test('serves, reports and leads with the permissions of the chart', async (t) => {
    const pod = await Pod.launch(t, cluster, await deployment(), 'tidegate-0');
    await pod.until(async () => (await pod.probe('/readyz')) === 200, 'readiness');
    assert.equal(await pod.probe('/healthz'), 200);

    // Routes, endpoints and a certificate, each from another kind.
    await cluster.kubectl(['apply', '--filename', join(root, 'manifests/example')]);
    // Its pods give way to those of a case, which are no containers and do without their restrictions.
    await cluster.kubectl(['delete', 'deployments', '--all', '--namespace', 'example']);
    await cluster.kubectl(['label', 'namespace', 'example', 'pod-security.kubernetes.io/enforce-']);
    await Workload.start(t, cluster, { namespace: 'example', name: 'web' });
    await pod.until(async () => (await get('api.localhost', '/status')).body === '{"status":"up"}', 'answer by the ApiRoute');
    await pod.until(async () => (await get('shop.localhost', '/')).status === 200, 'answer by the Ingress');
    await pod.until(async () => (await certificateName()) === 'api.localhost', 'certificate by the Secret');

    // What it reports.
    await cluster.until(object('tidegate.dev/v1alpha1', 'ApiRoute', 'api', 'example'), (one) => condition(one, 'Programmed') === 'True');
    await cluster.until(object('tidegate.dev/v1alpha1', 'RateLimitPolicy', 'search', 'example'), (one) => condition(one, 'Accepted') === 'True');
    await cluster.until(object('tidegate.dev/v1alpha1', 'BackendPolicy', 'web', 'example'), (one) => condition(one, 'Accepted') === 'True');

    // Trust comes from a ConfigMap, which is read because a policy names it.
    const certificate = /tls.crt: (\S+)/.exec(readFileSync(join(root, 'manifests/example/certificate.yaml'), 'utf8'))?.[1] ?? '';
    const trusting = {
      ...object('tidegate.dev/v1alpha1', 'BackendPolicy', 'secure', 'example'),
      spec: { targetRefs: [{ kind: 'Service', name: 'secure' }], tls: { hostname: 'secure.test', caCertificateRefs: [{ name: 'ca' }] } },
    };
    for (const one of [
      { ...object('v1', 'Service', 'secure', 'example'), spec: { ports: [{ name: 'https', port: 443 }] } },
      { ...object('v1', 'ConfigMap', 'ca', 'example'), data: { 'ca.crt': Buffer.from(certificate, 'base64').toString() } },
      trusting,
    ])
      await cluster.api.create(one);
    await cluster.until(trusting, (one) => condition(one, 'Accepted') === 'True' && condition(one, 'ResolvedRefs') === 'True');

    // Clients are known by keys in Secrets, which are read because consumers name them.
    const consumer = {
      ...object('tidegate.dev/v1alpha1', 'ApiConsumer', 'acme', 'example'),
      spec: { apiKeys: [{ secretRef: { name: 'acme', key: 'key' } }] },
    };
    const guard = {
      ...object('tidegate.dev/v1alpha1', 'AuthPolicy', 'guard', 'example'),
      spec: { targetRefs: [{ kind: 'ApiRoute', name: 'api', sectionName: 'orders' }], methods: [{ apiKey: { from: [{ header: 'x-api-key' }] } }] },
    };
    for (const one of [{ ...object('v1', 'Secret', 'acme', 'example'), stringData: { key: 'sesame' } }, consumer, guard]) await cluster.api.create(one);
    for (const one of [consumer, guard]) await cluster.until(one, (found) => condition(found, 'Accepted') === 'True');

    const service = object('v1', 'Service', 'tidegate', NAMESPACE);
    const patched = await cluster.api.call(
      'PATCH',
      `/api/v1/namespaces/${NAMESPACE}/services/tidegate/status`,
      { status: { loadBalancer: { ingress: [{ ip: '192.0.2.10' }] } } },
      'application/merge-patch+json',
    );
    assert.equal(patched.status, 200, service.kind);
    await cluster.until(
      object('networking.k8s.io/v1', 'Ingress', 'shop', 'example'),
      (one) => JSON.stringify(one?.status?.loadBalancer?.ingress?.map(({ ip }: { ip: string }) => ip)) === '["192.0.2.10"]',
    );
    const lease = await cluster.until(
      object('coordination.k8s.io/v1', 'Lease', 'tidegate-leader', NAMESPACE),
      (one) => one?.spec?.holderIdentity !== undefined,
    );
    assert.match(lease?.spec.holderIdentity, /tidegate-0/);

    // An object that turns bad gets an Event.
    const bad = {
      ...object('tidegate.dev/v1alpha1', 'ApiRoute', 'bad', 'example'),
      spec: { ingressClassName: 'tidegate', rules: [{ matches: [{ path: { type: 'RegularExpression', value: '(' } }] }] },
    };
    await cluster.api.create(bad);
    await cluster.until(bad, (one) => condition(one, 'Accepted') === 'False');
    await pod.until(async () => {
      const { body } = await cluster.api.call('GET', '/apis/events.k8s.io/v1/namespaces/example/events');
      return body.items.some((event: KubernetesObject) => event.regarding?.name === 'bad' && event.type === 'Warning');
    }, 'Event');
    await cluster.api.delete(bad);

    assert.equal(await pod.stop(), 0, pod.log.join('\n'));
    await cluster.until(object('coordination.k8s.io/v1', 'Lease', 'tidegate-leader', NAMESPACE), (one) => !one?.spec?.holderIdentity);
    // It was the last one, and what it may do was enough to say that nobody serves the Ingress any more.
    const ingress = await cluster.until(object('networking.k8s.io/v1', 'Ingress', 'shop', 'example'), () => true);
    assert.deepEqual(ingress?.status?.loadBalancer, {});
  });

  test('was refused nothing', () => {
    assert.deepEqual(
      audit.requests().filter(({ allowed }) => !allowed),
      [],
    );
  });

  test('used every permission, and none that others have given it', async () => {
    const requests = audit.requests().filter(({ resource }) => resource !== '');
    const all = await grants();
    assert.ok(all.length > 20);
    // A watch brings the list along where the API server can do that; elsewhere, and for a single object, it takes the others.
    const unused = all.filter((grant) => {
      const verbs = grant.verb === 'list' || (grant.verb === 'get' && !grant.role.endsWith('-leader')) ? [grant.verb, 'watch'] : [grant.verb];
      return !verbs.some((verb) => requests.some((one) => allows({ ...grant, verb }, one)));
    });
    assert.deepEqual(unused, []);
    for (const one of requests)
      assert.ok(
        all.some((grant) => allows(grant, one)),
        `${JSON.stringify(one)} is not by a rule of the chart`,
      );
  });

  test('without one of its rules: the audit log has what is missing', async (t) => {
    const roles = '/apis/rbac.authorization.k8s.io/v1/clusterroles';
    const name = `${NAMESPACE}-tidegate`;
    const { body: role } = await cluster.api.call('GET', `${roles}/${name}`);
    for (const resource of ['services', 'secrets', 'ingresses/status']) {
      const rules = role.rules.filter((rule: { resources: string[] }) => !rule.resources.includes(resource));
      assert.equal(rules.length, role.rules.length - 1);
      const { status } = await cluster.api.call('PATCH', `${roles}/${name}`, { rules }, 'application/merge-patch+json');
      assert.equal(status, 200);
      // An Ingress that needs its status written anew.
      await cluster.api.call(
        'PATCH',
        '/apis/networking.k8s.io/v1/namespaces/example/ingresses/shop/status',
        { status: { loadBalancer: null } },
        'application/merge-patch+json',
      );
      const from = audit.length;
      const pod = await Pod.launch(t, cluster, await deployment(), `tidegate-without-${resource.replace('/', '-')}`);
      await pod.until(() => audit.requests(from).some((one) => !one.allowed && one.resource === resource), `refusal of ${resource}`);
      await pod.stop();
    }
    await cluster.api.call('PATCH', `${roles}/${name}`, { rules: role.rules }, 'application/merge-patch+json');
  });

  test('where some namespaces are watched: Roles there are enough', async (t) => {
    helm('upgrade', 'tidegate', 'charts/tidegate', '--namespace', NAMESPACE, '--reuse-values', '--set', 'watchNamespaces={example}');
    const before = await grants();
    assert.ok(before.every(({ namespace }) => namespace !== ''));
    const from = audit.length;
    const pod = await Pod.launch(t, cluster, await deployment(), 'tidegate-roles');
    await pod.until(async () => (await pod.probe('/readyz')) === 200, 'readiness');
    await pod.until(async () => (await get('api.localhost', '/status')).body === '{"status":"up"}', 'answer by the ApiRoute');
    await pod.until(async () => (await certificateName()) === 'api.localhost', 'certificate by the Secret');
    await cluster.until(object('coordination.k8s.io/v1', 'Lease', 'tidegate-leader', NAMESPACE), (one) => /tidegate-roles/.test(one?.spec?.holderIdentity));
    // No Role can speak of what has no namespace; the gateway goes by the class's name.
    const refused = audit.requests(from).filter(({ allowed }) => !allowed);
    assert.deepEqual([...new Set(refused.map(({ resource }) => resource))], ['ingressclasses']);
  });
});

/** Common name of the certificate that the gateway has for api.localhost. */
async function certificateName(): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port: 8443, servername: 'api.localhost', rejectUnauthorized: false }, () => {
      const name = socket.getPeerCertificate().subject?.CN;
      socket.destroy();
      resolve(Array.isArray(name) ? name[0] : name);
    });
    socket.on('error', () => resolve(undefined));
  });
}
