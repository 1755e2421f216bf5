/** What the cluster tier stands on: the control plane, the pods, and that nothing of a run is left behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith, wholeFile } from '../test/gateway/lifetime.ts';
import { Cluster } from './cluster/cluster.ts';
import { Load } from './cluster/load.ts';
import { ServiceAccountFiles } from './cluster/service-account.ts';
import { TcpProxy } from './cluster/tcp-proxy.ts';
import { Workload } from './cluster/workload.ts';
import { ControlPlane } from './control-plane/control-plane.ts';

describe('the API server of the run', () => {
  const cluster = Cluster.open(wholeFile);
  let namespace: string;
  before(async () => {
    namespace = await cluster.namespace(wholeFile, 'harness');
  });

  test('is ready and knows the kinds of ours', async () => {
    assert.equal((await cluster.api.call('GET', '/readyz')).body, 'ok');
    const { stdout } = await cluster.kubectl(['api-resources', '--api-group=tidegate.dev', '--output=name']);
    assert.deepEqual(
      stdout.trim().split('\n').sort(),
      ['apiconsumers', 'apiroutes', 'authpolicies', 'backendpolicies', 'ratelimitpolicies'].map((plural) => `${plural}.tidegate.dev`),
    );
  });

  test("refuses what breaks a CEL rule with the rule's message", async () => {
    const filters = { requestRedirect: { hostname: 'a.example.com' }, directResponse: { statusCode: 200 } };
    const route = { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name: 'two-answers', namespace }, spec: { rules: [{ filters }] } };
    await assert.rejects(cluster.api.create(route), /a rule answers once: use requestRedirect or directResponse/);
  });

  test('refuses an unknown field in strict validation', async () => {
    const spec = { hostname: 'a.example.com', rules: [{}] };
    const route = { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name: 'unknown-field', namespace }, spec };
    await assert.rejects(cluster.api.create(route), /unknown field "spec\.hostname"/);
  });

  test('has EndpointSlices of the Pods that are ready, and pods answer at their addresses', async (t) => {
    const workload = await Workload.start(t, cluster, { namespace, name: 'who', replicas: 3 });
    const [first] = workload.pods;
    assert.ok(first !== undefined);
    const answer = (await (await fetch(`http://${first.address}:8080/path`)).json()) as { pod: string; path: string };
    assert.deepEqual([answer.pod, answer.path], [first.name, '/path']);

    const [slice] = await cluster.slices(namespace, 'who');
    assert.ok(slice !== undefined);
    assert.equal(slice.metadata.labels?.['endpointslice.kubernetes.io/managed-by'], 'endpointslice-controller.k8s.io');
    assert.deepEqual(slice.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }]);

    await workload.setReady(first, false);
    const edited = await cluster.until(slice, (object) => object?.endpoints.some((each: { conditions: { ready: boolean } }) => !each.conditions.ready));
    assert.equal(edited?.endpoints.length, 3);
    await workload.remove(first);
    await workload.scale(1);
    assert.equal(workload.pods.length, 1);
    await assert.rejects(fetch(`http://${first.address}:8080/`));
  });

  test('gives out tokens of ServiceAccounts, which may do what RBAC says', async () => {
    await cluster.api.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'nobody', namespace } });
    const files = await ServiceAccountFiles.create(cluster, namespace, 'nobody');
    const token = await readFile(join(files.folder, 'token'), 'utf8');
    const own = await cluster.kubectl(['auth', 'whoami', '--token', token, '--output=jsonpath={.status.userInfo.username}']);
    assert.match(own.stdout + own.stderr, new RegExp(`system:serviceaccount:${namespace}:nobody$`));
    const child = spawn(files.prefix[0] as string, [...files.prefix.slice(1), 'sh', '-c', 'cat /var/run/secrets/kubernetes.io/serviceaccount/namespace'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let seen = '';
    child.stdout.on('data', (bytes: Buffer) => {
      seen += bytes.toString();
    });
    await new Promise((resolve) => child.on('close', resolve));
    assert.equal(seen, namespace);
  });
});

describe('load', () => {
  test('counts failures, and asks a proxy that stalls again once it goes on', async (t) => {
    const cluster = Cluster.open(t);
    const namespace = await cluster.namespace(t, 'harness');
    const workload = await Workload.start(t, cluster, { namespace, name: 'load' });
    const proxy = await TcpProxy.start(t, () => ({ host: workload.pods[0]?.address ?? '127.0.0.1', port: 8080 }));
    const load = Load.start(t, { host: '127.0.0.1', port: proxy.port });
    await load.untilAnsweredBy('load-0');
    proxy.stall();
    const before = load.answered;
    await sleep(300);
    assert.ok(load.answered <= before + 8, 'nothing but what was under way is answered');
    proxy.resume();
    await load.more(50);
    assert.equal(load.failed, 0, load.failures.join('\n'));
    proxy.refuse();
    proxy.cut();
    await load.more(20);
    assert.ok(load.failed > 0);
  });
});

describe("a control plane of one's own", () => {
  test('forgets old revisions, and comes back with its objects after its parts were restarted', async (t) => {
    const plane = await ControlPlane.start();
    endWith(t, () => plane.stop());
    const cluster = Cluster.open(t, plane.kubeconfig);
    const namespace = await cluster.namespace(t, 'harness');
    const { body: list } = await cluster.api.call('GET', '/api/v1/namespaces');
    for (let count = 0; count < 3; count++) {
      await cluster.api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: { count: String(count) } } });
    }
    assert.ok((await plane.compact()) > Number(list.metadata.resourceVersion));

    await plane.stopApiServer();
    await assert.rejects(cluster.api.call('GET', '/readyz'));
    await plane.restartEtcd();
    await plane.startApiServer();
    assert.equal((await cluster.api.get({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })).metadata.labels?.count, '2');

    const watch = `/api/v1/namespaces?watch=true&timeoutSeconds=5&resourceVersion=${list.metadata.resourceVersion}`;
    const gone = await cluster.api.call('GET', watch);
    assert.match(JSON.stringify(gone.body), /"code":410|too old resource version/);
  });
});

describe('a run', () => {
  /** Ids of processes whose command line names the folder. */
  async function processesOf(folder: string): Promise<readonly string[]> {
    const found: string[] = [];
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (command.includes(folder)) found.push(pid);
    }
    return found;
  }

  test('that is killed leaves no process, and the next one removes its folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'run-'));
    const file = join(folder, 'endless.test.ts');
    await writeFile(file, "import { test } from 'node:test';\ntest('endless', () => new Promise((resolve) => setTimeout(resolve, 600_000)));\n");
    const { NODE_TEST_CONTEXT: _, ...clean } = process.env;
    const runner = spawn(process.execPath, ['test-e2e/run.ts', file], { stdio: 'ignore', env: { ...clean, TMPDIR: folder } });
    const ended = new Promise((resolve) => runner.on('close', resolve));
    try {
      // The endless file, and the three parts of the control plane.
      const commands = async (): Promise<number> => (await processesOf(join(folder, 'tidegate-e2e-'))).length;
      for (const deadline = Date.now() + 180_000; (await commands()) < 3 || (await processesOf(file)).length < 3; await sleep(50)) {
        assert.ok(runner.exitCode === null && Date.now() < deadline, 'the run has started its control plane and the file');
      }
    } finally {
      runner.kill('SIGKILL');
      await ended;
    }
    for (const deadline = Date.now() + 60_000; (await processesOf(folder)).length > 0; await sleep(50)) {
      assert.ok(Date.now() < deadline, `left: ${await processesOf(folder)}`);
    }
    assert.equal((await readdir(folder)).filter((name) => name.startsWith('tidegate-e2e-')).length, 1);

    await writeFile(file, "import { test } from 'node:test';\ntest('short', () => {});\n");
    const next = spawn(process.execPath, ['test-e2e/run.ts', file], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...clean, TMPDIR: folder } });
    let output = '';
    next.stdout.on('data', (bytes: Buffer) => {
      output += bytes.toString();
    });
    assert.equal(await new Promise((resolve) => next.on('close', resolve)), 0, output);
    assert.match(output, /\n1 passed, 0 failed\n$/);
    assert.deepEqual(await readdir(folder), ['endless.test.ts']);
    assert.deepEqual(await processesOf(folder), []);
  });
});
