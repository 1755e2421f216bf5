/** Every feature that works from a folder, once with objects that came through the API server. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { makeCertificate, tlsSecret } from '../cluster/certificates.ts';
import { type Answer, ask, askUntil, type Question } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { openGateway } from '../cluster/gateways.ts';
import { Workload } from '../cluster/workload.ts';

const cluster = Cluster.open(wholeFile);
const workloads = new Map<string, Workload>();
let namespace: string;
let gateway: GatewayAddress;

const to = (name: string, more: object = {}): object => ({ name, port: 80, ...more });
const at = (value: string, more: object = {}): object[] => [{ path: { value }, ...more }];

function route(name: string, spec: object): KubernetesObject {
  return { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name, namespace }, spec };
}

function limit(name: string, sectionName: string, spec: object): KubernetesObject {
  const targetRefs = [{ group: 'tidegate.dev', kind: 'ApiRoute', name: 'shop', sectionName }];
  return { apiVersion: 'tidegate.dev/v1alpha1', kind: 'RateLimitPolicy', metadata: { name, namespace }, spec: { targetRefs, limits: [spec] } };
}

const shop = async (path: string, question: Partial<Question> = {}): Promise<Answer> => ask(gateway, { host: 'shop.features.test', path, ...question });

before(async () => {
  namespace = await cluster.namespace(wholeFile, 'features');
  for (const name of ['a', 'b', 'many', 'empty'])
    workloads.set(name, await Workload.start(wholeFile, cluster, { namespace, name, replicas: name === 'many' ? 3 : 1 }));
  await workloads.get('empty')?.scale(0);
  await cluster.apply([
    tlsSecret(namespace, 'shop', makeCertificate('shop.features.test')),
    limit('window', 'limited', { name: 'per-key', algorithm: 'FixedWindow', requests: 5, period: '9999h', key: [{ type: 'Header', name: 'x-key' }] }),
    limit('shadow', 'shadowed', { name: 'dry', requests: 1, period: '1h', mode: 'Shadow' }),
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'BackendPolicy',
      metadata: { name: 'sticky', namespace },
      spec: {
        targetRefs: [{ kind: 'Service', name: 'many' }],
        loadBalancer: { type: 'ConsistentHash', consistentHash: { type: 'Header', name: 'x-user' } },
      },
    },
    route('shop', {
      ingressClassName: 'tidegate',
      hostnames: ['shop.features.test', '*.shop.features.test'],
      tls: { secretName: 'shop' },
      rules: [
        { name: 'split', matches: at('/split'), backendRefs: [to('a', { weight: 90 }), { name: 'b', port: 'http', weight: 10 }] },
        {
          name: 'match',
          matches: at('/match', {
            methods: ['POST'],
            headers: [{ name: 'X-Tenant', value: 'acme' }],
            queryParams: [{ name: 'beta', value: 'true' }],
            cookies: [{ name: 'canary', type: 'Present' }],
          }),
          backendRefs: [to('b')],
        },
        { name: 'fallthrough', matches: at('/match'), backendRefs: [to('a')] },
        { name: 'pattern', matches: [{ path: { type: 'RegularExpression', value: '/user/[0-9]+' } }], backendRefs: [to('b')] },
        { name: 'exact', matches: [{ path: { type: 'Exact', value: '/exact' } }], backendRefs: [to('b')] },
        {
          name: 'rewrite',
          matches: at('/v1/orders'),
          filters: {
            requestHeaderModifier: { set: [{ name: 'x-a', value: '1' }], remove: ['x-internal'] },
            responseHeaderModifier: { set: [{ name: 'x-b', value: '2' }], remove: ['content-type'] },
            urlRewrite: { hostname: 'orders.internal', path: { type: 'ReplacePrefixMatch', value: '/orders' } },
          },
          backendRefs: [to('a')],
        },
        {
          name: 'moved',
          matches: at('/moved'),
          filters: { requestRedirect: { hostname: 'www.test', path: { type: 'ReplacePrefixMatch', value: '/new' }, statusCode: 301 } },
        },
        {
          name: 'down',
          matches: at('/down'),
          filters: { directResponse: { statusCode: 503, contentType: 'application/json', body: '{"down":"ä"}', headers: [{ name: 'x-d', value: '1' }] } },
        },
        { name: 'denied', matches: at('/denied'), filters: { ipAccess: { deny: ['0.0.0.0/0'] } }, backendRefs: [to('a')] },
        { name: 'small', matches: at('/small'), filters: { limits: { maxRequestBodyBytes: 10, maxRequestHeaderBytes: 400 } }, backendRefs: [to('a')] },
        { name: 'slow', matches: at('/slow'), timeouts: { backendRequest: '1s' }, backendRefs: [to('a')] },
        { name: 'limited', matches: at('/limited'), backendRefs: [to('a')] },
        { name: 'shadowed', matches: at('/shadowed'), backendRefs: [to('a')] },
        { name: 'sticky', matches: at('/sticky'), backendRefs: [to('many')] },
        { name: 'backup', matches: at('/backup'), backendRefs: [to('empty'), to('b', { backup: true })] },
        { name: 'empty', matches: at('/empty'), backendRefs: [to('empty')] },
        { name: 'instead', matches: at('/instead'), fallback: { backendRef: { name: 'b', port: 80 } }, backendRefs: [to('empty')] },
        { name: 'sorry', matches: at('/sorry'), fallback: { on: [503], response: { statusCode: 200, body: 'sorry' } }, backendRefs: [to('empty')] },
        // As kubectl sends `on` where it is written without quotes.
        {
          name: 'retried',
          matches: at('/retried'),
          retry: { true: ['timeout'], attempts: 2, backoff: '1ms' },
          timeouts: { backendRequest: '1s' },
          backendRefs: [to('many')],
        },
        { name: 'hedged', matches: at('/hedged'), hedge: { after: '20ms' }, backendRefs: [to('many')] },
        {
          name: 'faulty',
          matches: at('/faulty'),
          filters: { faultInjection: { abort: { statusCode: 418, percent: 100 } }, mirror: { backendRef: { name: 'b', port: 80 } } },
          backendRefs: [to('a')],
        },
        { name: 'mirrored', matches: at('/mirrored'), filters: { mirror: { backendRef: { name: 'b', port: 80 }, percent: 100 } }, backendRefs: [to('a')] },
        { name: 'missing', matches: at('/missing'), backendRefs: [to('nowhere')] },
        { name: 'elsewhere', matches: at('/elsewhere'), backendRefs: [to('a', { namespace: 'kube-system' })] },
        { name: 'edits', matches: at('/edits'), backendRefs: [to('a', { filters: { requestHeaderModifier: { add: [{ name: 'x-backend', value: 'a' }] } } })] },
      ],
    }),
    route('redirecting', {
      ingressClassName: 'tidegate',
      hostnames: ['secure.features.test'],
      tls: { secretName: 'shop', redirect: true },
      rules: [{ backendRefs: [to('a')] }],
    }),
  ]);
  gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace] });
  await askUntil(gateway, { host: 'secure.features.test' }, (answer) => answer.status === 308);
});

describe('routing', () => {
  test('a 90/10 split', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => shop('/split')));
    const count = answers.filter((answer) => answer.service === 'b').length;
    // Each worker of each replica is exact to within one in a hundred.
    assert.ok(Math.abs(count - 20) <= 8, `${count} of 200`);
  });

  test('every part of a match must hold, else the next rule serves', async () => {
    const headers = { 'x-tenant': 'acme', cookie: 'other=1; canary=yes' };
    assert.equal((await shop('/match?beta=true', { method: 'POST', headers })).service, 'b');
    assert.equal((await shop('/match?beta=false', { method: 'POST', headers })).service, 'a');
    assert.equal((await shop('/match?beta=true', { headers })).service, 'a');
    assert.equal((await shop('/match?beta=true', { method: 'POST', headers: { ...headers, cookie: 'other=1' } })).service, 'a');
  });

  test('exact paths and patterns', async () => {
    assert.equal((await shop('/exact')).service, 'b');
    assert.equal((await shop('/exact/x')).status, 404);
    assert.equal((await shop('/user/17')).service, 'b');
    assert.equal((await shop('/user/x')).status, 404);
  });

  test('wildcard hosts of an ApiRoute cover any number of labels', async () => {
    for (const host of ['x.shop.features.test', 'x.y.shop.features.test']) assert.equal((await ask(gateway, { host, path: '/exact' })).service, 'b', host);
  });

  test('forwarding fields', async () => {
    const { sample, headers } = await shop('/exact', { headers: { 'x-forwarded-for': '6.6.6.6' } });
    assert.equal(sample?.headers['x-forwarded-host'], 'shop.features.test');
    assert.equal(sample?.headers['x-forwarded-proto'], 'http');
    assert.notEqual(sample?.headers['x-forwarded-for'], '6.6.6.6');
    assert.equal(sample?.headers['x-request-id'], headers['x-request-id']);
  });
});

describe('filters', () => {
  test('rewrites and header modifiers', async () => {
    const { sample, headers } = await shop('/v1/orders/7?x=1', { headers: { 'x-internal': 'secret', 'x-a': 'client' } });
    assert.equal(sample?.path, '/orders/7?x=1');
    assert.deepEqual([sample?.headers.host, sample?.headers['x-a'], sample?.headers['x-internal']], ['orders.internal', '1', undefined]);
    assert.deepEqual([headers['x-b'], headers['content-type']], ['2', undefined]);
    assert.equal((await shop('/edits')).sample?.headers['x-backend'], 'a');
  });

  test('redirects and answers of the gateway itself', async () => {
    const moved = await shop('/moved/a?b=c');
    assert.deepEqual([moved.status, moved.headers.location], [301, 'http://www.test/new/a?b=c']);
    const down = await shop('/down');
    assert.deepEqual([down.status, down.body, down.headers['content-type'], down.headers['x-d']], [503, '{"down":"ä"}', 'application/json', '1']);
  });

  test('address lists, sizes, time-outs', async () => {
    assert.equal((await shop('/denied')).status, 403);
    assert.equal((await shop('/small', { method: 'POST', body: 'much more than ten' })).status, 413);
    assert.equal((await shop('/small', { headers: { 'x-long': 'y'.repeat(400) } })).status, 431);
    assert.equal((await shop('/small')).status, 200);
    assert.equal((await shop('/slow', { headers: { 'x-sample-delay': '20000' } })).status, 504);
    assert.equal((await shop('/slow')).status, 200);
  });
});

describe('rate limits', () => {
  test('each replica lets exactly its number pass, and says so', async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, () => shop('/limited', { headers: { 'x-key': 'one' } })));
    const passed = answers.filter((answer) => answer.status === 200).length;
    assert.ok(passed > 0 && passed % 5 === 0, `${passed} of 60 passed, and 5 do for each replica`);
    const refused = answers.find((answer) => answer.status === 429);
    assert.ok(Number(refused?.headers['retry-after']) > 0);
    assert.equal(refused?.headers['x-ratelimit-limit'], '5');
    assert.equal((await shop('/limited', { headers: { 'x-key': 'two' } })).status, 200);
  });

  test('a shadow limit never refuses nor shows', async () => {
    for (let count = 0; count < 6; count++) {
      const answer = await shop('/shadowed');
      assert.deepEqual([answer.status, answer.headers.ratelimit], [200, undefined]);
    }
  });
});

describe('backends', () => {
  test('a consistent hash sends a value to one pod, whichever replica is asked', async () => {
    const pods = new Set<string | undefined>();
    // Pods have other names and addresses each time: of so many users each has some.
    for (let user = 0; user < 40; user++) {
      const headers = { 'x-user': `user-${user}` };
      const answers = await Promise.all(Array.from({ length: 4 }, () => shop('/sticky', { headers })));
      assert.equal(new Set(answers.map((answer) => answer.sample?.pod)).size, 1, `user-${user}`);
      pods.add(answers[0]?.sample?.pod);
    }
    assert.equal(pods.size, 3);
  });

  test('a backup serves where no other has an endpoint; without one 503; a missing Service 500', async () => {
    assert.equal((await shop('/backup')).service, 'b');
    const empty = await shop('/empty');
    assert.equal(empty.status, 503);
    assert.ok(Number(empty.headers['retry-after']) > 0);
    assert.equal((await shop('/missing')).status, 500);
  });

  test('a fallback takes the place of what no backend serves; faults are made; retry, hedge and mirror serve', async () => {
    assert.equal((await shop('/instead')).service, 'b');
    const sorry = await shop('/sorry');
    assert.deepEqual([sorry.status, sorry.body], [200, 'sorry']);
    assert.equal((await shop('/faulty')).status, 418);
    assert.equal((await shop('/retried')).service, 'many');
    assert.equal((await shop('/retried', { headers: { 'x-sample-delay': '20000' } })).status, 504);
    assert.equal((await shop('/hedged', { headers: { 'x-sample-delay': '100' } })).service, 'many');
    assert.equal((await shop('/mirrored')).service, 'a');
  });

  test('a Service of another namespace without a grant is 500', async () => {
    assert.equal((await shop('/elsewhere')).status, 500);
  });

  test('a pod that becomes ready is used, and one that is not ready any more is not', async () => {
    const empty = workloads.get('empty') as Workload;
    const pod = await empty.add();
    await askUntil(gateway, { host: 'shop.features.test', path: '/empty' }, (answer) => answer.sample?.pod === pod.name);
    await empty.setReady(pod, false);
    await askUntil(gateway, { host: 'shop.features.test', path: '/empty' }, (answer) => answer.status === 503);
    await empty.scale(0);
  });
});

describe('TLS', () => {
  test('an ApiRoute with TLS serves both; redirect sends to HTTPS', async () => {
    const answer = await shop('/exact', { tls: true });
    assert.deepEqual([answer.service, answer.certificate, answer.sample?.headers['x-forwarded-proto']], ['b', 'shop.features.test', 'https']);
    assert.equal((await shop('/exact')).service, 'b');
    const redirected = await ask(gateway, { host: 'secure.features.test', path: '/p?q=1' });
    assert.deepEqual([redirected.status, redirected.headers.location], [308, 'https://secure.features.test/p?q=1']);
  });
});

describe('what is wrong', () => {
  test('an object that turns bad keeps its last good state, and no other is touched', async () => {
    const host = 'turning.features.test';
    const turning = (value: string): KubernetesObject =>
      route('turning', {
        ingressClassName: 'tidegate',
        hostnames: [host],
        rules: [{ matches: [{ path: { type: 'RegularExpression', value } }], backendRefs: [to('a')] }],
      });
    await cluster.apply([turning('/good')]);
    await askUntil(gateway, { host, path: '/good' }, (answer) => answer.service === 'a');
    await cluster.apply([turning('/(bad')]);
    await cluster.apply([route('after', { ingressClassName: 'tidegate', hostnames: ['after.features.test'], rules: [{ backendRefs: [to('b')] }] })]);
    await askUntil(gateway, { host: 'after.features.test' }, (answer) => answer.service === 'b');
    assert.equal((await ask(gateway, { host, path: '/good' })).service, 'a');
  });
});
