/** Objects from an API server: the same as from a folder, in what they come to, and through everything that an API server goes through. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { endWith, wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { makeCertificate, tlsSecret } from '../cluster/certificates.ts';
import { ask } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import { Gateway } from '../cluster/gateway.ts';
import { ServiceAccountFiles } from '../cluster/service-account.ts';
import { Workload } from '../cluster/workload.ts';
import { ControlPlane } from '../control-plane/control-plane.ts';

const CLASS = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'IngressClass',
  metadata: { name: 'tidegate' },
  spec: { controller: 'tidegate.dev/ingress-controller' },
};

function ingress(namespace: string, name: string, host: string, service: string, spec: object = {}): KubernetesObject {
  const backend = { service: { name: service, port: { number: 80 } } };
  const rules = [{ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }];
  return { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { name, namespace }, spec: { ingressClassName: 'tidegate', rules, ...spec } };
}

function apiRoute(namespace: string, name: string, host: string, rules: readonly object[], spec: object = {}): KubernetesObject {
  return {
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'ApiRoute',
    metadata: { name, namespace },
    spec: { ingressClassName: 'tidegate', hostnames: [host], rules, ...spec },
  };
}

const to = (name: string, namespace?: string): object => ({ backendRefs: [{ name, port: 80, ...(namespace === undefined ? {} : { namespace }) }] });

/** Waits until a request is answered by a pod of that Service, or with that status. */
async function untilAnswered(gateway: Gateway, question: Parameters<typeof ask>[1], wanted: string | number): Promise<void> {
  await gateway.until(async () => {
    const answer = await ask(gateway, question).catch(() => undefined);
    return answer !== undefined && (answer.service === wanted || answer.status === wanted);
  }, `answer of ${wanted}`);
}

test('the same objects give the same snapshot from an API server and from a folder', async (t) => {
  const cluster = Cluster.open(t);
  const namespace = await cluster.namespace(t, 'source');
  const other = await cluster.namespace(t, 'source');
  await Workload.start(t, cluster, { namespace, name: 'web', replicas: 2 });
  await cluster.apply([
    CLASS,
    tlsSecret(namespace, 'shop-tls', makeCertificate('shop.example.com')),
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'opaque', namespace }, type: 'Opaque', stringData: { a: 'b' } },
    ingress(namespace, 'plain', 'plain.example.com', 'web', { defaultBackend: { service: { name: 'web', port: { name: 'http' } } } }),
    ingress(namespace, 'shop', 'shop.example.com', 'web', { tls: [{ hosts: ['shop.example.com'], secretName: 'shop-tls' }, { secretName: 'opaque' }] }),
    ingress(namespace, 'gone', 'gone.example.com', 'nowhere'),
    ingress(namespace, 'foreign', 'foreign.example.com', 'web', { ingressClassName: 'somebody-else' }),
    apiRoute(namespace, 'api', '*.api.example.com', [
      { name: 'answer', matches: [{ path: { value: '/closed' }, methods: ['GET'] }], filters: { directResponse: { statusCode: 503, body: 'closed' } } },
      { name: 'rest', ...to('web') },
      { name: 'elsewhere', matches: [{ path: { type: 'Exact', value: '/x' } }], ...to('web', other) },
    ]),
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'RateLimitPolicy',
      metadata: { name: 'limit', namespace },
      spec: { targetRefs: [{ group: 'tidegate.dev', kind: 'ApiRoute', name: 'api', sectionName: 'rest' }], limits: [{ requests: 100, period: '1m' }] },
    },
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'BackendPolicy',
      metadata: { name: 'backend', namespace },
      spec: { targetRefs: [{ kind: 'Service', name: 'web' }], loadBalancer: { type: 'LeastRequest' } },
    },
  ]);
  const options = ['--workers', '1', '--access-log', 'off'];
  const live = await Gateway.start(t, { args: ['--kubeconfig', cluster.kubeconfig, '--watch-namespace', `${namespace},${other}`, ...options] });
  const kinds = 'ingressclass,ingress,apiroute,ratelimitpolicy,backendpolicy,service,endpointslice,secret';
  // All that the API server adds is in it: dates, managed fields, statuses.
  const { stdout } = await cluster.kubectl(['get', kinds, '--namespace', namespace, '--output', 'yaml', '--show-managed-fields']);
  const folder = await mkdtemp(join(tmpdir(), 'manifests-'));
  endWith(t, () => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'all.yaml'), stdout);
  const fromFolder = await Gateway.start(t, { args: ['--manifests', folder, ...options] });
  const snapshot = async (gateway: Gateway): Promise<{ readonly routes: readonly { readonly id: string }[] }> =>
    JSON.parse((await gateway.adminGet('/debug/snapshot')).body);
  const expected = await snapshot(fromFolder);
  assert.equal(expected.routes.length, 7);
  // What is read one by one, as a Secret of another type, comes a moment later.
  await live.until(async () => JSON.stringify(await snapshot(live)) === JSON.stringify(expected), 'the same snapshot').catch(() => {});
  assert.deepEqual(await snapshot(live), expected);
});

describe("a control plane of one's own", () => {
  let plane: ControlPlane;
  let cluster: Cluster;
  before(async () => {
    plane = await ControlPlane.start();
    cluster = Cluster.open(wholeFile, plane.kubeconfig);
  });
  after(() => plane.stop());

  test('that is down at start: not ready, no port open, and serving once it is there; kinds are picked up when they are installed', async (t) => {
    const namespace = await cluster.namespace(t, 'late');
    const other = await cluster.namespace(t, 'late');
    await Workload.start(t, cluster, { namespace, name: 'web' });
    await Workload.start(t, cluster, { namespace: other, name: 'far' });
    await cluster.apply([CLASS, ingress(namespace, 'web', 'late.example.com', 'web')]);
    await plane.stopApiServer();
    const gateway = Gateway.launch(t, { args: ['--kubeconfig', plane.kubeconfig, '--workers', '1'] });
    const told = await gateway.untilLogged('the API server cannot be read');
    assert.match(String(told.error), /^https:\/\/[\d.]+:6443: connect ECONNREFUSED/);
    const { status, body } = await gateway.adminGet('/readyz');
    assert.equal(status, 503);
    assert.match(body, /^waiting for the API server's ingressclasses, .*ECONNREFUSED/);
    assert.equal((await gateway.adminGet('/healthz')).status, 200);
    await assert.rejects(ask(gateway, { host: 'late.example.com' }));

    await plane.startApiServer();
    await gateway.untilReady();
    assert.equal((await ask(gateway, { host: 'late.example.com' })).service, 'web');
    await gateway.untilLogged('the API server is read again');
    for (const kind of ['ApiRoute', 'RateLimitPolicy', 'BackendPolicy', 'ReferenceGrant']) {
      await gateway.untilLogged('a kind is not installed in the cluster', (line) => line.kind === kind);
    }
    await plane.installCrds();
    await cluster.apply([apiRoute(namespace, 'api', 'api.example.com', [to('web')]), apiRoute(namespace, 'far', 'far.example.com', [to('far', other)])]);
    await untilAnswered(gateway, { host: 'api.example.com' }, 'web');
    await untilAnswered(gateway, { host: 'far.example.com' }, 500);

    await cluster.apply([referenceGrantDefinition()]);
    await cluster.until({ ...referenceGrantDefinition() }, (object) =>
      object?.status?.conditions?.some((one: { type: string; status: string }) => one.type === 'Established' && one.status === 'True'),
    );
    const grant = {
      apiVersion: 'gateway.networking.k8s.io/v1beta1',
      kind: 'ReferenceGrant',
      metadata: { name: 'grant', namespace: other },
      spec: { from: [{ group: 'tidegate.dev', kind: 'ApiRoute', namespace }], to: [{ group: '', kind: 'Service' }] },
    };
    await cluster.apply([grant]);
    await untilAnswered(gateway, { host: 'far.example.com' }, 'far');
    await cluster.api.delete(grant);
    await untilAnswered(gateway, { host: 'far.example.com' }, 500);
  });

  test('that goes away, forgets its history and comes back: traffic goes on, and nothing that changed is missed', async (t) => {
    const namespace = await cluster.namespace(t, 'away');
    await plane.installCrds();
    await Workload.start(t, cluster, { namespace, name: 'web' });
    await cluster.apply([CLASS, ingress(namespace, 'stays', 'stays.example.com', 'web'), ingress(namespace, 'goes', 'goes.example.com', 'web')]);
    const gateway = await Gateway.start(t, { args: ['--kubeconfig', plane.kubeconfig, '--workers', '1'] });
    await plane.stopApiServer();
    await gateway.untilLogged('the API server cannot be read');
    for (let count = 0; count < 20; count++) assert.equal((await ask(gateway, { host: 'stays.example.com' })).service, 'web');
    assert.equal((await gateway.adminGet('/readyz')).status, 200);
    await gateway.until(async () => (await gateway.metric('tidegate_source_synced{resource="ingresses"}')) === 0, 'a metric that says so');
    await plane.startApiServer();
    await cluster.api.delete(ingress(namespace, 'goes', '', ''));
    await cluster.apply([ingress(namespace, 'comes', 'comes.example.com', 'web')]);
    await plane.compact();
    await plane.restartApiServer();
    await untilAnswered(gateway, { host: 'comes.example.com' }, 'web');
    await untilAnswered(gateway, { host: 'goes.example.com' }, 404);
    assert.equal((await ask(gateway, { host: 'stays.example.com' })).service, 'web');
    await gateway.until(async () => (await gateway.metric('tidegate_source_synced{resource="ingresses"}')) === 1, 'a metric that says so');
  });

  test('Roles in two namespaces, Secrets by name alone; a permission that is taken away takes nothing away', async (t) => {
    const [own, one, two, three] = (await Promise.all(['own', 'one', 'two', 'three'].map((name) => cluster.namespace(t, name)))) as [
      string,
      string,
      string,
      string,
    ];
    await plane.installCrds();
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'tidegate', namespace: own } };
    await cluster.api.create(account);
    const subjects = [{ kind: 'ServiceAccount', name: 'tidegate', namespace: own }];
    const read = ['get', 'list', 'watch'];
    const bind = async (namespace: string, name: string, rules: readonly object[]): Promise<KubernetesObject> => {
      const binding = {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name, namespace },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
        subjects,
      };
      await cluster.apply([{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name, namespace }, rules }, binding]);
      return binding;
    };
    const bindings: KubernetesObject[] = [];
    for (const namespace of [one, two]) {
      await Workload.start(t, cluster, { namespace, name: 'web' });
      await bind(namespace, 'serve', [
        { apiGroups: [''], resources: ['services'], verbs: read },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: read },
        { apiGroups: ['tidegate.dev'], resources: ['apiroutes', 'ratelimitpolicies', 'backendpolicies', 'authpolicies', 'apiconsumers'], verbs: read },
      ]);
      bindings.push(await bind(namespace, 'ingresses', [{ apiGroups: ['networking.k8s.io'], resources: ['ingresses'], verbs: read }]));
    }
    await bind(one, 'secret', [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['tls-one', 'tls-late'], verbs: read }]);
    await cluster.apply([
      tlsSecret(one, 'tls-one', makeCertificate('one.example.com')),
      tlsSecret(one, 'tls-late', makeCertificate('late.example.com')),
      tlsSecret(two, 'tls-two', makeCertificate('two.example.com')),
      ingress(one, 'web', 'one.example.com', 'web', { tls: [{ hosts: ['one.example.com'], secretName: 'tls-one' }] }),
      ingress(two, 'web', 'two.example.com', 'web', { tls: [{ hosts: ['two.example.com'], secretName: 'tls-two' }] }),
      ingress(three, 'web', 'three.example.com', 'web'),
    ]);
    const files = await ServiceAccountFiles.create(cluster, own, 'tidegate');
    const gateway = await Gateway.start(t, {
      args: ['--watch-namespace', one, '--watch-namespace', two, '--workers', '1'],
      prefix: files.prefix,
      environment: files.environment,
    });
    const answer = await ask(gateway, { host: 'one.example.com', tls: true });
    assert.deepEqual([answer.service, answer.certificate], ['web', 'one.example.com']);
    // Without its Secret the default certificate serves.
    assert.equal((await ask(gateway, { host: 'two.example.com', tls: true })).service, 'web');
    assert.notEqual((await ask(gateway, { host: 'two.example.com', tls: true })).certificate, 'two.example.com');
    assert.equal((await ask(gateway, { host: 'three.example.com' })).status, 404);
    const refused = (): string[] =>
      gateway.log
        .filter(({ msg }) => msg === 'not permitted to read from the API server')
        .map(({ resource, namespace, name }) => String([resource, namespace, name]))
        .sort();
    const expected = [
      ['ingressclasses', undefined, undefined],
      ...[one, two].flatMap((namespace) => [
        ['referencegrants', namespace, undefined],
        ['secrets', namespace, undefined],
      ]),
      ['secrets', two, 'tls-two'],
    ];
    await gateway.until(async () => refused().length >= expected.length, `${expected.length} refusals`);
    assert.deepEqual(refused(), expected.map(String).sort());

    // A Secret that comes to be named is there with the object that names it.
    await cluster.apply([ingress(one, 'late', 'late.example.com', 'web', { tls: [{ hosts: ['late.example.com'], secretName: 'tls-late' }] })]);
    await untilAnswered(gateway, { host: 'late.example.com', tls: true }, 'web');
    assert.equal((await ask(gateway, { host: 'late.example.com', tls: true })).certificate, 'late.example.com');

    for (const binding of bindings) await cluster.api.delete(binding);
    await plane.restartApiServer();
    await gateway.untilLogged('not permitted to read from the API server', ({ resource, namespace }) => resource === 'ingresses' && namespace === one);
    assert.ok((await gateway.metric('tidegate_source_errors_total{resource="ingresses",reason="Forbidden"}')) > 0);
    assert.equal(await gateway.metric('tidegate_source_synced{resource="ingresses"}'), 0);
    assert.equal((await ask(gateway, { host: 'one.example.com', tls: true })).service, 'web');
    assert.equal((await gateway.adminGet('/readyz')).status, 200);
    await cluster.apply([ingress(one, 'new', 'new.example.com', 'web')]);
    await files.renew();
    for (const namespace of [one, two]) await bind(namespace, 'ingresses', [{ apiGroups: ['networking.k8s.io'], resources: ['ingresses'], verbs: read }]);
    await untilAnswered(gateway, { host: 'new.example.com' }, 'web');
    await gateway.untilLogged('permitted to read from the API server', ({ resource }) => resource === 'ingresses');
  });
});

/** As Gateway API's, but for what nobody here looks at. */
function referenceGrantDefinition(): KubernetesObject {
  const names = { kind: 'ReferenceGrant', plural: 'referencegrants', singular: 'referencegrant', listKind: 'ReferenceGrantList' };
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: 'referencegrants.gateway.networking.k8s.io',
      annotations: { 'api-approved.kubernetes.io': 'https://github.com/kubernetes-sigs/gateway-api/pull/2997' },
    },
    spec: { group: 'gateway.networking.k8s.io', names, scope: 'Namespaced', versions: [{ name: 'v1beta1', served: true, storage: true, schema }] },
  };
}
