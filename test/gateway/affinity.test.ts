/** Session affinity by cookie, over two workers, and over two gateways that share a key. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { answering, Backend } from './backend.ts';
import { type Answer, get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, endpoints, service } from './manifests.ts';

let backends: Backend[];
let gateway: GatewayUnderTest;
let key: string;

const affinity = (name: string, settings: string): string => `---
apiVersion: tidegate.dev/v1alpha1
kind: BackendPolicy
metadata: { name: ${name} }
spec: { targetRefs: [{ kind: Service, name: ${name} }], sessionAffinity: ${settings} }
`;

function manifests(): Record<string, string> {
  const ports = backends.map((backend) => backend.port);
  return {
    'services.yaml': service('web', ports) + service('stay', ports) + service('next', ports),
    'policies.yaml': affinity('web', '{ ttl: 10m }') + affinity('stay', '{ cookieName: S, mode: Persistent }') + affinity('next', '{}'),
    'routes.yaml': apiRoute(
      'routes',
      `  rules:
    - matches: [{ path: { value: /stay } }]
      backendRefs: [{ name: stay, port: 80 }]
    - matches: [{ path: { value: /split } }]
      backendRefs: [{ name: web, port: 80, weight: 1 }, { name: next, port: 80, weight: 9, filters: { responseHeaderModifier: { set: [{ name: x-ref, value: next }] } } }]
    - backendRefs: [{ name: web, port: 80 }]`,
    ),
  };
}

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-affinity-'));
  endWith(wholeFile, () => rmSync(folder, { recursive: true }));
  key = join(folder, 'key');
  writeFileSync(key, randomBytes(32).toString('hex'));
  backends = await Promise.all(['a', 'b', 'c'].map((name) => Backend.start(wholeFile, answering(name))));
  gateway = await GatewayUnderTest.start(wholeFile, manifests(), ['--workers', '2', '--affinity-key-file', key]);
});

/** The pair of an answer's Set-Cookie, as a client sends it back. */
function pair(answer: Answer): string {
  const cookie = answer.headers['set-cookie']?.[0] ?? '';
  assert.match(cookie, /^(TG|S)=[A-Za-z0-9_-]{22}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/);
  return cookie.slice(0, cookie.indexOf(';'));
}

test('a client stays at one endpoint, whichever worker takes its connection', async () => {
  const first = await get(gateway.http, '/');
  const cookie = pair(first);
  assert.match(first.headers['set-cookie']?.[0] ?? '', /Max-Age=600;/);
  for (let index = 0; index < 30; index++) {
    const answer = await get(gateway.http, '/', { cookie: `other=1; ${cookie}` });
    assert.deepEqual([answer.body, answer.headers['set-cookie']], [first.body, undefined]);
  }
  // Without it they go round.
  const bodies = new Set<string>();
  for (let index = 0; index < 12; index++) bodies.add((await get(gateway.http, '/')).body);
  assert.deepEqual([...bodies].sort(), ['a', 'b', 'c']);
});

test('weighted backendRefs: the cookie keeps the ref, too', async () => {
  const first = await get(gateway.http, '/split');
  for (let index = 0; index < 20; index++) {
    const answer = await get(gateway.http, '/split', { cookie: pair(first) });
    assert.deepEqual([answer.body, answer.headers['x-ref']], [first.body, first.headers['x-ref']]);
  }
});

test('another gateway with the same key keeps the client where it is', async (t) => {
  const first = await get(gateway.http, '/');
  const other = await GatewayUnderTest.start(t, manifests(), ['--workers', '1', '--affinity-key-file', key]);
  for (let index = 0; index < 6; index++) assert.equal((await get(other.http, '/', { cookie: pair(first) })).body, first.body);
});

test('on HTTPS the cookie is Secure', async () => {
  const cookies = await new Promise<string[] | undefined>((resolve, reject) => {
    const outgoing = httpsRequest({ host: '127.0.0.1', port: gateway.https, path: '/', rejectUnauthorized: false, agent: false }, (response) => {
      response.resume();
      resolve(response.headers['set-cookie']);
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
  assert.match(cookies?.[0] ?? '', /; HttpOnly; SameSite=Lax; Secure$/);
});

test('an answer of the gateway itself sets no cookie', async () => {
  const answer = await get(gateway.http, '/%2f');
  assert.deepEqual([answer.status, answer.headers['set-cookie']], [400, undefined]);
});

test('an endpoint that is gone: Balanced and Persistent give another one, and its cookie', async () => {
  const balanced = await get(gateway.http, '/');
  const persistent = await get(gateway.http, '/stay');
  const left = (body: string): number[] => backends.filter((_, index) => ['a', 'b', 'c'][index] !== body).map((backend) => backend.port);
  await gateway.write('services.yaml', service('web', left(balanced.body)) + service('stay', left(persistent.body)) + endpoints('next', []));
  await gateway.until('/', (status, body) => status === 200 && body !== balanced.body, { cookie: pair(balanced) });
  await gateway.until('/stay', (status, body) => status === 200 && body !== persistent.body, { cookie: pair(persistent) });
  const moved = await get(gateway.http, '/', { cookie: pair(balanced) });
  assert.notEqual(pair(moved), pair(balanced));
  assert.equal((await get(gateway.http, '/', { cookie: pair(moved) })).body, moved.body);
});
