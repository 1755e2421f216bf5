/** Circuit breakers over two workers, with raw backends that count what reaches them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { answering, Backend } from './backend.ts';
import { type Answer, get, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';
import { plantedFault } from './planted-fault.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const BAD = 'HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n';

/** Answers when it is told to. */
class Holding {
  readonly held: Socket[] = [];
  readonly backend: Backend;

  private constructor(backend: Backend) {
    this.backend = backend;
    backend.respond = (_request, socket) => {
      this.held.push(socket);
      return undefined;
    };
  }

  static async start(): Promise<Holding> {
    return new Holding(await Backend.start(wholeFile));
  }

  answerAll(): void {
    for (const socket of this.held.splice(0)) socket.write(OK);
  }
}

let busy: Holding;
let narrow: Holding;
let mortal: Holding;
let failing: Backend;
let gateway: GatewayUnderTest;
let folder: string;

const breaker = (name: string, settings: string): string => `---
apiVersion: tidegate.dev/v1alpha1
kind: BackendPolicy
metadata: { name: ${name} }
spec: { targetRefs: [{ kind: Service, name: ${name} }], circuitBreaker: ${settings} }
`;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-breaker-'));
  endWith(wholeFile, () => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'preload.mjs'), plantedFault);
  [busy, narrow, mortal] = [await Holding.start(), await Holding.start(), await Holding.start()];
  failing = await Backend.start(wholeFile, () => BAD);
  const other = await Backend.start(wholeFile, answering('other'));
  const files = {
    'services.yaml': [
      service('busy', [busy.backend.port]),
      service('narrow', [narrow.backend.port]),
      service('mortal', [mortal.backend.port]),
      service('failing', [failing.port]),
      service('other', [other.port]),
    ].join(''),
    'policies.yaml': [
      breaker('busy', '{ maxRequests: 3 }'),
      breaker('narrow', '{ maxConnections: 1, maxPendingRequests: 2 }'),
      breaker('mortal', '{ maxRequests: 1 }'),
      breaker('failing', '{ minRequests: 4, failurePercent: 100, window: 60s, openFor: 5s, halfOpenRequests: 2 }'),
    ].join(''),
    'routes.yaml': apiRoute(
      'routes',
      `  rules:\n${['busy', 'narrow', 'mortal', 'failing', 'other'].map((name) => `    - { matches: [{ path: { value: /${name} } }], backendRefs: [{ name: ${name}, port: 80 }] }`).join('\n')}`,
    ),
  };
  const environment = { NODE_OPTIONS: `--import=${pathToFileURL(join(folder, 'preload.mjs'))}` };
  gateway = await GatewayUnderTest.start(wholeFile, files, ['--workers', '2'], environment);
});

const outcomes = (answers: readonly Answer[]): number[] => answers.map(({ status }) => status).sort();

/** The reason that the log gives for such an answer. */
async function reasonOf(answer: Answer): Promise<string | undefined> {
  return (await gateway.untilAccess((line) => line.requestId === answer.headers['x-request-id'])).reason;
}

async function metric(line: RegExp): Promise<number> {
  return Number(line.exec((await get(gateway.admin, '/metrics')).body)?.[1] ?? Number.NaN);
}

test('exactly maxRequests are under way, over all workers; the others get 503 and when to come again', async () => {
  for (let round = 1; round <= 3; round++) {
    const answers = Array.from({ length: 12 }, () => get(gateway.http, '/busy'));
    const refused: Answer[] = [];
    for (const answer of answers) void answer.then((one) => one.status === 503 && refused.push(one));
    await busy.backend.untilRequests(3 * round);
    while (refused.length < 9) await new Promise((resolve) => setTimeout(resolve, 5));
    busy.answerAll();
    assert.deepEqual(outcomes(await Promise.all(answers)), [...Array(3).fill(200), ...Array(9).fill(503)]);
    assert.equal(busy.backend.requests.length, 3 * round);
    const [one] = refused as [Answer];
    assert.deepEqual([one.headers['retry-after'], one.headers['content-type']], ['1', 'application/problem+json']);
    assert.equal(await reasonOf(one), 'circuit_max_requests');
  }
  assert.equal(await metric(/^tidegate_circuit_breaker_refusals_total\{upstream="default\/busy\/80",reason="circuit_max_requests"\} (\d+)$/m), 27);
});

test('with maxConnections busy, maxPendingRequests wait and are served in their time, bodies and all', async () => {
  const answers = Array.from({ length: 8 }, () => send(gateway.http, '/narrow', { method: 'POST', body: 'a body' }));
  const refused: Answer[] = [];
  for (const answer of answers) void answer.then((one) => one.status === 503 && refused.push(one));
  await narrow.backend.untilRequests(1);
  while (refused.length < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  for (let number = 1; number <= 3; number++) {
    await narrow.backend.untilRequests(number);
    assert.equal(narrow.backend.sockets.size, 1);
    narrow.answerAll();
  }
  assert.deepEqual(outcomes(await Promise.all(answers)), [200, 200, 200, ...Array(5).fill(503)]);
  assert.deepEqual(
    narrow.backend.requests.map(({ body }) => body),
    ['a body', 'a body', 'a body'],
  );
  assert.equal(await reasonOf(refused[0] as Answer), 'circuit_max_pending_requests');
});

test('opens by failures, refuses without asking the backend, lets two through and closes', async () => {
  const state = (name: string): RegExp => new RegExp(`^tidegate_circuit_breaker_state\\{upstream="default/failing/80",state="${name}"\\} (\\d)$`, 'm');
  assert.equal(await metric(state('closed')), 1);
  for (let number = 0; number < 4; number++) assert.equal((await get(gateway.http, '/failing')).status, 500);
  const answer = await get(gateway.http, '/failing');
  assert.equal(answer.status, 503);
  assert.match(answer.headers['retry-after'] ?? '', /^[1-5]$/);
  assert.equal(await reasonOf(answer), 'circuit_open');
  assert.deepEqual([await metric(state('closed')), await metric(state('open'))], [0, 1]);
  assert.equal((await get(gateway.http, '/other')).status, 200);
  assert.equal(failing.requests.length, 4);
  failing.respond = () => OK;
  await gateway.until('/failing', (status) => status === 200);
  await gateway.until('/failing', (status) => status === 200);
  assert.equal(await metric(state('closed')), 1);
  for (let number = 0; number < 10; number++) assert.equal((await get(gateway.http, '/failing')).status, 200);
});

test('a reload that leaves it alone, and one of its own numbers, forget nothing', async () => {
  const held = get(gateway.http, '/mortal');
  await mortal.backend.untilRequests(1);
  await gateway.write('more.yaml', apiRoute('more', '  rules: [{ matches: [{ path: { value: /more } }], filters: { directResponse: { statusCode: 204 } } }]'));
  await gateway.until('/more', (status) => status === 204);
  assert.equal((await get(gateway.http, '/mortal')).status, 503);
  mortal.answerAll();
  assert.equal((await held).status, 200);
});

test('what a worker held is given back when it dies', async () => {
  // Until one of them is known to be held by worker 0 or 1, either may have it: both die.
  const held = get(gateway.http, '/mortal').catch(() => 'cut');
  await mortal.backend.untilRequests(2);
  assert.equal((await get(gateway.http, '/mortal')).status, 503);
  for (const worker of [0, 1]) {
    const died = gateway.log.filter((line) => line.msg === 'worker died').length;
    writeFileSync(join(folder, `die-${worker}`), '');
    await gateway.untilLogged('worker died', (line) => gateway.log.indexOf(line) >= 0 && gateway.log.filter(({ msg }) => msg === 'worker died').length > died);
    await gateway.untilLogged('worker serves', () => gateway.log.filter(({ msg }) => msg === 'worker serves').length >= 3 + worker);
  }
  assert.equal(await held, 'cut');
  const again = get(gateway.http, '/mortal');
  await mortal.backend.untilRequests(3);
  mortal.held.splice(0, mortal.held.length - 1);
  mortal.answerAll();
  assert.equal((await again).status, 200);
});
