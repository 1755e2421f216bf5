/** Endpoints that turn bad, and what two workers make of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { before, test } from 'node:test';
import { answering, Backend, type Responder } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

/** Answers as it is called, but for checks, which are answered with a status that can be changed. */
class CheckedBackend {
  readonly backend: Backend;
  status = 200;

  private constructor(backend: Backend, name: string) {
    this.backend = backend;
    const ordinary = answering(name);
    backend.respond = (request, socket) =>
      request.head.startsWith('GET /healthz') ? `HTTP/1.1 ${this.status} Any\r\nContent-Length: 0\r\n\r\n` : ordinary(request, socket);
  }

  static async start(name: string): Promise<CheckedBackend> {
    return new CheckedBackend(await Backend.start(wholeFile), name);
  }

  get checks(): readonly string[] {
    return this.backend.requests.filter(({ head }) => head.startsWith('GET /healthz')).map(({ head }) => head);
  }
}

const policy = (name: string, spec: string): string => `---
apiVersion: tidegate.dev/v1alpha1
kind: BackendPolicy
metadata: { name: ${name}, namespace: default }
spec:
  targetRefs: [{ kind: Service, name: ${name} }]
${spec}
`;

const ACTIVE = 'active: { path: /healthz, interval: 100ms, timeout: 5s, healthyThreshold: 2, unhealthyThreshold: 2 }';

/** Accepts, reads, and never answers. */
const SILENT: Responder = () => undefined;

let one: CheckedBackend;
let two: CheckedBackend;
let good: Backend;
let failing: Backend;
let silent: Backend;
let serving = 1;
let grpc = 0;
let gateway: GatewayUnderTest;

/** grpc.health.v1.Health as a server has it. */
async function startGrpc(): Promise<number> {
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    assert.equal(headers[':path'], '/grpc.health.v1.Health/Check');
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      assert.equal(Buffer.concat(chunks).subarray(7).toString(), 'shop.Orders');
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, serving]));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  endWith(wholeFile, async () => {
    for (const session of sessions) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

/** An endpoint in each zone; with hints, the one of zone a is for zone b as well. */
function zoned(name: string, ports: Readonly<Record<string, number>>, hints = false): string {
  const slices = Object.entries(ports).map(([zone, port]) => {
    const forZones = zone === 'a' ? '[{ name: a }, { name: b }]' : `[{ name: ${zone === 'b' ? 'c' : zone} }]`;
    return `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-${zone}, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ port: ${port} }]
endpoints: [{ addresses: [127.0.0.1], zone: ${zone}${hints ? `, hints: { forZones: ${forZones} }` : ''} }]
`;
  });
  return `---\napiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec: { ports: [{ port: 80 }] }\n${slices.join('')}`;
}

const routes = (extra = '') =>
  apiRoute(
    'routes',
    `  rules:
    - { matches: [{ path: { value: /checked } }], backendRefs: [{ name: checked, port: 80 }] }
    - { matches: [{ path: { value: /backed-up } }], backendRefs: [{ name: checked, port: 80 }, { name: good, port: 80, backup: true }] }
    - { matches: [{ path: { value: /panic } }], backendRefs: [{ name: panic, port: 80 }] }
    - { matches: [{ path: { value: /ejected } }], backendRefs: [{ name: ejected, port: 80 }] }
    - { matches: [{ path: { value: /silent } }], timeouts: { backendRequest: 1s }, backendRefs: [{ name: silent, port: 80 }] }
    - { matches: [{ path: { value: /near } }], backendRefs: [{ name: near, port: 80 }] }
    - { matches: [{ path: { value: /hinted } }], backendRefs: [{ name: hinted, port: 80 }] }
    - { matches: [{ path: { value: /slow } }], backendRefs: [{ name: slow, port: 80 }] }
    - { matches: [{ path: { value: /grpc } }], backendRefs: [{ name: grpc, port: 80 }] }
${extra}`,
  );

before(async () => {
  one = await CheckedBackend.start('one');
  two = await CheckedBackend.start('two');
  good = await Backend.start(wholeFile, answering('good'));
  failing = await Backend.start(wholeFile, () => 'HTTP/1.1 503 Any\r\nContent-Length: 3\r\n\r\nbad');
  silent = await Backend.start(wholeFile, SILENT);
  grpc = await startGrpc();
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'services.yaml': [
        service('checked', [one.backend.port, two.backend.port]),
        service('panic', [one.backend.port, two.backend.port]),
        service('good', [good.port]),
        service('ejected', [good.port, failing.port]),
        service('silent', [good.port, silent.port]),
        service('grpc', [grpc]),
        zoned('near', { a: one.backend.port, b: two.backend.port, c: good.port }),
        zoned('hinted', { a: one.backend.port, b: two.backend.port, c: good.port }, true),
      ].join(''),
      'slow.yaml': service('slow', [good.port]),
      'policies.yaml': [
        policy('checked', `  healthCheck: { ${ACTIVE} }`),
        policy('panic', `  healthCheck: { ${ACTIVE}, panicThresholdPercent: 60 }`),
        policy('near', '  loadBalancer: { zoneAware: true }'),
        policy('slow', '  loadBalancer: { slowStart: 1h }'),
        policy('ejected', '  healthCheck: { passive: { consecutiveErrors: 3, baseEjection: 5m } }'),
        policy('silent', '  healthCheck: { passive: { consecutiveErrors: 2, baseEjection: 5m } }'),
        policy(
          'grpc',
          '  healthCheck: { active: { type: GRPC, service: shop.Orders, interval: 100ms, timeout: 30s, unhealthyThreshold: 1, healthyThreshold: 1 } }',
        ),
      ].join(''),
      'routes.yaml': routes(),
    },
    ['--workers', '2', '--zone', 'b'],
  );
});

const nameOf = (backend: Backend): string => `127.0.0.1:${backend.port}`;
const metrics = async (): Promise<string> => (await get(gateway.admin, '/metrics')).body;

/** The bodies of so many answers, each on a connection of its own, so that both workers give some. */
async function bodies(path: string, count = 24): Promise<Set<string>> {
  const found = new Set<string>();
  for (let index = 0; index < count; index++) found.add((await get(gateway.http, path)).body);
  return found;
}

/** Asks until 24 answers in a row are as wanted. */
async function untilBodies(path: string, wanted: readonly string[]): Promise<void> {
  for (;;) if ([...(await bodies(path))].sort().join() === [...wanted].sort().join()) return;
}

async function turn(backend: CheckedBackend, status: number, path = 'checked'): Promise<void> {
  const seen = gateway.log.length;
  backend.status = status;
  await gateway.untilLogged(
    status === 200 ? 'endpoint is healthy' : 'endpoint is unhealthy',
    (line) => gateway.log.indexOf(line) >= seen && line.endpoint === nameOf(backend.backend) && line.upstream === `default/${path}/80`,
  );
}

test('an endpoint whose checks fail gets nothing from any worker, until they pass again', async () => {
  assert.deepEqual(await bodies('/checked'), new Set(['one', 'two']));
  await turn(one, 500);
  await untilBodies('/checked', ['two']);
  assert.match(await metrics(), /tidegate_upstream_endpoints\{upstream="default\/checked\/80",state="unhealthy"\} 1/);
  assert.match((await get(gateway.admin, '/debug/snapshot')).body, new RegExp(`"port": ?${one.backend.port},[^}]*"health": ?"unhealthy"`));
  assert.match(await metrics(), /tidegate_health_checks_total\{upstream="default\/checked\/80",result="failed"\} [1-9]/);
  await turn(one, 200);
  await untilBodies('/checked', ['one', 'two']);
  assert.ok(one.checks.some((head) => /^GET \/healthz HTTP\/1\.1\r\nHost: checked\.default:\d+\r\n/.test(head)));
});

test('without a healthy endpoint the answer is 503, or the backup’s; below the panic threshold all are used', async () => {
  await turn(one, 500);
  await turn(two, 500);
  await gateway.until('/checked', (status) => status === 503);
  await untilBodies('/backed-up', ['good']);
  await untilBodies('/panic', ['one', 'two']);
  const line = await gateway.untilAccess(({ path, status }) => path === '/checked' && status === 503);
  assert.deepEqual([line.reason, line.upstream], ['no_healthy_endpoint', 'default/checked/80']);
  await turn(one, 200);
  await turn(two, 200);
  await untilBodies('/backed-up', ['one', 'two']);
});

test('a reload keeps what checks have found', async () => {
  await turn(one, 500);
  await untilBodies('/checked', ['two']);
  await gateway.write('routes.yaml', routes('    - { matches: [{ path: { value: /reloaded } }], backendRefs: [{ name: checked, port: 80 }] }'));
  await gateway.until('/reloaded', (status) => status === 200);
  assert.deepEqual(await bodies('/reloaded'), new Set(['two']));
  await turn(one, 200);
  await untilBodies('/reloaded', ['one', 'two']);
});

test('an endpoint that answers with errors is ejected, the last one never', async () => {
  for (let index = 0; gateway.log.every(({ msg, upstream }) => msg !== 'endpoint ejected' || upstream !== 'default/ejected/80'); index++) {
    await get(gateway.http, '/ejected');
    assert.ok(index < 1000, 'it is never ejected');
  }
  await untilBodies('/ejected', ['good']);
  assert.match(await metrics(), /tidegate_upstream_endpoints\{upstream="default\/ejected\/80",state="ejected"\} 1/);
  assert.match(await metrics(), /tidegate_endpoint_ejections_total\{upstream="default\/ejected\/80"\} 1/);
  good.respond = () => 'HTTP/1.1 500 Any\r\nContent-Length: 4\r\n\r\nlast';
  assert.deepEqual(await bodies('/ejected'), new Set(['last']));
  good.respond = answering('good');
});

test('a half-open endpoint, which takes requests and never answers, is 504 in time and then ejected', async () => {
  const statuses: number[] = [];
  const isEjected = () => gateway.log.some(({ msg, upstream }) => msg === 'endpoint ejected' && upstream === 'default/silent/80');
  while (!isEjected()) statuses.push((await get(gateway.http, '/silent')).status);
  const failed = statuses.filter((status) => status !== 200);
  // What came between the second one and the ejection, whose line in the log takes a moment to get here, may have met it, too.
  assert.ok(failed.length >= 2 && failed.length <= 4 && failed.every((status) => status === 504), String(statuses));
  await untilBodies('/silent', ['good']);
});

test('gRPC health checks: NOT_SERVING is unhealthy, SERVING is healthy', async () => {
  await gateway.until('/grpc', (status) => status !== 503);
  serving = 2;
  const line = await gateway.untilLogged('endpoint is unhealthy', ({ upstream }) => upstream === 'default/grpc/80');
  assert.equal(line.outcome, 'NOT_SERVING');
  await gateway.until('/grpc', (status) => status === 503);
  serving = 1;
  await gateway.untilLogged('endpoint is healthy', ({ upstream }) => upstream === 'default/grpc/80');
  await gateway.until('/grpc', (status) => status !== 503);
});

test('traffic stays in the zone where the policy says so, and goes where hints say', async () => {
  assert.deepEqual(await bodies('/near'), new Set(['two']));
  assert.deepEqual(await bodies('/hinted'), new Set(['one']));
});

test('a new endpoint begins with a tenth of its share', async () => {
  await gateway.write('slow.yaml', service('slow', [good.port, two.backend.port]));
  await gateway.until('/slow', (_, body) => body === 'two');
  let toNew = 0;
  for (let count = 0; count < 110; count++) if ((await get(gateway.http, '/slow')).body === 'two') toNew++;
  // Ten of them; each worker may begin anywhere in its turns.
  assert.ok(toNew >= 6 && toNew <= 14, String(toNew));
});
