/** Ingress as the specification of networking.k8s.io/v1 has it: hosts, paths, defaults, TLS, classes. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { makeCertificate, tlsSecret } from '../cluster/certificates.ts';
import { type Answer, ask, askUntil } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { openGateway } from '../cluster/gateways.ts';
import { Workload } from '../cluster/workload.ts';

const IN_PODS = process.env.TIDEGATE_GATEWAY !== undefined && 'pods with certificates of their own are run by the case itself';

const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: GatewayAddress;

/** Names of Services, each with a pod. */
const SERVICES = ['exact', 'prefix', 'longer', 'other', 'wild', 'fallback'];

type Path = readonly [pathType: 'Exact' | 'Prefix' | 'ImplementationSpecific', path: string, service: string, port?: object];

function backend(service: string, port: object = { number: 80 }): object {
  return { service: { name: service, port } };
}

function rule(host: string | undefined, ...paths: readonly Path[]): object {
  return {
    ...(host === undefined ? {} : { host }),
    http: { paths: paths.map(([pathType, path, service, port]) => ({ pathType, path, backend: backend(service, port) })) },
  };
}

function ingress(
  name: string,
  spec: object,
  ingressClassName: string | undefined = 'tidegate',
  annotations: Readonly<Record<string, string>> = {},
): KubernetesObject {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: {
      name,
      namespace,
      annotations: Object.fromEntries(Object.entries(annotations).map(([key, value]) => [`nginx.ingress.kubernetes.io/${key}`, value])),
    },
    spec: { ...(ingressClassName === undefined ? {} : { ingressClassName }), ...spec },
  };
}

const get = async (host: string, path = '/'): Promise<Answer> => ask(gateway, { host, path });

before(async () => {
  namespace = await cluster.namespace(wholeFile, 'ingress');
  await Promise.all(SERVICES.map((name) => Workload.start(wholeFile, cluster, { namespace, name })));
  await cluster.apply([
    tlsSecret(namespace, 'secure', makeCertificate('secure.ingress.test')),
    ingress('paths', {
      rules: [
        rule(
          'paths.ingress.test',
          ['Exact', '/foo', 'exact'],
          ['Prefix', '/foo', 'prefix'],
          ['Prefix', '/foo/bar/', 'longer'],
          ['Exact', '/slash/', 'exact'],
          ['ImplementationSpecific', '/impl', 'other'],
        ),
      ],
    }),
    ingress('root', { rules: [rule('root.ingress.test', ['Prefix', '/', 'prefix'])] }),
    ingress('hosts', {
      rules: [
        rule('*.hosts.ingress.test', ['Prefix', '/', 'wild']),
        rule('a.hosts.ingress.test', ['Prefix', '/', 'exact']),
        rule('named.ingress.test', ['Prefix', '/', 'other', { name: 'http' }]),
      ],
    }),
    ingress('defaulted', { defaultBackend: backend('fallback'), rules: [rule('defaulted.ingress.test', ['Prefix', '/app', 'prefix'])] }),
    ingress('secure', {
      tls: [{ hosts: ['secure.ingress.test'], secretName: 'secure' }],
      rules: [rule('secure.ingress.test', ['Prefix', '/', 'prefix'])],
    }),
    ingress('foreign', { rules: [rule('foreign.ingress.test', ['Prefix', '/', 'prefix'])] }, 'somebody-else'),
    ingress('missing', { rules: [rule('missing.ingress.test', ['Prefix', '/', 'nowhere'], ['Prefix', '/port', 'prefix', { number: 81 }])] }),
    ingress('last', { rules: [rule('last.ingress.test', ['Prefix', '/', 'prefix'])] }),
  ]);
  gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace] });
  await askUntil(gateway, { host: 'last.ingress.test' }, (answer) => answer.service === 'prefix');
});

describe('paths', () => {
  for (const [path, service] of [
    ['/foo', 'exact'],
    ['/foo?a=b', 'exact'],
    ['/foo/', 'prefix'],
    ['/foo/x', 'prefix'],
    ['/foobar', undefined],
    ['/foo/bar', 'longer'],
    ['/foo/bar/', 'longer'],
    ['/foo/bar/baz', 'longer'],
    ['/foo/barx', 'prefix'],
    ['/FOO', undefined],
    ['/slash/', 'exact'],
    ['/slash', undefined],
    ['/slash/x', undefined],
    ['/impl', 'other'],
    ['/impl/x', 'other'],
    ['/', undefined],
  ] as const) {
    test(`${path} goes to ${service ?? 'nobody: 404'}`, async () => {
      const answer = await get('paths.ingress.test', path);
      assert.equal(answer.service, service, `${answer.status} ${answer.body}`);
      assert.equal(answer.status, service === undefined ? 404 : 200);
      if (service !== undefined) assert.equal(answer.sample?.path, path, 'the path is passed on as it is');
    });
  }

  test('Prefix / takes every path', async () => {
    for (const path of ['/', '/a', '/a/b/c']) assert.equal((await get('root.ingress.test', path)).service, 'prefix', path);
  });
});

describe('hosts', () => {
  for (const [host, service] of [
    ['a.hosts.ingress.test', 'exact'],
    ['A.Hosts.Ingress.Test', 'exact'],
    ['a.hosts.ingress.test:8080', 'exact'],
    ['b.hosts.ingress.test', 'wild'],
    ['b.c.hosts.ingress.test', undefined],
    ['hosts.ingress.test', undefined],
    ['nobody.ingress.test', undefined],
    ['named.ingress.test', 'other'],
  ] as const) {
    test(`${host} goes to ${service ?? 'nobody: 404'}`, async () => {
      const answer = await get(host);
      assert.equal(answer.service, service, `${answer.status} ${answer.body}`);
      assert.equal(answer.status, service === undefined ? 404 : 200);
    });
  }
});

describe('defaults', () => {
  test('the default backend of an Ingress takes what the rules of its hosts do not, and no other host', async () => {
    assert.equal((await get('defaulted.ingress.test', '/app/x')).service, 'prefix');
    assert.equal((await get('defaulted.ingress.test', '/elsewhere')).service, 'fallback');
    assert.equal((await get('unheard-of.ingress.test')).status, 404);
  });

  test('the oldest Ingress with nothing but a default backend takes all that is left, until it is gone', async (t) => {
    const everything = ingress('everything', { defaultBackend: backend('fallback') });
    t.after(() => cluster.api.delete(everything));
    await cluster.apply([everything]);
    await askUntil(gateway, { host: 'unheard-of.ingress.test', path: '/x' }, (answer) => answer.service === 'fallback');
    await cluster.apply([ingress('younger', { defaultBackend: backend('other') })]);
    // A rule that comes later shows that the younger one has been seen as well.
    await cluster.apply([ingress('seen', { rules: [rule('seen.ingress.test', ['Prefix', '/', 'other'])] })]);
    await askUntil(gateway, { host: 'seen.ingress.test' }, (answer) => answer.service === 'other');
    assert.equal((await get('unheard-of.ingress.test')).service, 'fallback');
    assert.equal((await get('root.ingress.test')).service, 'prefix');
    await cluster.api.delete(everything);
    await askUntil(gateway, { host: 'unheard-of.ingress.test' }, (answer) => answer.service === 'other');
    await cluster.api.delete(ingress('younger', {}));
    await askUntil(gateway, { host: 'unheard-of.ingress.test' }, (answer) => answer.status === 404);
  });

  test('a Service or a port that is missing: 503 for its path, and nothing else is touched', async () => {
    assert.equal((await get('missing.ingress.test')).status, 503);
    assert.equal((await get('missing.ingress.test', '/port')).status, 503);
    await cluster.api.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'nowhere', namespace },
      spec: { selector: { app: 'other' }, ports: [{ name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' }] },
    });
    await askUntil(gateway, { host: 'missing.ingress.test' }, (answer) => answer.service === 'other');
  });
});

describe('TLS', () => {
  test('the certificate is that of the Secret, and plain HTTP is sent to HTTPS', async () => {
    const answer = await ask(gateway, { host: 'secure.ingress.test', path: '/x', tls: true });
    assert.deepEqual([answer.status, answer.service, answer.certificate], [200, 'prefix', 'secure.ingress.test']);
    assert.equal(answer.sample?.headers['x-forwarded-proto'], 'https');
    const plain = await get('secure.ingress.test', '/x?y=z');
    assert.deepEqual([plain.status, plain.headers.location], [308, 'https://secure.ingress.test/x?y=z']);
  });

  test('a Secret that is replaced is shown at the next connection; without it the default certificate', async () => {
    await cluster.apply([tlsSecret(namespace, 'secure', makeCertificate('secure.ingress.test', 'renewed'))]);
    await askUntil(gateway, { host: 'secure.ingress.test', tls: true }, (answer) => answer.certificate === 'renewed');
    const unknown = await ask(gateway, { host: 'unknown.ingress.test', tls: true });
    assert.equal(unknown.status, 404);
    assert.notEqual(unknown.certificate, 'renewed');
  });
});

describe('classes', () => {
  test('an Ingress of another class is not ours, and becomes ours when its class does', async () => {
    assert.equal((await get('foreign.ingress.test')).status, 404);
    await cluster.apply([ingress('foreign', { rules: [rule('foreign.ingress.test', ['Prefix', '/', 'prefix'])] })]);
    await askUntil(gateway, { host: 'foreign.ingress.test' }, (answer) => answer.service === 'prefix');
    await cluster.apply([ingress('foreign', { rules: [rule('foreign.ingress.test', ['Prefix', '/', 'prefix'])] }, 'somebody-else')]);
    await askUntil(gateway, { host: 'foreign.ingress.test' }, (answer) => answer.status === 404);
  });
});

describe('annotations of ingress-nginx', () => {
  test('a canary gets what its header, its cookie and its weight say, and nothing once it is gone', async () => {
    const host = 'canary.ingress.test';
    const always = { canary: 'true', 'canary-by-header': 'x-canary', 'canary-by-cookie': 'tester' };
    const canary = (weight: string): KubernetesObject =>
      ingress('canary', { rules: [rule(host, ['Prefix', '/', 'other'])] }, 'tidegate', { ...always, 'canary-weight': weight });
    const serviceOf = async (headers: Readonly<Record<string, string>>): Promise<string | undefined> => (await ask(gateway, { host, headers })).service;
    await cluster.apply([ingress('main', { rules: [rule(host, ['Prefix', '/', 'prefix'])] }), canary('0')]);
    await askUntil(gateway, { host, headers: { 'x-canary': 'always' } }, (answer) => answer.service === 'other');
    await askUntil(gateway, { host, headers: { cookie: 'a=b; tester=always' } }, (answer) => answer.service === 'other');
    assert.equal(await serviceOf({}), 'prefix');
    assert.equal(await serviceOf({ 'x-canary': 'perhaps' }), 'prefix');
    assert.equal(await serviceOf({ 'x-canary': 'never', cookie: 'tester=always' }), 'prefix', 'headers come before cookies');
    await cluster.apply([canary('100')]);
    await askUntil(gateway, { host }, (answer) => answer.service === 'other');
    assert.equal(await serviceOf({ 'x-canary': 'never' }), 'prefix');
    assert.equal(await serviceOf({ cookie: 'tester=never' }), 'prefix');
    await cluster.apply([canary('50')]);
    // A rule that comes later shows that the weight has been seen as well.
    await cluster.apply([ingress('weighed', { rules: [rule('weighed.ingress.test', ['Prefix', '/', 'prefix'])] })]);
    await askUntil(gateway, { host: 'weighed.ingress.test' }, (answer) => answer.service === 'prefix');
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(gateway, { host })));
    const count = answers.filter(({ service }) => service === 'other').length;
    assert.ok(count >= 20 && count <= 80, `${count} of 100`);
    await cluster.api.delete(canary('50'));
    await askUntil(gateway, { host, headers: { 'x-canary': 'always' } }, (answer) => answer.service === 'prefix');
  });

  test('sizes, redirects and cookies', async () => {
    const host = 'annotated.ingress.test';
    const annotations = { 'proxy-body-size': '1k', affinity: 'cookie', 'session-cookie-name': 'stick' };
    await cluster.apply([
      ingress('annotated', { rules: [rule(host, ['Prefix', '/', 'prefix'])] }, 'tidegate', annotations),
      ingress('forced', { rules: [rule(`forced.${host}`, ['Prefix', '/', 'prefix'])] }, 'tidegate', { 'force-ssl-redirect': 'true' }),
    ]);
    const answer = await askUntil(gateway, { host }, ({ service }) => service === 'prefix');
    assert.match(String(answer.headers['set-cookie']), /^stick=[^;]+;/);
    assert.equal((await ask(gateway, { host, method: 'POST', body: 'x'.repeat(1024) })).status, 200);
    assert.equal((await ask(gateway, { host, method: 'POST', body: 'x'.repeat(1025) })).status, 413);
    await askUntil(gateway, { host: `forced.${host}` }, ({ status }) => status === 308);
  });

  test('with backend-protocol HTTPS the gateway speaks TLS to the pod; with ssl-passthrough TLS ends there', { skip: IN_PODS }, async () => {
    const host = 'passed.ingress.test';
    await Workload.start(wholeFile, cluster, { namespace, name: 'passed', tls: makeCertificate(host, 'of the pod') });
    const passed = (annotations: Readonly<Record<string, string>>): KubernetesObject =>
      ingress('passed', { rules: [rule(host, ['Prefix', '/', 'passed'])] }, 'tidegate', annotations);
    await cluster.apply([passed({ 'backend-protocol': 'HTTPS' })]);
    // From then on the endpoint is known, without which there is nobody to pass a connection on to.
    const ended = await askUntil(gateway, { host, tls: true }, ({ service }) => service === 'passed');
    assert.notEqual(ended.certificate, 'of the pod');
    assert.equal(ended.sample?.headers['x-forwarded-proto'], 'https');
    await cluster.apply([passed({ 'ssl-passthrough': 'true' })]);
    const answer = await askUntil(gateway, { host, tls: true }, ({ certificate }) => certificate === 'of the pod');
    assert.deepEqual([answer.status, answer.service], [200, 'passed']);
    // What the gateway would have added.
    assert.equal(answer.sample?.headers['x-forwarded-proto'], undefined);
  });
});

describe('edits', () => {
  test('a rule that is added, changed, and taken away', async () => {
    const host = 'edited.ingress.test';
    await cluster.apply([ingress('edited', { rules: [rule(host, ['Prefix', '/', 'prefix'])] })]);
    await askUntil(gateway, { host }, (answer) => answer.service === 'prefix');
    await cluster.apply([ingress('edited', { rules: [rule(host, ['Prefix', '/', 'other'])] })]);
    await askUntil(gateway, { host }, (answer) => answer.service === 'other');
    await cluster.api.delete(ingress('edited', {}));
    await askUntil(gateway, { host }, (answer) => answer.status === 404);
  });
});
