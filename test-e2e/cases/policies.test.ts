/** Policies by the API server: one gateway, and a route for each. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Browser } from '../../test/gateway/browser.ts';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import { CLIENT, OidcServer } from '../../test/gateway/oidc-server.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { type Answer, ask, askUntil } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { openGateway, startReplica } from '../cluster/gateways.ts';

const IN_PODS = process.env.TIDEGATE_GATEWAY !== undefined && 'no provider of this process can be reached from there';

const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: GatewayAddress;

/** A route that answers by itself, and so needs no pods. */
function route(name: string): KubernetesObject {
  const spec = {
    ingressClassName: 'tidegate',
    hostnames: [`${name}.policies.test`],
    rules: [{ filters: { directResponse: { statusCode: 200, body: name } } }],
  };
  return { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name, namespace }, spec } as KubernetesObject;
}

function policy(kind: string, name: string, spec: Readonly<Record<string, unknown>>): KubernetesObject {
  const targetRefs = [{ group: 'tidegate.dev', kind: 'ApiRoute', name }];
  return { apiVersion: 'tidegate.dev/v1alpha1', kind, metadata: { name, namespace }, spec: { targetRefs, ...spec } } as KubernetesObject;
}

function secret(name: string, values: Readonly<Record<string, string>>): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData: values } as KubernetesObject;
}

before(async () => {
  namespace = await cluster.namespace(wholeFile, 'policies');
  await cluster.apply([
    route('keys'),
    secret('acme', { key: 'key-of-acme' }),
    secret('users', { auth: 'alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=' }),
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'ApiConsumer',
      metadata: { name: 'acme', namespace },
      spec: { groups: ['gold'], apiKeys: [{ secretRef: { name: 'acme', key: 'key' } }] },
    } as KubernetesObject,
    policy('AuthPolicy', 'keys', {
      methods: [{ apiKey: {} }, { basic: { secretRef: { name: 'users' } } }],
      authorization: [{ expression: "request.path != '/gold' || 'gold' in identity.groups" }],
    }),
    policy('RateLimitPolicy', 'keys', { limits: [{ requests: 3, period: '1h', key: [{ type: 'Header', name: 'x-api-key' }] }] }),
  ]);
  gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace], replicas: 1 });
});

test('AuthPolicy: keys and passwords of Secrets, groups of consumers; then the rate limit', async () => {
  const host = 'keys.policies.test';
  await askUntil(gateway, { host }, ({ status, headers }) => status === 401 && headers['www-authenticate'] !== undefined);
  const password = { authorization: `Basic ${Buffer.from('alice:secret').toString('base64')}` };
  assert.equal((await ask(gateway, { host, headers: password })).status, 200);
  assert.equal((await ask(gateway, { host, path: '/gold', headers: password })).status, 403);
  const key = { 'x-api-key': 'key-of-acme' };
  for (const status of [200, 200, 200, 429]) assert.equal((await ask(gateway, { host, path: '/gold', headers: key })).status, status);
  assert.equal((await ask(gateway, { host, headers: { 'x-api-key': 'key-of-nobody' } })).status, 401);
});

test('logins and external authorization: closed to whom nobody vouches for', async () => {
  const session = 'oidc-secrets';
  await cluster.apply([
    route('login'),
    route('asked'),
    policy('AuthPolicy', 'login', {
      methods: [
        {
          oidc: {
            issuer: 'https://id.policies.test',
            clientId: 'web',
            clientSecretRef: { name: session, key: 'client' },
            sessionSecretRef: { name: session, key: 'session' },
          },
        },
      ],
    }),
    policy('AuthPolicy', 'asked', { externalAuthorization: { backendRef: { name: 'nobody', port: 80 } } }),
  ]);
  await askUntil(gateway, { host: 'asked.policies.test' }, ({ status }) => status === 503);
  const host = 'login.policies.test';
  const headers = { cookie: 'tg_session=1.forged' };
  await askUntil(gateway, { host, headers }, ({ status }) => status === 503);
  // Its Secret is read as soon as it is there.
  await cluster.apply([secret(session, { client: 'of the client', session: 'thirty-two characters for a key!' })]);
  await askUntil(gateway, { host, headers }, ({ status }) => status === 401);
  assert.equal((await ask(gateway, { host })).headers['www-authenticate'], 'Cookie');
});

test('a browser logs in at a provider, and comes back to its page', { skip: IN_PODS }, async (t) => {
  const host = 'page.policies.test';
  const provider = await OidcServer.start(t, { redirectUris: [`http://${host}/oauth2/callback`] });
  await cluster.apply([
    route('page'),
    secret('page', { client: CLIENT.secret, session: 'thirty-two characters of a secret' }),
    policy('AuthPolicy', 'page', {
      methods: [
        {
          oidc: {
            ...{ issuer: provider.issuer, clientId: CLIENT.id },
            ...{ clientSecretRef: { name: 'page', key: 'client' }, sessionSecretRef: { name: 'page', key: 'session' } },
          },
        },
      ],
      authorization: [{ expression: "identity.subject == 'alice'" }],
    }),
  ]);
  // The provider is on this machine.
  const near = await startReplica(t, cluster, { namespaces: [namespace], args: ['--allow-loopback-fetch'] });
  const visit = (url: string, cookie?: string): Promise<Answer> => {
    const { pathname, search } = new URL(url);
    return ask(near, { host, path: pathname + search, headers: { accept: 'text/html', ...(cookie === undefined ? {} : { cookie }) } });
  };
  const cookieOf = ({ headers }: Answer): string => (headers['set-cookie'] ?? []).map((line) => line.split(';')[0] ?? '').join('; ');
  // 503 until the Secret and the provider's configuration are there.
  const begun = await askUntil(near, { host, path: '/p?q=1', headers: { accept: 'text/html' } }, ({ status }) => status === 302);
  const back = await new Browser({}).open(String(begun.headers.location), (url) => url.startsWith(`http://${host}/`));
  const ended = await visit(back.url, cookieOf(begun));
  assert.deepEqual([ended.status, ended.headers.location], [302, `http://${host}/p?q=1`], ended.body);
  const page = await visit(String(ended.headers.location), cookieOf(ended));
  assert.deepEqual([page.status, page.body], [200, 'page']);
  assert.equal((await visit(back.url)).status, 400);
});

test('a key that is replaced in its Secret is another one within a moment', async () => {
  await cluster.apply([secret('acme', { key: 'another-key' })]);
  const host = 'keys.policies.test';
  await askUntil(gateway, { host, headers: { 'x-api-key': 'key-of-acme' } }, ({ status }) => status === 401);
});

test('of more Secrets than are watched by name, each new key holds within a moment, too', async () => {
  const names = Array.from({ length: 70 }, (_, index) => `many-${index}`);
  const host = 'many.policies.test';
  const keys = (version: number) => names.map((name) => secret(name, { key: `${name}-${version}` }));
  const consumers = names.map(
    (name) =>
      ({
        ...{ apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiConsumer', metadata: { name, namespace } },
        spec: { apiKeys: [{ secretRef: { name, key: 'key' } }] },
      }) as KubernetesObject,
  );
  await cluster.apply([...keys(1), ...consumers, route('many'), policy('AuthPolicy', 'many', { methods: [{ apiKey: {} }] })]);
  // By turns it would take 30 s at least from one look to the next.
  for (const version of [1, 2, 3]) {
    if (version > 1) await cluster.apply(keys(version));
    for (const name of names) await askUntil(gateway, { host, headers: { 'x-api-key': `${name}-${version}` } }, ({ status }) => status === 200);
  }
});

test('statuses: the policy tells of its target, the consumer of itself; a Secret that goes is told', async () => {
  const conditions = (object: unknown): Record<string, string> => {
    const { status } = object as { status?: { conditions?: { type: string; status: string }[] } };
    return Object.fromEntries((status?.conditions ?? []).map((one) => [one.type, one.status]));
  };
  const consumer = { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiConsumer', metadata: { name: 'acme', namespace } } as KubernetesObject;
  await cluster.until(consumer, (object) => conditions(object).ResolvedRefs === 'True');
  const auth = { apiVersion: 'tidegate.dev/v1alpha1', kind: 'AuthPolicy', metadata: { name: 'keys', namespace } } as KubernetesObject;
  await cluster.until(auth, (object) => {
    const { status } = object as { status?: { ancestors?: { ancestorRef: { name: string } }[] } };
    return conditions(object).Accepted === 'True' && status?.ancestors?.[0]?.ancestorRef.name === 'keys';
  });
  await cluster.api.delete(secret('users', {}));
  await cluster.until(auth, (object) => conditions(object).ResolvedRefs === 'False');
});

test('an AuthPolicy that never was good closes its target', async () => {
  const bad = policy('AuthPolicy', 'closed', { methods: [{ apiKey: {} }], authorization: [{ expression: 'identity.group' }] });
  await cluster.apply([bad, route('closed')]);
  await askUntil(gateway, { host: 'closed.policies.test' }, ({ status }) => status === 503);
});
