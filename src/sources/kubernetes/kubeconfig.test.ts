import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { ApiClient } from './api-client.ts';
import { FakeApiServer } from './fake-api-server.fixture.ts';
import { inCluster } from './in-cluster.ts';
import { fromKubeconfig } from './kubeconfig.ts';

let root = '';
before(() => {
  root = mkdtempSync(join(tmpdir(), 'tidegate-kubeconfig-'));
});
after(() => rmSync(root, { recursive: true }));

interface Parts {
  readonly cluster?: object;
  readonly user?: object;
  readonly context?: object;
  readonly whole?: object;
}

let files = 0;

function kubeconfig(parts: Parts): string {
  const { cluster = { server: 'https://127.0.0.1:1' }, user = {}, context = {}, whole = {} } = parts;
  const file = join(root, `${++files}.yaml`);
  writeFileSync(
    file,
    JSON.stringify({
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', ...context } }],
      'current-context': 'x',
      ...whole,
    }),
  );
  return file;
}

/** A certificate made with openssl; `signer` undefined: signed by itself. */
function certificate(name: string, subject: string, extra: readonly string[] = [], signer?: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [join(root, `${name}.crt`), join(root, `${name}.key`)];
  const by = signer === undefined ? [] : ['-CA', join(root, `${signer}.crt`), '-CAkey', join(root, `${signer}.key`)];
  const common = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', subject];
  execFileSync('openssl', [...common, '-keyout', key, '-out', cert, ...by, ...extra], { stdio: 'ignore' });
  return { cert, key };
}

describe('a kubeconfig that is wrong: one line that names the file and what is wrong', () => {
  const wrong: readonly (readonly [name: string, file: () => string, message: RegExp])[] = [
    ['is not there', () => join(root, 'none.yaml'), /^ENOENT: .*none\.yaml/],
    ['is empty', () => written(''), /the input is empty$/],
    ['is something else', () => written('- a'), /no kubeconfig: expected clusters, users and contexts$/],
    ['is no YAML', () => written('{'), /\.yaml: /],
    ['has no current context', () => kubeconfig({ whole: { 'current-context': '' } }), /: current-context is missing; name one of its contexts$/],
    ['names a context that is not there', () => kubeconfig({ whole: { 'current-context': 'y' } }), /: current-context is "y", and there is no such context$/],
    ['names a cluster that is not there', () => kubeconfig({ context: { cluster: 'd' } }), /: context "x" names cluster "d", which is not there$/],
    ['names a user that is not there', () => kubeconfig({ context: { user: 'v' } }), /: context "x" names user "v", which is not there$/],
    ['has no server', () => kubeconfig({ cluster: { insecure: true } }), /: clusters\[0\]\.cluster\.server is missing$/],
    [
      'has a server that is no URL',
      () => kubeconfig({ cluster: { server: 'somewhere' } }),
      /: the server of cluster "c" is "somewhere"; expected an https:\/\/ URL$/,
    ],
    [
      'has a proxy of an unknown kind',
      () => kubeconfig({ cluster: { server: 'https://a', 'proxy-url': 'ftp://b' } }),
      /the proxy-url of cluster "c" is "ftp:\/\/b"; expected/,
    ],
    ['names a certificate that is not there', () => kubeconfig({ user: { 'client-certificate': 'none.crt' } }), /: client-certificate: ENOENT: .*none\.crt/],
    ['holds a certificate that is none', () => kubeconfig({ user: { 'client-certificate-data': 'AAAA' } }), /: client-certificate is no PEM certificate$/],
  ];
  for (const [name, file, message] of wrong) {
    test(`it ${name}`, async () => {
      await assert.rejects(fromKubeconfig(file()), (error: Error) => {
        assert.equal(error.name, 'CredentialsError');
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      });
    });
  }

  function written(text: string): string {
    const file = join(root, `${++files}.yaml`);
    writeFileSync(file, text);
    return file;
  }

  test('its certificate has expired', async () => {
    const { cert, key } = certificate('old', '/CN=old');
    const file = kubeconfig({ user: { 'client-certificate': cert, 'client-key': key } });
    const inThreeDays = (): number => Date.now() + 3 * 86_400_000;
    await assert.rejects(
      fromKubeconfig(file, { now: inThreeDays }),
      /: the client certificate expired on \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z; have a new one issued$/,
    );
  });
});

describe('credentials', () => {
  test('a token, basic authentication, the namespace of the context', async () => {
    const access = await fromKubeconfig(kubeconfig({ user: { token: 'abc' }, context: { namespace: 'edge' } }));
    assert.deepEqual((await access.credentials()).headers, { authorization: 'Bearer abc' });
    assert.equal(access.namespace, 'edge');
    const basic = await fromKubeconfig(kubeconfig({ user: { username: 'a', password: 'b' } }));
    assert.equal((await basic.credentials()).headers.authorization, `Basic ${Buffer.from('a:b').toString('base64')}`);
    assert.equal(basic.namespace, 'default');
  });

  test('a token file is read again when the server does not know the token, its path counts from the kubeconfig', async (t) => {
    const fake = await FakeApiServer.start(t);
    fake.intercept = ({ authorization }, response) => {
      response.writeHead(authorization === 'Bearer new' ? 200 : 401).end('{}');
      return true;
    };
    writeFileSync(join(root, 'token'), 'old\n');
    const client = clientOf(t, await fromKubeconfig(kubeconfig({ cluster: { server: `http://127.0.0.1:${fake.port}` }, user: { tokenFile: 'token' } })));
    await assert.rejects(client.request({ method: 'GET', path: '/x' }), { status: 401 });
    writeFileSync(join(root, 'token'), 'new\n');
    await client.request({ method: 'GET', path: '/x' });
  });

  test('an exec plugin is run from the folder of the kubeconfig, told what is asked, asked once, and again after a 401', async (t) => {
    const fake = await FakeApiServer.start(t);
    const runs = join(root, 'runs');
    mkdirSync(join(root, 'bin'), { recursive: true });
    // Its token is the number of its runs.
    const script = `#!/bin/sh
echo "$KUBERNETES_EXEC_INFO $EXTRA" >> ${runs}
printf '{"kind":"ExecCredential","status":{"token":"t%s"}}' $(wc -l < ${runs} | tr -d ' ')`;
    writeFileSync(join(root, 'bin/plugin'), script, { mode: 0o755 });
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: './bin/plugin', args: [], env: [{ name: 'EXTRA', value: 'more' }] };
    const client = clientOf(t, await fromKubeconfig(kubeconfig({ cluster: { server: `http://127.0.0.1:${fake.port}` }, user: { exec } })));
    let good = 'Bearer t1';
    fake.intercept = ({ authorization }, response) => {
      response.writeHead(authorization === good ? 200 : 401).end('{}');
      return true;
    };
    await client.request({ method: 'GET', path: '/x' });
    await client.request({ method: 'GET', path: '/x' });
    good = 'Bearer t2';
    await client.request({ method: 'GET', path: '/x' });
    const lines = readFileSync(runs, 'utf8').trimEnd().split('\n');
    assert.equal(lines.length, 2);
    assert.equal(lines[0], '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}} more');
  });

  test('an exec plugin that fails, one that is not there, one that never ends: a line each', async (t) => {
    const plugin = async (command: string, args: readonly string[], pluginTimeout = 60_000) =>
      (await fromKubeconfig(kubeconfig({ user: { exec: { command, args } } }), { pluginTimeout })).credentials();
    await assert.rejects(plugin('sh', ['-c', 'echo "log in first" >&2; exit 1']), { name: 'CredentialsError', message: /: exec plugin sh: log in first$/ });
    await assert.rejects(plugin('no-such-plugin', []), { name: 'CredentialsError', message: /: exec plugin no-such-plugin: spawn no-such-plugin ENOENT$/ });
    const pid = join(root, 'pid');
    t.after(() => process.kill(Number(readFileSync(pid, 'utf8'))));
    await assert.rejects(plugin('sh', ['-c', `echo $$ > ${pid}; exec sleep 600`], 500), { message: /: exec plugin sh: no credentials within 0\.5 s$/ });
  });

  test('client certificates, the CA and the TLS server name are used, and a new certificate makes new connections', async (t) => {
    const ca = certificate('ca', '/CN=ca');
    const server = certificate('server', '/CN=server', ['-addext', 'subjectAltName=DNS:api.internal,IP:192.0.2.7'], 'ca');
    certificate('one', '/CN=one', [], 'ca');
    certificate('two', '/CN=two', [], 'ca');
    const read = (name: string): string => readFileSync(join(root, name), 'utf8');
    const options = { cert: readFileSync(server.cert), key: readFileSync(server.key), ca: readFileSync(ca.cert), requestCert: true, rejectUnauthorized: true };
    const https = createServer(options, (request, response) => {
      response.end(JSON.stringify((request.socket as TLSSocket).getPeerCertificate().subject.CN));
    });
    await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      https.closeAllConnections();
      https.close();
    });
    const url = `https://127.0.0.1:${(https.address() as AddressInfo).port}`;
    writeFileSync(join(root, 'me.crt'), read('one.crt'));
    writeFileSync(join(root, 'me.key'), read('one.key'));
    const user = { 'client-certificate': 'me.crt', 'client-key': 'me.key' };
    const cluster = { server: url, 'certificate-authority-data': Buffer.from(read('ca.crt')).toString('base64'), 'tls-server-name': 'api.internal' };
    const client = clientOf(t, await fromKubeconfig(kubeconfig({ cluster, user })));
    assert.equal(await client.request({ method: 'GET', path: '/' }), 'one');
    writeFileSync(join(root, 'me.crt'), read('two.crt'));
    writeFileSync(join(root, 'me.key'), read('two.key'));
    assert.equal(await client.request({ method: 'GET', path: '/' }), 'two');
    // As kubectl takes it, it may be an address too, though TLS has no server name for it.
    const byAddress = clientOf(t, await fromKubeconfig(kubeconfig({ cluster: { ...cluster, 'tls-server-name': '192.0.2.7' }, user })));
    assert.equal(await byAddress.request({ method: 'GET', path: '/' }), 'two');
    const wrongAddress = clientOf(t, await fromKubeconfig(kubeconfig({ cluster: { ...cluster, 'tls-server-name': '192.0.2.8' }, user })));
    await assert.rejects(wrongAddress.request({ method: 'GET', path: '/' }), { name: 'ConnectionError', fault: 'Tls', message: /192\.0\.2\.8/ });
    // Without the name the certificate is for somebody else; without the CA it is from nobody.
    for (const bad of [
      { ...cluster, 'tls-server-name': undefined },
      { server: url, 'tls-server-name': 'api.internal' },
    ]) {
      const other = clientOf(t, await fromKubeconfig(kubeconfig({ cluster: bad, user })));
      await assert.rejects(other.request({ method: 'GET', path: '/' }), { name: 'ConnectionError', fault: 'Tls' });
    }
  });
});

test('in a pod: address, token, CA and namespace; a token that is renewed is read again', async (t) => {
  const folder = mkdtempSync(join(root, 'account-'));
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  let now = 0;
  const access = (): ReturnType<typeof inCluster> => inCluster({ host: 'fd00::1', port: '443', folder, now: () => now });
  await assert.rejects(access(), { name: 'CredentialsError', message: /^the pod's ServiceAccount: ENOENT: .*(token|ca\.crt)/ });
  write('token', 'one\n');
  write('ca.crt', 'ca');
  write('namespace', 'edge');
  const pod = await access();
  assert.equal(pod.server, 'https://[fd00::1]:443');
  assert.equal(pod.namespace, 'edge');
  assert.deepEqual(await pod.credentials(), { headers: { authorization: 'Bearer one' }, tls: { ca: 'ca' } });
  write('token', 'two');
  assert.equal((await pod.credentials()).headers.authorization, 'Bearer one');
  now += 60_000;
  assert.equal((await pod.credentials()).headers.authorization, 'Bearer two');
  write('token', 'three');
  pod.forget();
  assert.equal((await pod.credentials()).headers.authorization, 'Bearer three');

  const fake = await FakeApiServer.start(t);
  write('token', 'four');
  const client = fake.client(t, { credentials: pod.credentials, forget: pod.forget });
  fake.intercept = ({ authorization }, response) => {
    response.writeHead(authorization === 'Bearer four' ? 200 : 401).end('{}');
    return true;
  };
  await client.request({ method: 'GET', path: '/x' });
});

function clientOf(t: TestContext, access: Awaited<ReturnType<typeof fromKubeconfig>>): ApiClient {
  const client = new ApiClient(access);
  t.after(() => client.close());
  return client;
}
