/** What users and attackers write that no gateway should follow: each is told of by name, and nothing else is touched. */
import assert from 'node:assert/strict';
import { afterEach, before, describe, test } from 'node:test';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { makeCertificate, tlsSecret } from '../cluster/certificates.ts';
import { ask, askUntil } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { Gateway } from '../cluster/gateway.ts';
import { startReplica } from '../cluster/gateways.ts';
import { Workload } from '../cluster/workload.ts';

const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: Gateway;

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

const named = (name: string): KubernetesObject => ({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name, namespace } });
const hostOf = (name: string): string => `${name}.bad.test`;

function apiRoute(name: string, service: string, more: object = {}, rule: object = {}): KubernetesObject {
  return { ...named(name), spec: { hostnames: [hostOf(name)], rules: [{ ...rule, backendRefs: [{ name: service, port: 80 }] }], ...more } };
}

function service(name: string, spec: object = { ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec };
}

/** As somebody writes it by hand, for a Service without a selector. */
function slice(name: string, addressType: string, address: string, port: number): KubernetesObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
    addressType,
    endpoints: [{ addresses: [address] }],
    ports: [{ name: 'http', port, protocol: 'TCP' }],
  };
}

async function untilCondition(name: string, type: string, wanted: (condition: Condition) => boolean): Promise<Condition> {
  const find = (object: KubernetesObject | undefined): Condition | undefined =>
    ((object?.status?.conditions ?? []) as Condition[]).find((one) => one.type === type && wanted(one));
  return find(await cluster.until(named(name), (object) => find(object) !== undefined)) as Condition;
}

before(async () => {
  namespace = await cluster.namespace(wholeFile, 'bad');
  await Workload.start(wholeFile, cluster, { namespace, name: 'web' });
  // In `default` is the Service that the API server makes of itself.
  gateway = await startReplica(wholeFile, cluster, { namespaces: [namespace, 'default'], args: ['--allow-external-name'] });
  await cluster.apply([apiRoute('good', 'web')]);
  await askUntil(gateway, { host: hostOf('good') }, ({ service }) => service === 'web');
});

afterEach(async () => {
  assert.equal((await ask(gateway, { host: hostOf('good') })).service, 'web');
  assert.deepEqual(
    gateway.log.filter(({ level, msg }) => level === 'error' && msg === 'translation failed'),
    [],
  );
});

describe('an EndpointSlice by hand', () => {
  for (const [name, addressType, address, port, what] of [
    ['api-server', 'IPv4', '10.0.0.1', 443, /is the API server/],
    ['api-server-nat64', 'IPv6', '64:ff9b::a00:1', 443, /is the API server/],
    ['metadata', 'IPv6', 'fd00:ec2::254', 80, /is a cloud's metadata address/],
    ['metadata-nat64', 'IPv6', '64:ff9b::a9fe:a9fe', 80, /is a link-local/],
    ['metadata-6to4', 'IPv6', '2002:a9fe:a9fe::1', 80, /is a link-local/],
  ] as const) {
    test(`that points at ${address} port ${port} gives no endpoint`, async () => {
      await cluster.apply([service(name), slice(name, addressType, address, port), apiRoute(name, name)]);
      const line = await gateway.untilLogged('object has a problem', ({ object }) => object === `EndpointSlice/${namespace}/${name}`);
      assert.match(String(line.message), what);
      assert.equal((await askUntil(gateway, { host: hostOf(name) }, ({ status }) => status !== 404)).status, 503);
    });
  }

  test('that points at link-local or loopback addresses is refused by the API server itself', async () => {
    await cluster.apply([service('refused')]);
    for (const [addressType, address] of [
      ['IPv4', '169.254.169.254'],
      ['IPv4', '127.0.0.1'],
      ['IPv6', 'fe80::1'],
      ['IPv6', '::ffff:169.254.169.254'],
    ] as const)
      await assert.rejects(cluster.apply([slice('refused', addressType, address, 80)]), /invalid|Invalid/);
  });
});

describe('an ExternalName Service', () => {
  for (const [externalName, status, reason, message] of [
    ['localhost', 500, 'RefNotPermitted', /leads to the gateway's own machine or network/],
    ['169.254.169.254', 500, 'RefNotPermitted', /leads to the gateway's own machine or network/],
    ['0x7f000001', 500, 'RefNotPermitted', /leads to the gateway's own machine or network/],
    ['kubernetes.default.svc', 500, 'RefNotPermitted', /leads to the API server/],
    ['10.0.0.1', 500, 'RefNotPermitted', /leads to the API server/],
    ['no-such-name.invalid', 503, 'BackendNotFound', /has the externalName no-such-name\.invalid, which can not be resolved; name a host/],
  ] as const) {
    test(`that names ${externalName}: ${reason}, and ${status}`, async () => {
      const name = `external-${externalName.replaceAll('.', '-')}`;
      await cluster.apply([service(name, { type: 'ExternalName', externalName }), apiRoute(name, name)]);
      const condition = await untilCondition(name, 'ResolvedRefs', (one) => one.status === 'False');
      assert.equal(condition.reason, reason);
      assert.match(condition.message, message);
      assert.match(condition.message, /^spec\.rules\[0\]\.backendRefs\[0\]\.name: /);
      assert.equal((await ask(gateway, { host: hostOf(name) })).status, status);
    });
  }

  test('that is mended is good at once', async () => {
    const name = 'external-no-such-name-invalid';
    await cluster.apply([service(name, { type: 'ExternalName', externalName: '10.0.0.77' })]);
    await untilCondition(name, 'ResolvedRefs', (one) => one.status === 'True');
  });
});

describe('a regular expression', () => {
  const huge = Array.from({ length: 64 }, (_, index) => ({ path: { type: 'RegularExpression', value: `/${index}/[a-z]{1,999}` } }));
  for (const [name, rule, message] of [
    ['no-pattern', { filters: { urlRewrite: { path: { type: 'ReplaceRegex', pattern: '(', substitution: 'b' } } } }, /missing closing \)/],
    ['huge-pattern', { matches: [{ path: { type: 'RegularExpression', value: `/${'[a-z]{1,99}'.repeat(80)}` } }] }, /parts when its counts are written out/],
    ['many-patterns', { matches: huge }, /parts together/],
  ] as const)
    test(`that the CRD takes and nobody could serve (${name}) is told, and routes that are made after it serve`, async () => {
      await cluster.apply([apiRoute(name, 'web', {}, rule), apiRoute(`${name}-next`, 'web')]);
      await askUntil(gateway, { host: hostOf(`${name}-next`) }, (answer) => answer.service === 'web');
      const { reason, message: told } = await untilCondition(name, 'Accepted', ({ status }) => status === 'False');
      assert.equal(reason, 'Invalid');
      assert.match(told, message);
    });
});

describe('a Secret', () => {
  const secret = (type: string): KubernetesObject => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'late', namespace }, type });

  test('of another type is told of when it is made, long after its route; and a good one takes its place', async () => {
    await cluster.apply([apiRoute('tls', 'web', { tls: { secretName: 'late' } })]);
    await untilCondition('tls', 'ResolvedRefs', ({ message }) => message.includes(`Secret ${namespace}/late does not exist`));
    await cluster.api.create(secret('Opaque'));
    const { reason } = await untilCondition('tls', 'ResolvedRefs', ({ message }) => message.includes(`Secret ${namespace}/late is of type Opaque`));
    assert.equal(reason, 'InvalidCertificateRef');
    assert.equal((await ask(gateway, { host: hostOf('tls') })).service, 'web');
    await cluster.api.delete(secret('Opaque'));
    await cluster.apply([tlsSecret(namespace, 'late', makeCertificate(hostOf('tls')))]);
    await untilCondition('tls', 'ResolvedRefs', ({ status }) => status === 'True');
    await askUntil(gateway, { host: hostOf('tls'), tls: true }, ({ certificate }) => certificate === hostOf('tls'));
    // What was good serves on.
    await cluster.api.delete(secret('kubernetes.io/tls'));
    await cluster.api.create(secret('Opaque'));
    await untilCondition('tls', 'ResolvedRefs', ({ message }) => message.includes('is of type Opaque, so its last good certificate serves'));
    assert.equal((await ask(gateway, { host: hostOf('tls'), tls: true })).certificate, hostOf('tls'));
  });
});

describe('names', () => {
  test('at the limits of their length serve, and have their conditions and Events', async () => {
    const label = 'n'.repeat(63);
    const longest = [label, label, label, 'n'.repeat(61)].join('.');
    const route = (path: object): KubernetesObject => ({
      ...named(longest),
      spec: { hostnames: [longest], rules: [{ name: 'r'.repeat(63), matches: [{ path }], backendRefs: [{ name: label, port: 'p'.repeat(15) }] }] },
    });
    await Workload.start(wholeFile, cluster, { namespace, name: 'long' });
    const ports = [{ name: 'p'.repeat(15), port: 80, protocol: 'TCP', targetPort: 'http' }];
    await cluster.apply([service(label, { selector: { app: 'long' }, ports }), route({ type: 'PathPrefix', value: '/' })]);
    await untilCondition(longest, 'ResolvedRefs', ({ status }) => status === 'True');
    await askUntil(gateway, { host: longest }, (answer) => answer.service === 'long');
    await cluster.apply([route({ type: 'RegularExpression', value: '(' })]);
    await untilCondition(longest, 'Accepted', ({ reason }) => reason === 'Invalid');
    const events = `/api/v1/namespaces/${namespace}/events?fieldSelector=involvedObject.name%3D${longest}`;
    await gateway.until(async () => (await cluster.api.call('GET', events)).body.items.length === 1, 'Event');
    assert.equal((await ask(gateway, { host: longest })).service, 'long');
    assert.deepEqual(
      gateway.log.filter(({ msg }) => msg === 'Events are refused' || msg === 'a status was refused'),
      [],
    );
  });
});

describe('objects that go while they are worked on', () => {
  test('made, turned bad and deleted again and again, they leave nothing behind', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `brief-${index}`);
    const bad = { matches: [{ path: { type: 'RegularExpression', value: '(' } }] };
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        names.map(async (name) => {
          await cluster.apply([service(name), apiRoute(name, name, {}, round === 1 ? bad : {})]);
          await cluster.apply([apiRoute(name, 'web', {}, round === 2 ? bad : {})]);
          await Promise.all([cluster.api.delete(service(name)), cluster.api.delete(named(name))]);
        }),
      );
    }
    // Whatever was written before this came after.
    await cluster.apply([apiRoute('last', 'web')]);
    await untilCondition('last', 'Programmed', ({ status }) => status === 'True');
    for (const name of names) assert.equal((await askUntil(gateway, { host: hostOf(name) }, ({ status }) => status === 404)).status, 404);
    assert.deepEqual(
      gateway.log.filter(({ msg }) => msg === 'a status was refused' || msg === 'statuses can not be written'),
      [],
    );
  });
});
