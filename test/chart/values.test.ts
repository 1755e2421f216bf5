/** Values that are wrong are refused, with a message that says what would be right. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { load } from 'js-yaml';
import { KUBERNETES_VERSION, runHelm } from '../../scripts/helm.ts';
import { CHART, helm, root, template } from './render.ts';

interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
}

const schema = JSON.parse(readFileSync(join(root, CHART, 'values.schema.json'), 'utf8')) as Schema;
const values = load(readFileSync(join(root, CHART, 'values.yaml'), 'utf8')) as Record<string, unknown>;

test('the schema has exactly the values that values.yaml has, and refuses others at every level', () => {
  // `global` is Helm's; probes and resources take fields that have no default here.
  const optional = /^(global|resources\.claims|affinity\..*|(liveness|readiness)Probe\..*)$/;
  const compare = (node: Schema, value: unknown, path: string): void => {
    if (node.properties === undefined) return;
    assert.equal(node.additionalProperties, false, path);
    const given = Object.keys(value as object);
    for (const name of given) assert.ok(name in (node.properties ?? {}), `the schema lacks ${path}${name}`);
    for (const [name, inner] of Object.entries(node.properties)) {
      if (!given.includes(name)) assert.match(`${path}${name}`, optional, 'values.yaml lacks it');
      else compare(inner, (value as Record<string, unknown>)[name], `${path}${name}.`);
    }
  };
  compare(schema, values, '');
});

test('the README names values that there are', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const table = /^\| Value \|.*\n([\s\S]*?)\n\n/m.exec(readme)?.[1] ?? '';
  const names = table.split('\n').flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ''));
  assert.ok(names.length > 15, table);
  for (const name of names) {
    let value: unknown = values;
    for (const part of name.split('.')) value = (value as Record<string, unknown> | undefined)?.[part];
    assert.notEqual(value, undefined, name);
  }
});

describe('values', { skip: helm.skip }, () => {
  const refusals: readonly (readonly [what: string, values: object, message: RegExp])[] = [
    ['a password of Redis in the open', { redis: { url: 'redis://user:secret@redis' } }, /redis[./]url/],
    ['a password for no Redis', { 'redis.passwordSecret.name': 'redis' }, /redis\.passwordSecret needs redis\.url/],
    ['a misspelt value', { replicas: 3 }, /additional properties 'replicas' not allowed/],
    ['a misspelt value further down', { 'service.annotation': {} }, /at '\/service'.*'annotation' not allowed/],
    ['a word for a number', { replicaCount: 'two' }, /at '\/replicaCount'.*got string, want integer/],
    ['an unknown kind', { kind: 'StatefulSet' }, /at '\/kind'.*'Deployment', 'DaemonSet'/],
    ['an unknown Service type', { 'service.type': 'ExternalName' }, /at '\/service\/type'/],
    ['a port that is none', { 'service.ports.http': 70000 }, /at '\/service\/ports\/http'/],
    ['a duration without a unit', { drainDelay: '5' }, /at '\/drainDelay'/],
    ['a CIDR that is a name', { trustedProxies: ['lb.example.com'] }, /at '\/trustedProxies\/0'/],
    ['a namespace in capitals', { watchNamespaces: ['Shop'] }, /at '\/watchNamespaces\/0'/],
    ['a Secret without its namespace', { defaultCertificate: 'tls' }, /at '\/defaultCertificate'/],
    ['an argument that is no flag', { extraArgs: ['validate'] }, /at '\/extraArgs\/0'/],
    ['a digest that is none', { 'image.digest': 'sha256:abc' }, /at '\/image\/digest'/],
    ['an IPv6 address without brackets', { listenAddress: '::' }, /at '\/listenAddress'/],
    [
      'a grace period that ends before the drain',
      { terminationGracePeriodSeconds: 30 },
      /terminationGracePeriodSeconds is 30, and preStopSleepSeconds with drainTimeout needs 32/,
    ],
    ['a drain delay beyond the time-out', { drainDelay: '1m', drainTimeout: '60s' }, /drainDelay \(1m\) must be shorter than drainTimeout \(60s\)/],
    ['autoscaling of a DaemonSet', { kind: 'DaemonSet', 'autoscaling.enabled': true }, /autoscaling\.enabled goes with kind Deployment/],
    ['bounds the wrong way round', { autoscaling: { enabled: true, minReplicas: 20 } }, /minReplicas is more than autoscaling\.maxReplicas/],
    ['both bounds of a budget', { 'podDisruptionBudget.minAvailable': 1 }, /one of minAvailable and maxUnavailable/],
    ['neither bound of a budget', { 'podDisruptionBudget.maxUnavailable': null }, /one of minAvailable and maxUnavailable/],
    ['a rollout that could not begin', { 'rollingUpdate.maxSurge': 0 }, /rollingUpdate takes one of maxUnavailable and maxSurge above 0/],
    [
      'a rollout that could not begin, in percent',
      { rollingUpdate: { maxSurge: '0%', maxUnavailable: 0 } },
      /takes one of maxUnavailable and maxSurge above 0/,
    ],
    ['a share without its sign', { 'rollingUpdate.maxSurge': '2' }, /at '\/rollingUpdate\/maxSurge'/],
    [
      'ports of the node for pods that have them already',
      { hostNetwork: true, 'hostPorts.http': 80 },
      /hostPorts does not go with hostNetwork: the gateway listens on ports 8080 and 8443 of the node itself/,
    ],
    ['a monitor that nobody lets in', { 'metrics.serviceMonitor.enabled': true }, /needs networkPolicy\.adminFrom/],
    ['no ServiceAccount at all', { 'serviceAccount.create': false }, /serviceAccount\.name is needed/],
    ['an address and a Service to publish', { publish: { addresses: ['192.0.2.1'], serviceOverride: 'a/b' } }, /one of addresses and serviceOverride/],
    ['a default class that is not seen', { watchNamespaces: ['shop'], 'ingressClass.isDefault': true }, /needs rbac\.readIngressClasses/],
    [
      'Secrets of a namespace that is not watched',
      { watchNamespaces: ['shop'], 'rbac.secretNamespaces': ['blog'] },
      /secretNamespaces has blog, which watchNamespaces has not/,
    ],
  ];
  for (const [what, given, message] of refusals) {
    test(what, () => {
      const { code, stderr } = template(given);
      assert.notEqual(code, 0);
      assert.match(stderr, message);
    });
  }

  test('a sleep before SIGTERM where Kubernetes has none', () => {
    const { code, stderr } = template({ preStopSleepSeconds: 5 }, { kubeVersion: '1.29.0' });
    assert.notEqual(code, 0);
    assert.match(stderr, /preStopSleepSeconds needs Kubernetes 1\.30 or later, and this is v1\.29\.0: use drainDelay/);
    assert.equal(template({ preStopSleepSeconds: 5 }, { kubeVersion: '1.30.0' }).code, 0);
  });

  test('those of the kind cluster are good ones', () => {
    const { code, stderr } = runHelm(helm.path ?? '', [
      'template',
      'tidegate',
      CHART,
      '--kube-version',
      KUBERNETES_VERSION,
      '--values',
      'test-e2e/kind/values.yaml',
    ]);
    assert.equal(code, 0, stderr);
  });

  test('Kubernetes without CEL rules in CRDs', () => {
    assert.match(template({}, { kubeVersion: '1.28.0' }).stderr, /kubeVersion/);
  });
});
