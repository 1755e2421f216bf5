/** TLS to backends on the built program: verified, with a certificate of the gateway's own, through rotations, and each way to fail. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import tls, { type TLSSocket } from 'node:tls';
import { Authority, type IssuedCertificate, selfSigned } from '../certificates/authority.ts';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, PATIENCE, wholeFile } from './lifetime.ts';
import { apiRoute } from './manifests.ts';

const DAY = 86_400_000;
const authority = new Authority('Backend Root');
const clients = new Authority('Client Root');

/** Answers each request with who asked, and how. */
class SecureBackend {
  readonly server: tls.Server;
  /** Of each handshake. */
  readonly serverNames: string[] = [];
  requests = 0;
  readonly #sockets = new Set<TLSSocket>();

  constructor(certificate: IssuedCertificate, options: tls.TlsOptions = {}) {
    this.server = tls.createServer({ cert: certificate.cert, key: certificate.key, ...options }, (socket) => {
      this.#sockets.add(socket);
      this.serverNames.push(String(socket.servername));
      const subject = socket.getPeerCertificate()?.subject?.CN ?? 'nobody';
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {});
      socket.on('data', () => {
        this.requests++;
        const body = `${subject} by ${socket.alpnProtocol || 'no protocol'}`;
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      });
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get open(): number {
    return this.#sockets.size;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

function indented(text: string): string {
  return text.trim().replace(/^/gm, '    ');
}

function configMap(name: string, ca: string): string {
  return `---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name} }\ndata:\n  ca.crt: |\n${indented(ca)}\n`;
}

function tlsSecret(name: string, { cert, key }: IssuedCertificate): string {
  return `---\napiVersion: v1\nkind: Secret\nmetadata: { name: ${name} }\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n${indented(cert)}\n  tls.key: |\n${indented(key)}\n`;
}

/** A Service, a route to it by its name as the path, and a BackendPolicy. */
function behind(name: string, port: number, policy: string | undefined, appProtocol = ''): string {
  const written = appProtocol === '' ? '' : `, appProtocol: ${appProtocol}`;
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { ports: [{ name: web, port: 80${written} }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ name: web, port: ${port}, protocol: TCP }]
endpoints: [{ addresses: [127.0.0.1] }]
${apiRoute(name, `  rules: [{ matches: [{ path: { value: /${name} } }], backendRefs: [{ name: ${name}, port: 80 }] }]`)}
${policy === undefined ? '' : `---\napiVersion: tidegate.dev/v1alpha1\nkind: BackendPolicy\nmetadata: { name: ${name} }\nspec:\n  targetRefs: [{ kind: Service, name: ${name} }]\n  tls: ${policy}\n`}`;
}

const BY_CA = '{ hostname: backend.test, caCertificateRefs: [{ name: ca }] }';

const CHECKS = '  healthCheck: { active: { interval: 50ms, timeout: 10s, unhealthyThreshold: 1 } }';

let gateway: GatewayUnderTest;
const backends: SecureBackend[] = [];
const byName = new Map<string, SecureBackend>();

async function backend(name: string, certificate: IssuedCertificate, options?: tls.TlsOptions): Promise<number> {
  const started = await new SecureBackend(certificate, options).start();
  backends.push(started);
  byName.set(name, started);
  return started.port;
}

before(async () => {
  const good = authority.issue({ names: ['backend.test', 'by-service.default.svc', 'mutual.test'] });
  const past = { notBefore: new Date(Date.now() - 9 * DAY), notAfter: new Date(Date.now() - DAY) };
  const plain = createServer((_, response) => response.end('plain'));
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  endWith(wholeFile, () => new Promise((resolve) => plain.close(resolve)));
  const mutual = { requestCert: true, rejectUnauthorized: true, ca: clients.cert };
  const skip = '{ insecureSkipVerify: true }';
  const files = {
    'a-trust.yaml': configMap('ca', authority.cert) + configMap('empty', 'nothing of use') + tlsSecret('own', clients.issue({ subject: 'gateway-1' })),
    'b-routes.yaml': [
      behind('good', await backend('good', good, { ALPNProtocols: ['h2', 'http/1.1'] }), BY_CA),
      behind('no-alpn', await backend('no-alpn', good), BY_CA),
      behind('by-service', await backend('by-service', good), '{ caCertificateRefs: [{ name: ca, kind: ConfigMap }] }'),
      behind('rotating', await backend('rotating', good), '{ hostname: backend.test, caCertificateRefs: [{ name: rotating-ca }] }'),
      behind(
        'mutual',
        await backend('mutual', good, mutual),
        '{ hostname: mutual.test, caCertificateRefs: [{ name: ca }], clientCertificateRef: { name: own } }',
      ),
      behind(
        'checked',
        await backend('checked', good, mutual),
        `{ hostname: mutual.test, caCertificateRefs: [{ name: ca }], clientCertificateRef: { name: own } }\n${CHECKS}`,
      ),
      behind('checked-expired', await backend('checked-expired', authority.issue({ names: ['backend.test'], ...past })), `${BY_CA}\n${CHECKS}`),
      behind('unshown', await backend('unshown', good, { ...mutual, maxVersion: 'TLSv1.2' }), BY_CA),
      behind('expired', await backend('expired', authority.issue({ names: ['backend.test'], ...past })), BY_CA),
      behind('wrong-name', await backend('wrong-name', authority.issue({ names: ['other.test'] })), BY_CA),
      behind('self-signed', await backend('self-signed', selfSigned('backend.test')), BY_CA),
      behind('skipped', await backend('skipped', selfSigned('whoever.test')), skip),
      behind('unknown', await backend('unknown', new Authority('Other').issue({ names: ['backend.test'] })), BY_CA),
      behind('only-h2', await backend('only-h2', good, { ALPNProtocols: ['h2'] }), BY_CA),
      behind('system', await backend('system', good), '{ hostname: backend.test, wellKnownCACertificates: System }'),
      behind('app-protocol', await backend('app-protocol', good), undefined, 'https'),
      behind('plain', (plain.address() as AddressInfo).port, BY_CA),
      behind('bad-bundle', await backend('bad-bundle', good), '{ hostname: backend.test, caCertificateRefs: [{ name: empty }] }'),
    ].join(''),
    'ingress.yaml': `${behind('annotated', await backend('annotated', selfSigned('whoever.test')), undefined)}---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: annotated, annotations: { nginx.ingress.kubernetes.io/backend-protocol: HTTPS } }
spec:
  ingressClassName: tidegate
  rules: [{ host: annotated.test, http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: annotated, port: { number: 80 } } } }] } }]
`,
    'rotating.yaml': configMap('rotating-ca', authority.cert),
  };
  gateway = await GatewayUnderTest.start(wholeFile, files, ['--workers', '1']);
});
after(async () => {
  for (const one of backends) await one.stop();
});

test('a verified backend gets requests, one connection for many', async () => {
  for (let count = 0; count < 5; count++) assert.equal((await get(gateway.http, '/good')).body, 'nobody by http/1.1');
  assert.deepEqual(byName.get('good')?.serverNames, ['backend.test']);
  assert.equal((await get(gateway.http, '/no-alpn')).body, 'nobody by no protocol');
});

test('without a hostname the Service has its name in the cluster', async () => {
  assert.equal((await get(gateway.http, '/by-service')).status, 200);
  assert.deepEqual(byName.get('by-service')?.serverNames, ['by-service.default.svc']);
});

test('shows its certificate to who asks for one', async () => {
  assert.equal((await get(gateway.http, '/mutual')).body, 'gateway-1 by no protocol');
});

test('takes any certificate where it is told to', async () => {
  assert.equal((await get(gateway.http, '/skipped')).status, 200);
});

test('an Ingress says by its annotation that the backend speaks HTTPS, which is not verified', async () => {
  assert.equal((await get(gateway.http, '/', { host: 'annotated.test' })).status, 200);
  assert.deepEqual(byName.get('annotated')?.serverNames, ['annotated.default.svc']);
});

describe('what does not verify is 502 with the reason in log and metric, and gets no request', () => {
  const cases = [
    ['expired', 'expired'],
    ['wrong-name', 'name'],
    ['self-signed', 'self_signed'],
    ['unknown', 'untrusted'],
    ['only-h2', 'alpn'],
    ['system', 'untrusted'],
    ['app-protocol', 'untrusted'],
    ['plain', 'protocol'],
    ['bad-bundle', 'untrusted'],
    // With TLS 1.3 the refusal comes after the handshake, and may be lost in the reset that follows it.
    ['unshown', 'handshake'],
  ] as const;
  for (const [name, reason] of cases) {
    test(`${name}: ${reason}`, async () => {
      const answer = await get(gateway.http, `/${name}`);
      assert.equal(answer.status, 502);
      assert.deepEqual(Object.keys(JSON.parse(answer.body)).sort(), ['detail', 'requestId', 'status', 'title', 'type']);
      assert.doesNotMatch(answer.body, /backend\.test|127\.0\.0\.1|certificate|expired/i);
      const line = await gateway.untilAccess(({ path }) => path === `/${name}`);
      assert.equal(line.reason, `upstream_tls_${reason}`);
      assert.equal(byName.get(name)?.requests ?? 0, 0);
      const metrics = (await get(gateway.admin, '/metrics')).body;
      assert.match(metrics, new RegExp(`tidegate_upstream_tls_failures_total\\{upstream="default/${name}/80",reason="${reason}"\\} [1-9]`));
    });
  }
});

test('a new certificate of the gateway is shown on new connections, and those of the old one end; no request fails', async () => {
  const mutual = byName.get('mutual') as SecureBackend;
  assert.equal((await get(gateway.http, '/mutual')).body, 'gateway-1 by no protocol');
  await gateway.write(
    'a-trust.yaml',
    configMap('ca', authority.cert) + configMap('empty', 'nothing') + tlsSecret('own', clients.issue({ subject: 'gateway-2' })),
  );
  await gateway.until('/mutual', (status, body) => {
    assert.equal(status, 200);
    return body === 'gateway-2 by no protocol';
  });
  for (const deadline = Date.now() + PATIENCE; mutual.open > 1; ) {
    assert.ok(Date.now() < deadline, 'the connection of the old certificate stays open');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
});

test('a new authority: verified by it at once; one that is no good leaves the last good one', async () => {
  assert.equal((await get(gateway.http, '/rotating')).status, 200);
  await gateway.write('rotating.yaml', configMap('rotating-ca', 'no certificate at all'));
  await gateway.write(
    'marker.yaml',
    apiRoute('marker', '  rules: [{ matches: [{ path: { value: /marker } }], filters: { directResponse: { statusCode: 200, body: one } } }]'),
  );
  await gateway.until('/marker', (status) => status === 200);
  assert.equal((await get(gateway.http, '/rotating')).status, 200);
  await gateway.write('rotating.yaml', configMap('rotating-ca', new Authority('Newer Root').cert));
  // The pooled connection was verified by the old authority, so it is not used any more.
  await gateway.until('/rotating', (status) => status === 502);
  await gateway.write('rotating.yaml', configMap('rotating-ca', `${new Authority('Newer Root').cert}\n${authority.cert}`));
  await gateway.until('/rotating', (status) => status === 200);
});

test('health checks are made over TLS, with the same trust and the same certificate as requests', async () => {
  const bad = await gateway.untilLogged('endpoint is unhealthy');
  assert.deepEqual([bad.upstream, bad.outcome], ['default/checked-expired/80', 'CERT_HAS_EXPIRED']);
  assert.equal((await get(gateway.http, '/checked-expired')).status, 503);
  const passed = /tidegate_health_checks_total\{upstream="default\/checked\/80",result="passed"\} [1-9]/;
  for (const deadline = Date.now() + PATIENCE; !passed.test((await get(gateway.admin, '/metrics')).body); ) assert.ok(Date.now() < deadline, 'no check passes');
  assert.equal((await get(gateway.http, '/checked')).status, 200);
  assert.ok(gateway.log.every(({ msg, upstream }) => msg !== 'endpoint is unhealthy' || upstream === 'default/checked-expired/80'));
});
