/** Canaries: Ingresses with ingress-nginx's annotations, and ApiRoutes that match headers and cookies. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { answering, Backend } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

let gateway: GatewayUnderTest;

const ingress = (name: string, to: string, annotations: Readonly<Record<string, string>>): string => `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: ${name}
  annotations: ${JSON.stringify(Object.fromEntries(Object.entries(annotations).map(([key, value]) => [`nginx.ingress.kubernetes.io/${key}`, value])))}
spec:
  ingressClassName: tidegate
  rules:
    - host: ${name.replace('-canary', '')}.test
      http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: ${to}, port: { number: 80 } } } }] }
`;

before(async () => {
  const main = await Backend.start(wholeFile, answering('main'));
  const next = await Backend.start(wholeFile, answering('next'));
  const files = {
    'services.yaml': service('main', [main.port]) + service('next', [next.port]),
    'ingresses.yaml': [
      ingress('all', 'main', { affinity: 'cookie' }),
      ingress('all-canary', 'next', { canary: 'true', 'canary-by-header': 'X-Canary', 'canary-by-cookie': 'canary', 'canary-weight': '20' }),
      ingress('value-canary', 'next', { canary: 'true', 'canary-by-header': 'X-User', 'canary-by-header-pattern': '^ann' }),
      ingress('value', 'main', {}),
      ingress('alone-canary', 'next', { canary: 'true', 'canary-weight': '100' }),
    ].join(''),
    'routes.yaml': apiRoute(
      'api',
      `  hostnames: [api.test]
  rules:
    - matches: [{ headers: [{ name: x-canary, value: always }] }, { cookies: [{ name: canary, value: always }] }]
      backendRefs: [{ name: next, port: 80 }]
    - backendRefs: [{ name: main, port: 80 }]`,
    ),
  };
  gateway = await GatewayUnderTest.start(wholeFile, files, ['--workers', '1']);
});

const body = async (host: string, headers: Readonly<Record<string, string>> = {}): Promise<string> => (await get(gateway.http, '/', { host, ...headers })).body;

test('Ingress: the header decides before the cookie, the cookie before the weight', async () => {
  for (const [headers, expected] of [
    [{ 'x-canary': 'always' }, 'next'],
    [{ 'x-canary': 'never' }, 'main'],
    [{ cookie: 'canary=always' }, 'next'],
    [{ cookie: 'canary=never' }, 'main'],
    [{ 'x-canary': 'never', cookie: 'canary=always' }, 'main'],
    [{ 'x-canary': 'always', cookie: 'canary=never' }, 'next'],
    [{ 'x-canary': 'other', cookie: 'canary=always' }, 'next'],
  ] as const) {
    for (let round = 0; round < 5; round++) assert.equal(await body('all.test', headers), expected, JSON.stringify(headers));
  }
});

test('Ingress: the rest goes by weight, exactly, and a client stays where it was sent', async () => {
  const bodies: string[] = [];
  for (let index = 0; index < 100; index++) bodies.push(await body('all.test'));
  assert.equal(bodies.filter((one) => one === 'next').length, 20);
  const first = await get(gateway.http, '/', { host: 'all.test' });
  const cookie = /^INGRESSCOOKIE=[^;]+/.exec(first.headers['set-cookie']?.[0] ?? '')?.[0] ?? '';
  for (let index = 0; index < 20; index++) assert.equal(await body('all.test', { cookie }), first.body);
});

test('Ingress: a header by pattern, found anywhere in its value', async () => {
  assert.equal(await body('value.test', { 'x-user': 'anna' }), 'next');
  assert.equal(await body('value.test', { 'x-user': 'joanna' }), 'main');
  assert.equal(await body('value.test'), 'main');
});

test('Ingress: a canary without a main one serves nobody', async () => {
  assert.equal((await get(gateway.http, '/', { host: 'alone.test' })).status, 404);
});

test('ApiRoute: by header, else by cookie', async () => {
  assert.equal(await body('api.test', { 'x-canary': 'always' }), 'next');
  assert.equal(await body('api.test', { cookie: 'a=b; canary=always' }), 'next');
  assert.equal(await body('api.test', { cookie: 'canary=never' }), 'main');
  assert.equal(await body('api.test'), 'main');
});
