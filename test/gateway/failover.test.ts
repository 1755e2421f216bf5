/** Requests that their first endpoint refuses, and where a rule has another backendRef for them. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { REFUSING_PORTS } from '../../scripts/free-port.ts';
import { answering, Backend } from './backend.ts';
import { get, send } from './client.ts';
import { type AccessLine, GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

let good: Backend;
let other: Backend;
let spare: Backend;
let gateway: GatewayUnderTest;

before(async () => {
  good = await Backend.start(wholeFile, answering('good'));
  other = await Backend.start(wholeFile, answering('other'));
  spare = await Backend.start(wholeFile, answering('spare'));
  const [one, two] = REFUSING_PORTS;
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'services.yaml': [
        service('good', [good.port]),
        service('other', [other.port]),
        service('spare', [spare.port]),
        service('dead', [one]),
        service('dead-as-well', [one]),
        service('dead-twice', [one, two]),
        service('mixed', [one, good.port]),
        '---\napiVersion: v1\nkind: Service\nmetadata: { name: empty }\nspec: { ports: [{ port: 80 }] }\n',
        '---\napiVersion: v1\nkind: Service\nmetadata: { name: vacant }\nspec: { ports: [{ port: 80 }] }\n',
      ].join(''),
      'routes.yaml': apiRoute(
        'routes',
        `  rules:
    - matches: [{ path: { value: /split } }]
      backendRefs:
        - name: dead
          port: 80
          filters:
            requestHeaderModifier: { set: [{ name: x-dead, value: "1" }, { name: x-both, value: dead }], remove: [x-kept] }
            responseHeaderModifier: { set: [{ name: x-from, value: dead }, { name: x-from-dead, value: "1" }] }
        - name: good
          port: 80
          filters:
            requestHeaderModifier: { set: [{ name: x-both, value: good }], remove: [x-dropped] }
            responseHeaderModifier: { set: [{ name: x-from, value: good }] }
    - matches: [{ path: { value: /plain } }]
      backendRefs:
        - { name: dead, port: 80, filters: { requestHeaderModifier: { set: [{ name: x-dead, value: "1" }] } } }
        - { name: good, port: 80 }
    - matches: [{ path: { value: /made } }]
      backendRefs:
        - { name: dead, port: 80 }
        - { name: good, port: 80, backup: true, filters: { requestHeaderModifier: { set: [{ name: x-q, expression: request.query.q }] } } }
    - matches: [{ path: { value: /fallback } }]
      backendRefs:
        - { name: dead, port: 80, filters: { requestHeaderModifier: { set: [{ name: x-dead, value: "1" }], remove: [x-kept] } } }
      fallback: { backendRef: { name: spare, port: 80 } }
    - { matches: [{ path: { value: /weights } }], backendRefs: [{ name: dead, port: 80, weight: 20 }, { name: good, port: 80, weight: 30 }, { name: other, port: 80, weight: 50 }] }
    - { matches: [{ path: { value: /backup } }], backendRefs: [{ name: dead, port: 80 }, { name: other, port: 80, weight: 0 }, { name: spare, port: 80, backup: true }] }
    - { matches: [{ path: { value: /order } }], backendRefs: [{ name: dead, port: 80 }, { name: spare, port: 80, backup: true }, { name: good, port: 80 }] }
    - { matches: [{ path: { value: /from-backup } }], backendRefs: [{ name: empty, port: 80 }, { name: dead, port: 80, backup: true, weight: 1 }, { name: spare, port: 80, backup: true, weight: 1 }] }
    - { matches: [{ path: { value: /same-address } }], backendRefs: [{ name: dead, port: 80 }, { name: dead, port: 80 }, { name: dead-as-well, port: 80 }] }
    - { matches: [{ path: { value: /partly-tried } }], backendRefs: [{ name: dead, port: 80 }, { name: mixed, port: 80, backup: true }] }
    - { matches: [{ path: { value: /twice } }], backendRefs: [{ name: dead-twice, port: 80 }, { name: spare, port: 80, backup: true }] }
    - { matches: [{ path: { value: /lone } }], backendRefs: [{ name: dead, port: 80 }] }
    - { matches: [{ path: { value: /nobody } }], backendRefs: [{ name: empty, port: 80, weight: 1 }, { name: vacant, port: 80, weight: 9 }, { name: empty, port: 80, weight: 99, backup: true }] }`,
      ),
    },
    ['--workers', '1'],
  );
});

/** The access line of a path that was asked for once. */
async function lineOf(path: string): Promise<AccessLine> {
  return gateway.untilAccess((line) => line.path === path);
}

/** Lines of requests `/prefix/0` to `/prefix/count-1`, sent one after the other. */
async function linesOf(prefix: string, count: number, method = 'GET'): Promise<AccessLine[]> {
  const lines: AccessLine[] = [];
  for (let index = 0; index < count; index++) {
    const answer = await send(gateway.http, `${prefix}/${index}`, { method, body: method === 'GET' ? '' : 'body' });
    assert.equal(answer.status, 200, answer.body);
  }
  for (let index = 0; index < count; index++) lines.push(await lineOf(`${prefix}/${index}`));
  return lines;
}

test('a Service without another endpoint hands a refused request to another backendRef, with that one’s header modifiers only', async () => {
  good.requests.length = 0;
  for (let index = 0; index < 8; index++) {
    const answer = await get(gateway.http, `/split/${index}`, { 'x-kept': 'yes', 'x-dropped': 'yes' });
    assert.equal(answer.body, 'good');
    assert.equal(answer.headers['x-from'], 'good');
    assert.equal(answer.headers['x-from-dead'], undefined);
  }
  assert.equal(good.requests.length, 8);
  for (const { head } of good.requests) {
    assert.match(head, /^x-kept: yes$/im);
    assert.match(head, /^x-both: good$/im);
    assert.doesNotMatch(head, /x-dead|x-dropped|x-both: dead/i);
    assert.equal(head.match(/^host:/gim)?.length, 1);
  }
  const line = await gateway.untilAccess((entry) => entry.attempts === 2);
  assert.equal(line.upstream, 'default/good/80');
  assert.equal(line.endpoint, `127.0.0.1:${good.port}`);
});

test('a backendRef without modifiers gets the request as it was', async () => {
  good.requests.length = 0;
  const lines = await linesOf('/plain', 4);
  assert.deepEqual(lines.map((line) => line.attempts).sort(), [1, 1, 2, 2]);
  for (const { head } of good.requests) assert.doesNotMatch(head, /x-dead/i);
});

test('where a header of the other backendRef can not be made, the request is 503, and its worker lives', async () => {
  good.requests.length = 0;
  assert.equal((await get(gateway.http, '/made/well?q=1')).body, 'good');
  assert.match(good.requests[0]?.head ?? '', /^x-q: 1$/im);
  assert.equal((await get(gateway.http, '/made/not')).status, 503);
  assert.deepEqual([good.requests.length, (await lineOf('/made/not')).attempts], [1, 1]);
});

test('the fallback gets the request as it was, without what is for the backendRef alone', async () => {
  assert.equal((await get(gateway.http, '/fallback', { 'x-kept': 'yes' })).body, 'spare');
  const { head = '' } = spare.requests.at(-1) ?? {};
  assert.match(head, /^x-kept: yes$/im);
  assert.doesNotMatch(head, /x-dead/i);
});

test('a body goes along whole, whatever the method', async () => {
  good.requests.length = 0;
  await linesOf('/split/post', 4, 'POST');
  assert.deepEqual(
    good.requests.map(({ body }) => body),
    ['body', 'body', 'body', 'body'],
  );
});

test('requests that are not refused keep to the weights', async () => {
  const lines = await linesOf('/weights', 100);
  const first = (name: string): number => lines.filter((line) => line.attempts === 1 && line.upstream === `default/${name}/80`).length;
  assert.ok(Math.abs(first('good') - 30) <= 1, `${first('good')}`);
  assert.ok(Math.abs(first('other') - 50) <= 1, `${first('other')}`);
  assert.equal(first('dead'), 0);
});

test('a backup takes what is refused when no other backendRef with a weight is left', async () => {
  assert.equal((await get(gateway.http, '/backup')).body, 'spare');
  for (let index = 0; index < 4; index++) assert.equal((await get(gateway.http, '/order')).body, 'good');
  for (let index = 0; index < 4; index++) assert.equal((await get(gateway.http, '/from-backup')).body, 'spare');
});

test('an address that was tried is not tried again in another Service', async () => {
  assert.equal((await get(gateway.http, '/same-address')).status, 502);
  assert.equal((await lineOf('/same-address')).attempts, 1);
  for (let index = 0; index < 4; index++) assert.equal((await get(gateway.http, '/partly-tried')).body, 'good');
});

test('it is one retry: a second endpoint that refuses is the end of it', async () => {
  assert.equal((await get(gateway.http, '/twice')).status, 502);
  const line = await lineOf('/twice');
  assert.deepEqual([line.attempts, line.reason, line.upstream], [2, 'connect_failure', 'default/dead-twice/80']);
});

test('a lone endpoint that refuses is 502', async () => {
  assert.equal((await get(gateway.http, '/lone')).status, 502);
  const line = await lineOf('/lone');
  assert.deepEqual([line.attempts, line.reason], [1, 'connect_failure']);
});

test('the line of a 503 names the upstream that the request was for, and no endpoint', async () => {
  assert.equal((await get(gateway.http, '/nobody')).status, 503);
  const line = await lineOf('/nobody');
  assert.deepEqual([line.reason, line.upstream, 'endpoint' in line, line.attempts], ['no_endpoint', 'default/vacant/80', false, 0]);
});
