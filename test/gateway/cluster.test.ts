/** The built program told to read from an API server: wrong usage, wrong kubeconfigs, nobody there, and what a cluster's objects may not do. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, type TestContext, test } from 'node:test';
import { FakeApiServer } from '../../src/sources/kubernetes/fake-api-server.fixture.ts';
import { Backend } from './backend.ts';
import { get } from './client.ts';
import type { LogLine } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { runProgram, spawnProgram } from './program.ts';

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-cluster-'));
});
after(() => rmSync(folder, { recursive: true }));

function kubeconfig(server: string): string {
  const file = join(folder, 'kubeconfig');
  const config = {
    clusters: [{ name: 'c', cluster: { server } }],
    users: [{ name: 'u', user: { token: 'secret-token' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

const FREE_PORTS = ['--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '1'];

/** Nothing of the machine's that would say where a cluster is. */
const NOWHERE = { ...process.env, KUBERNETES_SERVICE_HOST: '', KUBERNETES_SERVICE_PORT: '' };

describe('wrong usage is one line and exit 2', () => {
  for (const [name, args, message] of [
    ['nothing to read from', [], 'error: nothing says where objects come from. give --manifests DIR or --kubeconfig FILE, or run in a pod.'],
    ['a folder and a cluster', ['--manifests', '.', '--kubeconfig', 'k'], 'error: --manifests and --kubeconfig exclude each other. leave one of them out.'],
    [
      'a folder and namespaces',
      ['--manifests', '.', '--watch-namespace', 'a'],
      'error: --watch-namespace is for a cluster, and --manifests is given. leave one of them out.',
    ],
    [
      'a namespace that can be none',
      ['--kubeconfig', 'k', '--watch-namespace', 'a,B'],
      "error: option '--watch-namespace <namespaces>' argument 'a,B' is invalid. \"B\" is no name of a namespace; expected such as shop, several with commas.",
    ],
  ] as const) {
    test(name, async () => {
      const { code, stderr } = await runProgram(['serve', ...FREE_PORTS, ...args], { env: NOWHERE });
      assert.equal(stderr, `${message}\n`);
      assert.equal(code, 2);
    });
  }
});

test('a kubeconfig that is wrong, and ServiceAccount files that are not there, are one line and exit 1', async () => {
  const missing = join(folder, 'none');
  const wrong = await runProgram(['serve', ...FREE_PORTS, '--kubeconfig', missing]);
  assert.deepEqual([wrong.code, wrong.stderr], [1, `tidegate: --kubeconfig: ENOENT: no such file or directory, open '${missing}'\n`]);
  const env = { ...process.env, KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '1' };
  const outside = await runProgram(['serve', ...FREE_PORTS], { env });
  assert.equal(outside.code, 1);
  assert.match(outside.stderr, /^tidegate: the pod's ServiceAccount: ENOENT: .*\/var\/run\/secrets\/kubernetes\.io\/serviceaccount\/(token|ca\.crt)'\n$/);
});

class Running {
  readonly log: LogLine[] = [];
  readonly process: ReturnType<typeof spawnProgram>;
  readonly exited: Promise<number | null>;
  #wake: () => void = () => {};

  constructor(t: TestContext, args: readonly string[]) {
    this.process = spawnProgram(['serve', ...FREE_PORTS, '--drain-delay', '1ms', ...args]);
    this.exited = new Promise((resolve) => this.process.once('exit', resolve));
    createInterface({ input: this.process.stderr as NodeJS.ReadableStream }).on('line', (line) => {
      this.log.push(JSON.parse(line) as LogLine);
      this.#wake();
    });
    endWith(t, async () => {
      this.process.kill();
      assert.equal(await this.exited, 0);
    });
  }

  async logged(message: string, test: (line: LogLine) => boolean = () => true): Promise<LogLine> {
    for (;;) {
      const found = this.log.find((line) => line.msg === message && test(line));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async admin(path: string): Promise<{ status: number; body: string }> {
    const { port } = await this.logged('admin port open');
    return new Promise((resolve, reject) => {
      const outgoing = request({ port: Number(port), path, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      });
      outgoing.on('error', reject).end();
    });
  }
}

test('with nobody there it stays, says so once, is not ready, and ends well', async (t) => {
  const gateway = new Running(t, ['--kubeconfig', kubeconfig('http://127.0.0.1:1')]);
  const told = await gateway.logged('the API server cannot be read');
  assert.deepEqual([told.level, told.reason, told.error], ['warn', 'Unreachable', 'http://127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1']);
  const { status, body } = await gateway.admin('/readyz');
  assert.equal(status, 503);
  assert.match(body, /^waiting for the API server's ingressclasses, .*ECONNREFUSED/);
  assert.equal((await gateway.admin('/healthz')).status, 200);
  const metrics = (await gateway.admin('/metrics')).body;
  assert.match(metrics, /^tidegate_source_synced\{resource="ingresses"\} 0$/m);
  assert.match(metrics, /^tidegate_source_errors_total\{resource="ingresses",reason="Unreachable"\} [1-9]/m);
  assert.equal(gateway.log.filter(({ msg }) => msg === 'the API server cannot be read').length, 1);
  assert.equal(
    gateway.log.some((line) => JSON.stringify(line).includes('secret-token')),
    false,
  );
});

test('objects of a cluster serve; endpoints on loopback or at the API server are refused there', async (t) => {
  const fake = await FakeApiServer.start(t);
  const route = (name: string, rule: object): void => {
    fake.put('/apis/tidegate.dev/v1alpha1/apiroutes', { metadata: { name, namespace: 'shop' }, spec: { hostnames: [`${name}.example.com`], rules: [rule] } });
  };
  const backend = await Backend.start(wholeFile);
  const slice = (name: string, address: string, port: number): void => {
    fake.put('/api/v1/services', { metadata: { name, namespace: 'shop' }, spec: { ports: [{ port: 80 }] } });
    const labels = { 'kubernetes.io/service-name': name };
    fake.put('/apis/discovery.k8s.io/v1/endpointslices', {
      metadata: { name, namespace: 'shop', labels },
      addressType: 'IPv4',
      endpoints: [{ addresses: [address] }],
      ports: [{ name: '', port }],
    });
  };
  route('answer', { filters: { directResponse: { statusCode: 200, body: 'hello' } } });
  slice('loopback', '127.0.0.1', backend.port);
  route('loopback', { backendRefs: [{ name: 'loopback', port: 80 }] });
  fake.put('/api/v1/services', { metadata: { name: 'kubernetes', namespace: 'default' }, spec: { clusterIP: '10.96.0.1', ports: [{ port: 443 }] } });
  slice('server', '10.96.0.1', 443);
  route('server', { backendRefs: [{ name: 'server', port: 80 }] });
  const gateway = new Running(t, ['--kubeconfig', kubeconfig(`http://127.0.0.1:${fake.port}`)]);
  const { http } = (await gateway.logged('serving')) as unknown as { http: { port: number } };
  assert.equal((await gateway.admin('/readyz')).status, 200);
  assert.equal((await get(http.port, '/', { Host: 'answer.example.com' })).body, 'hello');
  for (const [name, message] of [
    ['loopback', '127.0.0.1 is a loopback address, which no endpoint may have'],
    ['server', '10.96.0.1 is the API server, which no endpoint may have'],
  ]) {
    assert.equal((await get(http.port, '/', { Host: `${name}.example.com` })).status, 503);
    const line = await gateway.logged('object has a problem', ({ object }) => object === `EndpointSlice/shop/${name}`);
    assert.deepEqual([line.reason, line.message, line.file], ['RefNotPermitted', message, `http://127.0.0.1:${fake.port}`]);
  }
  assert.equal(backend.requests.length, 0);
  fake.put('/apis/tidegate.dev/v1alpha1/apiroutes', {
    metadata: { name: 'answer', namespace: 'shop' },
    spec: { hostnames: ['answer.example.com'], rules: [{ filters: { directResponse: { statusCode: 200, body: 'changed' } } }] },
  });
  while ((await get(http.port, '/', { Host: 'answer.example.com' })).body !== 'changed') await new Promise((resolve) => setTimeout(resolve, 10));
  await fake.stop();
  await gateway.logged('the API server cannot be read');
  assert.equal((await get(http.port, '/', { Host: 'answer.example.com' })).body, 'changed');
  assert.equal((await gateway.admin('/readyz')).status, 200);
});
