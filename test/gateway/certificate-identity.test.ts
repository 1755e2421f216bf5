/** Client certificates as identity: AuthPolicies with the method clientCertificate, on real TLS connections. */
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { before, test } from 'node:test';
import { Authority, type IssuedCertificate } from '../certificates/authority.ts';
import { answering, Backend } from './backend.ts';
import { type Answer, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

const DAY = 86_400_000;
const authority = new Authority('Client Root');
const good = authority.issue({ subject: 'acme' });
const unknown = authority.issue({ subject: 'nobody in particular' });
const revoked = authority.issue({ subject: 'revoked' });
const expired = authority.issue({ subject: 'acme', notBefore: new Date(Date.now() - 9 * DAY), notAfter: new Date(Date.now() - DAY) });
/** Has the subject of the good one. */
const stranger = new Authority('Unknown Root').issue({ subject: 'acme' });

const FORGED = {
  'client-cert': ':Zm9yZ2Vk:',
  'ssl-client-verify': 'SUCCESS',
  'ssl-client-subject-dn': 'CN=acme',
  'x-forwarded-client-cert': 'Subject="CN=acme"',
};

let backend: Backend;
let gateway: GatewayUnderTest;

function configMap(data: Readonly<Record<string, string>>): string {
  const lines = Object.entries(data).map(([key, text]) => `  ${key}: |\n${text.trim().replace(/^/gm, '    ')}\n`);
  return `---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: ca }\ndata:\n${lines.join('')}`;
}

function route(name: string, mode: string, policy: string): string {
  const tls = `{ clientValidation: { caCertificateRefs: [{ name: ca }], crlRefs: [{ name: ca }], mode: ${mode} } }`;
  return `${apiRoute(name, `  hostnames: [${name}.test]\n  tls: ${tls}\n  rules: [{ backendRefs: [{ name: web, port: 80 }] }]`)}---
apiVersion: tidegate.dev/v1alpha1
kind: AuthPolicy
metadata: { name: ${name}, namespace: default }
spec:
  targetRefs: [{ kind: ApiRoute, name: ${name} }]
${policy}
`;
}

const TOLD = `  forward: { headers: { x-subject: identity.subject, x-consumer: "string(identity.consumer)" } }`;

before(async () => {
  backend = await Backend.start(wholeFile, answering('ok'));
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'all.yaml':
        service('web', [backend.port]) +
        configMap({ 'ca.crt': authority.cert, 'ca.crl': authority.revocationList([revoked]) }) +
        `---
apiVersion: tidegate.dev/v1alpha1
kind: ApiConsumer
metadata: { name: acme, namespace: default }
spec: { groups: [gold], certificateSubjects: ["CN=acme"] }
` +
        route('require', 'Require', `  methods: [{ clientCertificate: {} }]\n${TOLD}`.replace('"string(identity.consumer)"', 'identity.subject')) +
        route('request', 'Request', `  methods: [{ clientCertificate: {} }]\n  authorization: [{ expression: "'gold' in identity.groups" }]\n${TOLD}`) +
        route('either', 'Request', '  methods: [{ clientCertificate: {} }]\n  anonymous: Allow'),
    },
    ['--workers', '1'],
  );
});

let visits = 0;

/** One request on a connection of its own. */
async function visit(host: string, certificate: IssuedCertificate | undefined, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const path = `/visit-${++visits}`;
  return new Promise((resolve, reject) => {
    const identity = certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key };
    const outgoing = request(
      { host: '127.0.0.1', port: gateway.https, servername: host, rejectUnauthorized: false, agent: false, path, headers: { host, ...headers }, ...identity },
      (response) => {
        let body = '';
        response.setEncoding('latin1').on('data', (text: string) => {
          body += text;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}

const seen = (name: string): string | undefined => new RegExp(`^${name}: *(.*?)\\r?$`, 'im').exec(backend.requests.at(-1)?.head ?? '')?.[1];

test('a good certificate is its subject, and the consumer of that subject', async () => {
  const answer = await visit('request.test', good, { 'x-subject': 'CN=admin', ...FORGED });
  assert.equal(answer.status, 200);
  assert.deepEqual([seen('x-subject'), seen('x-consumer')], ['CN=acme', 'acme']);
  assert.doesNotMatch(backend.requests.at(-1)?.head ?? '', /Zm9yZ2Vk|ssl-client|x-forwarded-client-cert|CN=admin/i);
  assert.equal((await visit('require.test', unknown)).status, 200);
  assert.equal(seen('x-subject'), 'CN=nobody in particular');
});

test('who is known and not allowed gets 403', async () => {
  const answer = await visit('request.test', unknown, FORGED);
  assert.deepEqual([answer.status, answer.headers['www-authenticate']], [403, undefined]);
});

test('mode Request: none, and none that is good, is nobody, whatever the headers say', async () => {
  const before = backend.requests.length;
  for (const [certificate, reason] of [
    [undefined, 'no_credential'],
    [stranger, 'client_certificate_not_good'],
    [expired, 'client_certificate_not_good'],
    [revoked, 'client_certificate_not_good'],
  ] as const) {
    const answer = await visit('request.test', certificate, FORGED);
    assert.deepEqual([answer.status, answer.headers['www-authenticate']], [401, 'ClientCertificate'], reason);
    assert.equal((await gateway.untilAccess(({ path }) => path === `/visit-${visits}`)).reason, reason);
  }
  assert.equal(backend.requests.length, before);
});

test('mode Require: TLS has the first word', async () => {
  for (const certificate of [undefined, stranger, expired, revoked]) assert.equal((await visit('require.test', certificate, FORGED)).status, 403);
});

test('anonymous: Allow lets in who shows none, and nobody with a bad one', async () => {
  assert.equal((await visit('either.test', undefined, FORGED)).status, 200);
  assert.doesNotMatch(backend.requests.at(-1)?.head ?? '', /client-cert|ssl-client/i);
  for (const certificate of [stranger, expired, revoked]) assert.equal((await visit('either.test', certificate)).status, 401);
});

test('without TLS there is no certificate, and no way in', async () => {
  const answer = await send(gateway.http, '/', { headers: { host: 'request.test', ...FORGED } });
  assert.ok([403, 308].includes(answer.status), String(answer.status));
});
