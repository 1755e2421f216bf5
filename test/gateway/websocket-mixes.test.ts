/** WebSocket in every mix of protocols: clients of HTTP/1.1 and HTTP/2, backends of HTTP/1.1 and HTTP/2 (RFC 6455, RFC 8441). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, createSecureServer, createServer, type Http2Server } from 'node:http2';
import { before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { Authority } from '../certificates/authority.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, type Lifetime, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';
import { openTunnel, type TunnelEnd, TunnelServer, type Version } from './tunnel-ends.ts';

const VERSIONS: readonly Version[] = ['HTTP/1.1', 'HTTP/2'];
const MIXES = VERSIONS.flatMap((client) => VERSIONS.map((backend) => ({ client, backend, name: `${client[5]}-${backend[5]}` })));
/** A Close frame of 1001, without a mask; and as a client answers it. */
const GOING_AWAY = '\x88\x02\x03\xe9';
const ANSWER = '\x88\x82\0\0\0\0\x03\xe9';

interface Mix {
  readonly client: Version;
  readonly backend: Version;
  readonly name: string;
}

const authority = new Authority('Backend Root');
let gateway: GatewayUnderTest;
const servers = new Map<Version, TunnelServer>();

function manifests(secure: TunnelServer | undefined): string {
  const http2 = servers.get('HTTP/2') as TunnelServer;
  const policy = (name: string, spec: string) =>
    `---\napiVersion: tidegate.dev/v1alpha1\nkind: BackendPolicy\nmetadata: { name: ${name} }\nspec: { targetRefs: [{ kind: Service, name: ${name} }], ${spec} }\n`;
  const rules = ['1', '2'].flatMap((version) => [
    `    - { matches: [{ path: { value: /${version} } }], backendRefs: [{ name: http${version}, port: 80 }] }`,
    `    - { matches: [{ path: { value: /${version}/idle } }], timeouts: { idle: 2s }, backendRefs: [{ name: http${version}, port: 80 }] }`,
    `    - { matches: [{ path: { value: /${version}/life } }], timeouts: { request: 2s }, backendRefs: [{ name: http${version}, port: 80 }] }`,
  ]);
  rules.push('    - { matches: [{ path: { value: /few } }], backendRefs: [{ name: few, port: 80 }] }');
  if (secure !== undefined) rules.push('    - { matches: [{ path: { value: /secure } }], backendRefs: [{ name: secure, port: 80 }] }');
  return [
    service('http1', [(servers.get('HTTP/1.1') as TunnelServer).port]),
    service('http2', [http2.port]),
    policy('http2', 'protocol: H2C'),
    service('few', [few.port]),
    policy('few', 'protocol: H2C'),
    ...(secure === undefined
      ? []
      : [
          service('secure', [secure.port]),
          policy('secure', 'protocol: HTTP2, tls: { hostname: backend.test, caCertificateRefs: [{ name: ca }] }'),
          `---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: ca }\ndata:\n  ca.crt: |\n${authority.cert.trim().replace(/^/gm, '    ')}\n`,
        ]),
    apiRoute('all', `  rules:\n${rules.join('\n')}`),
  ].join('');
}

let secure: TunnelServer;
/** Takes two streams at once on a connection. */
let few: TunnelServer;

before(async () => {
  few = await TunnelServer.startHttp2(wholeFile, createServer({ settings: { enableConnectProtocol: true, maxConcurrentStreams: 2 } }));
  for (const version of VERSIONS) servers.set(version, await TunnelServer.start(wholeFile, version));
  const issued = authority.issue({ names: ['backend.test'] });
  const overTls = createSecureServer({ cert: issued.cert, key: issued.key, settings: { enableConnectProtocol: true } });
  secure = await TunnelServer.startHttp2(wholeFile, overTls as unknown as Http2Server);
  gateway = await GatewayUnderTest.start(wholeFile, { 'all.yaml': manifests(secure) }, ['--workers', '1']);
});

async function tunnel(t: Lifetime, mix: Mix, what: string, through = gateway): Promise<{ near: TunnelEnd; far: TunnelEnd; path: string }> {
  const path = `/${mix.backend[5]}/${what}/${mix.name}`;
  const near = await openTunnel(t, mix.client, through.http, path);
  return { near, far: await (servers.get(mix.backend) as TunnelServer).asked(path), path };
}

const reasonAt = async (path: string) => (await gateway.untilAccess((line) => line.path === path)).reason;

for (const mix of MIXES) {
  describe(`WebSocket from ${mix.client} to ${mix.backend}`, () => {
    test('the handshake is that of each side', async (t) => {
      const { near, far, path } = await tunnel(t, mix, 'heads');
      assert.equal(near.head.get(':status'), mix.client === 'HTTP/2' ? '200' : '101');
      // Of the key that the fixture sends (RFC 6455 section 1.3).
      assert.equal(near.head.get('sec-websocket-accept'), mix.client === 'HTTP/2' ? undefined : 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
      assert.equal(far.head.get('sec-websocket-version'), '13');
      assert.equal(far.head.has('sec-websocket-key'), mix.backend === 'HTTP/1.1');
      assert.deepEqual([far.head.get(':method'), far.head.get(':protocol')], mix.backend === 'HTTP/2' ? ['CONNECT', 'websocket'] : [undefined, undefined]);
      assert.equal(far.head.get('x-forwarded-for'), '127.0.0.1');
      near.end();
      far.end();
      const line = await gateway.untilAccess((entry) => entry.path === path);
      assert.deepEqual([line.status, line.upstreamStatus, line.method, line.reason], [101, 101, 'GET', undefined]);
    });

    test('each direction ends by itself, and bytes are what they were', async (t) => {
      const payload = Array.from({ length: 200_000 }, (_, index) => String.fromCharCode((index * 7) & 0xff)).join('');
      const { near, far, path } = await tunnel(t, mix, 'half');
      near.write(payload);
      near.end('bye');
      await far.until((end) => end.ended);
      assert.ok(far.received === `${payload}bye`);
      far.write(payload);
      far.end('still here');
      await near.until((end) => end.ended);
      assert.ok(near.received === `${payload}still here`);
      assert.equal(await reasonAt(path), undefined);

      const other = await tunnel(t, mix, 'other-half');
      other.far.end('first');
      await other.near.until((end) => end.ended);
      assert.deepEqual([other.near.received, other.far.ended], ['first', false]);
      other.near.end('second');
      await other.far.until((end) => end.ended);
      assert.equal(other.far.received, 'second');
      assert.equal(await reasonAt(other.path), undefined);
    });

    test('Close frames pass with their codes', async (t) => {
      const { near, far, path } = await tunnel(t, mix, 'codes');
      // 4001 with a reason; what comes back is the other side's own.
      near.write('\x88\x85\0\0\0\0\x0f\xa1why');
      await far.untilReceived('\x88\x85\0\0\0\0\x0f\xa1why');
      far.end('\x88\x02\x0f\xa1');
      await near.until((end) => end.ended);
      near.end();
      await far.until((end) => end.ended);
      assert.deepEqual([far.received, near.received], ['\x88\x85\0\0\0\0\x0f\xa1why', '\x88\x02\x0f\xa1']);
      assert.equal(await reasonAt(path), undefined);
    });

    test('a side that breaks breaks the other', async (t) => {
      // node:http2 ends a stream before it resets it, and node:net hears of no reset behind an end: the log tells which it was.
      const backend = await tunnel(t, mix, 'far-breaks');
      backend.far.break();
      await backend.near.until((end) => end.ended);
      assert.equal(await reasonAt(backend.path), 'upstream_reset');
      const client = await tunnel(t, mix, 'near-breaks');
      client.near.break();
      await client.far.until((end) => end.ended);
      assert.equal(await reasonAt(client.path), 'client_gone');
    });

    test('a refusal is an ordinary answer', async (t) => {
      const path = `/${mix.backend[5]}/${mix.name}/refused`;
      const near = await openTunnel(t, mix.client, gateway.http, path);
      await near.until((end) => end.ended);
      assert.deepEqual([near.head.get(':status'), near.received], ['403', 'no']);
      const line = await gateway.untilAccess((entry) => entry.path === path);
      assert.deepEqual([line.status, line.upstreamStatus], [403, 403]);
    });
  });
}

/** The gateway has said 1001: the client answers, and both sides close. */
async function leave({ near, far }: { readonly near: TunnelEnd; readonly far: TunnelEnd }): Promise<void> {
  await near.untilReceived(GOING_AWAY);
  assert.equal(near.received, GOING_AWAY);
  near.end(ANSWER);
  await far.until((end) => end.ended);
  assert.equal(far.received, ANSWER);
  far.end();
  await near.until((end) => end.ended);
}

test('a tunnel that is over its limit of silence, or of time, ends with 1001 in each mix', async (t) => {
  const limits = [
    ['idle', 'idle_timeout'],
    ['life', 'request_timeout'],
  ] as const;
  await Promise.all(
    limits.flatMap(([what, reason]) =>
      MIXES.map(async (mix) => {
        const made = await tunnel(t, mix, what);
        await leave(made);
        assert.equal(await reasonAt(made.path), reason, mix.name);
      }),
    ),
  );
});

test('over TLS to the backend as well, beside the tunnels of others', async (t) => {
  const sockets = ['one', 'two'].map((name) => new WebSocket(`ws://127.0.0.1:${gateway.http}/secure/${name}`));
  endWith(t, () => {
    for (const socket of sockets) socket.terminate();
  });
  await Promise.all(sockets.map((socket) => once(socket, 'open')));
  for (const [index, name] of ['one', 'two'].entries()) {
    const far = await secure.asked(`/secure/${name}`);
    assert.equal(far.head.get(':scheme'), 'https');
    far.write(`\x81\x03${name}`);
    assert.equal(String((await once(sockets[index] as WebSocket, 'message'))[0]), name);
    (sockets[index] as WebSocket).close(4002);
    await far.until((end) => end.received.length >= 8);
    far.end('\x88\x02\x0f\xa2');
    assert.equal((await once(sockets[index] as WebSocket, 'close'))[0], 4002);
  }
});

test('tunnels may take all the room that a backend has on a connection: what comes with them finds room on others', async (t) => {
  const session = connectHttp2(`http://127.0.0.1:${gateway.http}`);
  endWith(t, () => session.destroy());
  await once(session, 'remoteSettings');
  // All at once, before there is a connection to the backend.
  const handshake = { ':method': 'CONNECT', ':protocol': 'websocket', ':authority': 'a', 'sec-websocket-version': '13' };
  const streams = Array.from({ length: 5 }, (_, index) => session.request({ ...handshake, ':path': `/few/${index}` }, { endStream: false }));
  streams.push(session.request({ ':path': '/few/refused' }));
  const statuses = await Promise.all(streams.map(async (stream) => ((await once(stream, 'response')) as [{ ':status': number }])[0][':status']));
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 403]);
});

test('when the gateway stops, tunnels end with 1001 in each mix', async (t) => {
  const own = await GatewayUnderTest.start(t, { 'all.yaml': manifests(undefined) }, ['--workers', '1']);
  const tunnels = await Promise.all(MIXES.map((mix) => tunnel(t, mix, 'drained', own)));
  own.process.kill('SIGTERM');
  await Promise.all(tunnels.map(leave));
  const [code] = await once(own.process, 'close');
  assert.equal(code, 0);
  for (const { path } of tunnels) assert.equal(own.access.find((line) => line.path === path)?.reason, 'drain');
});
