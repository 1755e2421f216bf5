/** Certificates by server name, rotation without a dropped connection, resumption over workers, redirects. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls';
import { answering, Backend } from './backend.ts';
import { get, RawConnection, raw } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, PATIENCE, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

let backend: Backend;
let gateway: GatewayUnderTest;
const scratch = mkdtempSync(join(tmpdir(), 'tidegate-tls-'));

interface Pair {
  readonly cert: string;
  readonly key: string;
}

function makeCertificate(name: string, algorithm: 'rsa' | 'ec' = 'ec'): Pair {
  const key = join(scratch, 'key.pem');
  const cert = join(scratch, 'cert.pem');
  const kind = algorithm === 'rsa' ? ['-newkey', 'rsa:2048'] : ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-nodes', ...kind, '-keyout', key, '-out', cert, '-days', '30', '-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`],
    { stdio: 'ignore' },
  );
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}

function secret(name: string, { cert, key }: Pair): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return `---
apiVersion: v1
kind: Secret
metadata: { name: ${name} }
type: kubernetes.io/tls
data: { tls.crt: ${base64(cert)}, tls.key: ${base64(key)} }
`;
}

before(async () => {
  backend = await Backend.start(wholeFile, answering('ok'));
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'service.yaml': service('web', [backend.port]),
      'a-secret.yaml': secret('a', makeCertificate('a.test')),
      'wild-secret.yaml': secret('wild', makeCertificate('*.wild.test', 'rsa')),
      'routes.yaml':
        apiRoute('a', '  hostnames: [a.test]\n  tls: { secretName: a }\n  rules: [{ backendRefs: [{ name: web, port: 80 }] }]') +
        apiRoute('wild', '  hostnames: ["*.wild.test"]\n  tls: { secretName: wild, redirect: true }\n  rules: [{ backendRefs: [{ name: web, port: 80 }] }]') +
        apiRoute('plain', '  hostnames: [plain.test]\n  rules: [{ backendRefs: [{ name: web, port: 80 }] }]') +
        apiRoute(
          'any',
          '  tls: { secretName: nowhere, redirect: true }\n  rules: [{ matches: [{ path: { value: /hostless } }], backendRefs: [{ name: web, port: 80 }] }]',
        ) +
        apiRoute('missing', '  hostnames: [missing.test]\n  tls: { secretName: nowhere }\n  rules: [{ backendRefs: [{ name: web, port: 80 }] }]'),
      'ingress.yaml': `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: ing }
spec:
  ingressClassName: tidegate
  tls: [{ hosts: [ing.test], secretName: a }]
  rules: [{ host: ing.test, http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: web, port: { number: 80 } } } }] } }]
`,
    },
    ['--workers', '2'],
  );
});
after(() => rmSync(scratch, { recursive: true }));

async function handshake(servername: string, options: object = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: gateway.https, host: '127.0.0.1', servername, rejectUnauthorized: false, ...options }, () => resolve(socket));
    endWith(wholeFile, () => socket.destroy());
    socket.once('error', reject);
  });
}

async function certificateOf(servername: string): Promise<PeerCertificate> {
  const socket = await handshake(servername);
  const certificate = socket.getPeerCertificate();
  socket.destroy();
  return certificate;
}

async function httpsGet(host: string, agent: Agent | false = false): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    request({ port: gateway.https, host: '127.0.0.1', servername: host, headers: { host }, rejectUnauthorized: false, agent }, (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });
}

test('certificates by exact and wildcard name, else the default one', async () => {
  assert.equal((await certificateOf('a.test')).subject.CN, 'a.test');
  assert.equal((await certificateOf('x.wild.test')).subject.CN, '*.wild.test');
  const unknown = (await certificateOf('unknown.test')).subject.CN;
  assert.notEqual(unknown, 'a.test');
  assert.equal((await certificateOf('missing.test')).subject.CN, unknown);
});

test('requests over TLS reach the backend and say so', async () => {
  assert.deepEqual(await httpsGet('a.test'), { status: 200, body: 'ok' });
  assert.match(backend.requests.at(-1)?.head ?? '', /X-Forwarded-Proto: https/);
  assert.equal((await httpsGet('plain.test')).status, 200);
  const line = await gateway.untilAccess((entry) => entry.sni === 'a.test');
  assert.equal(line.tlsVersion, 'TLSv1.3');
});

test('TLS 1.2 and 1.3, and nothing older', async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await handshake('a.test', { minVersion: version, maxVersion: version });
    assert.equal(socket.getProtocol(), version);
    socket.destroy();
  }
  await assert.rejects(handshake('a.test', { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
  await assert.rejects(handshake('a.test', { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }));
});

test('redirects: tls.redirect and an Ingress with tls, 308; an ApiRoute with TLS alone serves both', async () => {
  const wild = await get(gateway.http, '/p?q=1', { host: 'x.wild.test:8080' });
  assert.equal(wild.status, 308);
  assert.equal(wild.headers.location, 'https://x.wild.test/p?q=1');
  assert.equal((await get(gateway.http, '/', { host: 'ing.test' })).status, 308);
  assert.equal((await get(gateway.http, '/', { host: 'a.test' })).status, 200);
});

test('a redirect to HTTPS needs a host: HTTP/1.0 without one gets 400, not a Location without a host', async () => {
  assert.match(await raw(gateway.http, 'GET /hostless HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 400 (?!.*^location:)/ims);
  assert.equal((await gateway.untilAccess((line) => line.path === '/hostless')).reason, 'host_missing');
  assert.match(await raw(gateway.http, 'GET /hostless HTTP/1.0\r\nHost: any.test\r\n\r\n'), /^location: https:\/\/any\.test\/hostless\r$/im);
});

test('sessions resume on whichever worker takes the connection', async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    // With TLS 1.2 the session comes before the handshake is reported, with 1.3 after it.
    const session = await new Promise<Buffer>((resolve, reject) => {
      const first = connect({
        port: gateway.https,
        host: '127.0.0.1',
        servername: 'a.test',
        rejectUnauthorized: false,
        minVersion: version,
        maxVersion: version,
      });
      endWith(wholeFile, () => first.destroy());
      first.once('error', reject);
      first.once('session', (taken) => {
        resolve(taken);
        first.destroy();
      });
    });
    for (let index = 0; index < 12; index++) {
      const again = await handshake('a.test', { minVersion: version, maxVersion: version, session });
      assert.ok(again.isSessionReused(), `${version}, try ${index}`);
      again.destroy();
    }
  }
});

test('a new certificate is used at once, no connection is dropped, a bad one changes nothing', async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  endWith(t, () => agent.destroy());
  assert.equal((await httpsGet('a.test', agent)).status, 200);
  const before = (await certificateOf('a.test')).fingerprint256;
  await gateway.write('a-secret.yaml', secret('a', makeCertificate('a.test')));
  const rotatedAt = Date.now();
  let after = before;
  while (after === before && Date.now() - rotatedAt < PATIENCE) after = (await certificateOf('a.test')).fingerprint256;
  assert.notEqual(after, before);
  assert.equal((await httpsGet('a.test', agent)).status, 200);
  await gateway.write('a-secret.yaml', secret('a', { cert: makeCertificate('a.test').cert, key: makeCertificate('a.test').key }));
  await gateway.untilLogged('object has a problem', (line) => line.object === 'Secret/default/a');
  assert.equal((await certificateOf('a.test')).fingerprint256, after);
});

test('plain text on the TLS port, and clients that vanish in a handshake, harm nobody', async () => {
  await raw(gateway.https, 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
  for (let index = 0; index < 20; index++) (await RawConnection.open(wholeFile, gateway.https)).close();
  assert.equal((await httpsGet('a.test')).status, 200);
});
