/** Installed, upgraded and uninstalled on an API server of its own, by the commands that the README has, word for word. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadAll } from 'js-yaml';
import { endWith, wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { Cluster } from '../cluster/cluster.ts';
import { ControlPlane } from '../control-plane/control-plane.ts';
import { README_COMMANDS, readmeCommand, root } from './readme.ts';

const NAMESPACE = 'tidegate-system';
const ROUTE = { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name: 'api', namespace: 'example' } };

let plane: ControlPlane;
let cluster: Cluster;
before(async () => {
  plane = await ControlPlane.start();
  endWith(wholeFile, () => plane.stop());
  cluster = Cluster.open(wholeFile, plane.kubeconfig);
});

/** Runs a command line in the checkout. @throws with what it wrote, when it fails @returns what it wrote to both outputs */
async function sh(command: string): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const home = join(tmpdir(), 'helm');
  const environment = { ...process.env, KUBECONFIG: plane.kubeconfig, HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
  const child = spawn('sh', ['-c', command], { cwd: root, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString();
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  assert.equal(code, 0, `${command}\n${stdout}${stderr}`);
  return { stdout, stderr };
}

const get = async (path: string): Promise<KubernetesObject | undefined> => {
  const { status, body } = await cluster.api.call('GET', path);
  return status === 200 ? body : undefined;
};
const crd = (plural: string): string => `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.tidegate.dev`;

/** Waits until the Deployment has its pods: they are made only when the namespace's Pod Security Standard lets them in. */
async function untilPods(namespace: string, name: string, count: number): Promise<void> {
  await cluster.until(
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace } },
    (deployment) => deployment?.status?.replicas === count && deployment.status.updatedReplicas === count,
  );
  const { body } = await cluster.api.call('GET', `/api/v1/namespaces/${namespace}/pods`);
  assert.equal(body.items.filter((pod: KubernetesObject) => pod.metadata.name.startsWith(`${name}-`)).length >= count, true, JSON.stringify(body.items));
}

describe("the README's commands", () => {
  test('are known here, every one', () => {
    const starts = README_COMMANDS.map((command) => command.split(' ').slice(0, 2).join(' '));
    assert.deepEqual(starts, [
      // Those two need Docker and a registry.
      'docker build',
      'docker push',
      'helm install',
      'kubectl apply',
      'kubectl apply',
      'kubectl get',
      'kubectl explain',
      'helm upgrade',
      'kubectl scale',
      'kubectl wait',
      'helm uninstall',
      'kubectl delete',
    ]);
  });

  test('helm install', async () => {
    const { stdout, stderr } = await sh(readmeCommand('helm install'));
    assert.match(stdout, /STATUS: deployed/);
    assert.match(stdout, /rollout status deployment\/tidegate/);
    assert.equal(stderr, '');
    await untilPods(NAMESPACE, 'tidegate', 2);
    const { stdout: list } = await sh(`helm list --namespace ${NAMESPACE} --output json`);
    assert.equal(JSON.parse(list)[0].chart, 'tidegate-0.1.0');
  });

  test('the commands that its notes print', async () => {
    const { stdout } = await sh(`helm get notes tidegate --namespace ${NAMESPACE}`);
    const commands = stdout.split('\n').flatMap((line) => /^ {2}(kubectl .*)$/.exec(line)?.[1] ?? []);
    assert.equal(commands.length, 4);
    // What `kubectl explain` reads is there a moment after the CRDs.
    const described = async (): Promise<boolean> =>
      'dev.tidegate.v1alpha1.ApiRoute' in ((await cluster.api.call('GET', '/openapi/v3/apis/tidegate.dev/v1alpha1')).body?.components?.schemas ?? {});
    while (!(await described())) await sleep(100);
    // No kubelet makes the pods ready here.
    for (const command of commands.filter((one) => !one.includes('rollout'))) await sh(command);
  });

  test('the example: taken without a warning, its pods let in', async () => {
    const { stderr } = await sh(readmeCommand('kubectl apply -f manifests/example/'));
    assert.equal(stderr, '');
    for (const [name, pods] of [
      ['web', 2],
      ['orders', 2],
      ['orders-next', 1],
    ] as const)
      await untilPods('example', name, pods);
    const slices = await cluster.slices('example', 'web');
    assert.equal(slices[0]?.metadata.labels?.['endpointslice.kubernetes.io/managed-by'], 'endpointslice-controller.k8s.io');
  });

  test('objects of ours are stored as they are written: nothing that a GitOps tool would see as drift', async () => {
    const folder = join(root, 'manifests/example');
    const texts = readdirSync(folder)
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => readFileSync(join(folder, name), 'utf8'));
    const ours = texts.flatMap((text) => loadAll(text) as KubernetesObject[]).filter(({ apiVersion }) => apiVersion.startsWith('tidegate.dev/'));
    assert.equal(ours.length, 3);
    for (const object of ours) {
      const stored = await cluster.until(object, (found) => found !== undefined);
      assert.deepEqual(stored?.spec, object.spec);
    }
  });

  test('kubectl get and kubectl explain', async () => {
    const { stdout } = await sh(readmeCommand('kubectl get'));
    assert.match(stdout, /^NAME +CLASS +HOSTS/m);
    assert.match(stdout, /^NAME +HOSTNAMES +ACCEPTED +PROGRAMMED +AGE\napiroute\.tidegate\.dev\/api +\["api\.localhost"\]/m);
    assert.match(stdout, /^NAME +TARGETS +ACCEPTED +PROGRAMMED +AGE\nratelimitpolicy\.tidegate\.dev\/search +api/m);
    const { stdout: explained } = await sh(readmeCommand('kubectl explain'));
    assert.match(explained, /most specific one\s+takes a request/);
    for (const field of ['backendRefs', 'filters', 'matches', 'name', 'timeouts']) assert.match(explained, new RegExp(`^ {2}${field}\\t`, 'm'));
    assert.doesNotMatch(explained, /no description/);
  });

  test('helm upgrade: the same chart changes nothing', async () => {
    const pods = (await get(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments/tidegate`))?.metadata.generation;
    await sh(readmeCommand('helm upgrade'));
    assert.equal((await get(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments/tidegate`))?.metadata.generation, pods);
  });

  test('helm upgrade: a chart with another CRD brings it, and objects stay', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'chart-'));
    cpSync(join(root, 'charts/tidegate'), folder, { recursive: true });
    const file = join(folder, 'files/crds/tidegate.dev_apiroutes.yaml');
    const changed = readFileSync(file, 'utf8').replace('name: Hostnames', 'name: Hosts');
    writeFileSync(file, changed);
    const uid = (await cluster.until(ROUTE, (found) => found !== undefined))?.metadata.uid;
    await sh(readmeCommand('helm upgrade').replace('charts/tidegate', folder));
    assert.equal((await get(crd('apiroutes')))?.spec.versions[0].additionalPrinterColumns[0].name, 'Hosts');
    assert.equal((await cluster.until(ROUTE, (found) => found !== undefined))?.metadata.uid, uid);
  });

  test('helm upgrade with a value that is wrong changes nothing', async () => {
    await assert.rejects(sh(`${readmeCommand('helm upgrade')} --set replica=3`), /additional properties 'replica' not allowed/);
  });

  test('helm uninstall: CRDs and what users wrote stay, all else goes', async () => {
    const uid = (await cluster.until(ROUTE, (found) => found !== undefined))?.metadata.uid;
    await sh(readmeCommand('kubectl scale'));
    await sh(readmeCommand('kubectl wait'));
    const { body } = await cluster.api.call('GET', `/api/v1/namespaces/${NAMESPACE}/pods`);
    assert.deepEqual(body.items, []);
    await sh(readmeCommand('helm uninstall'));
    assert.equal((await cluster.until(ROUTE, (found) => found !== undefined))?.metadata.uid, uid);
    for (const path of [
      '/apis/networking.k8s.io/v1/ingressclasses/tidegate',
      `/apis/rbac.authorization.k8s.io/v1/clusterroles/${NAMESPACE}-tidegate`,
      `/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/${NAMESPACE}-tidegate`,
      `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/tidegate`,
    ])
      assert.equal(await get(path), undefined, path);
  });

  test('installed again, it takes the CRDs that it left', async () => {
    await sh(readmeCommand('helm install'));
    assert.equal((await get(crd('apiroutes')))?.spec.versions[0].additionalPrinterColumns[0].name, 'Hostnames');
    await sh(readmeCommand('helm uninstall'));
  });

  test('the last command removes the CRDs, too', async () => {
    await sh(readmeCommand('kubectl delete'));
    for (const plural of ['apiroutes', 'ratelimitpolicies', 'authpolicies', 'apiconsumers', 'backendpolicies']) assert.equal(await get(crd(plural)), undefined);
  });

  test('kubectl apply -f manifests/install.yaml: all there, and nothing to do the second time', async () => {
    const command = readmeCommand('kubectl apply -f manifests/install.yaml');
    await sh(`kubectl delete namespace ${NAMESPACE}`);
    const { stderr } = await sh(command);
    assert.equal(stderr, '');
    await untilPods(NAMESPACE, 'tidegate', 2);
    await sh('kubectl wait --for=condition=Established --timeout=60s -f crds/');
    const { stdout } = await sh(command);
    // A selector of a PodDisruptionBudget is replaced, not merged, which kubectl reports as a change, and the API server as none.
    for (const line of stdout.trim().split('\n')) assert.match(line, / unchanged$|^poddisruptionbudget.* configured$/);
    await sh('kubectl diff -f manifests/install.yaml');
  });

  test('CRDs that are there already: the release takes them when it is told to, or leaves them out', async () => {
    const other = `${readmeCommand('helm install').replace('install tidegate', 'install second').replace(NAMESPACE, 'second')} --set ingressClass.name=second`;
    await assert.rejects(sh(other), /invalid ownership metadata/);
    await sh(`${other} --set crds.install=false`);
    await sh('helm uninstall second --namespace second');
    await sh(`${other} --take-ownership`);
  });
});
