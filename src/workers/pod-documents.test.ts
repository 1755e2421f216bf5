/** Documents of the pod reach its workers, those that start later too, and only where they may come from. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { freePort } from '../../scripts/free-port.ts';
import { ec, goodClaims, ISSUER, jwkOf, rules, setOf, tokenOf } from '../policies/auth/jwt/tokens.fixture.ts';
import { makeSelfSigned } from '../proxy/tls/self-signed.ts';
import type { AuthSpec } from '../snapshot/auth.ts';
import type { DocumentRequest } from '../snapshot/documents.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { TLS_PARAMETERS } from '../wire/secure-context.ts';
import { WorkerPool } from './worker-pool.ts';

function snapshot(document: DocumentRequest): Snapshot {
  const auth: AuthSpec = {
    policy: 'default/a',
    namespace: 'default',
    methods: [{ type: 'jwt', from: [{ type: 'Header', name: 'authorization', prefix: 'Bearer ' }], rules: rules(), keys: { type: 'Document', document } }],
    anonymous: 'Deny',
    stripToken: false,
    credentialParameters: [],
  };
  return {
    routes: [
      {
        ...{ id: 'ApiRoute/default/a/0', kind: 'ApiRoute', namespace: 'default', name: 'a', rule: '0', hosts: [{ type: 'Any' }], rank: 0 },
        matches: [{ path: { type: 'PathPrefix', value: '/' }, headers: [], queryParams: [], cookies: [] }],
        ...{ isDefaultBackend: false, httpsRedirect: false, backends: [], timeouts: { request: 60_000, backendRequest: 60_000, idle: 60_000 } },
        filters: { auth, directResponse: { statusCode: 200, contentType: 'text/plain', body: 'in', headers: [] } },
      },
    ],
    ...{ upstreams: new Map(), endpoints: new Map(), certificates: new Map(), serverNames: [], documents: [document] },
  };
}

for (const [allowLoopbackFetch, status] of [
  [true, 200],
  [false, 503],
] as const) {
  test(`keys on this machine, ${allowLoopbackFetch ? '' : 'not '}allowed: ${status}, also by a worker that takes the place of a dead one`, async (t) => {
    const key = ec();
    let asked = 0;
    const server = createServer((_, response) => {
      asked++;
      response.end(setOf(jwkOf(key)));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const threads: Worker[] = [];
    const started = (thread: Worker): void => void threads.push(thread);
    process.on('worker', started);
    t.after(() => process.off('worker', started));
    const port = await freePort();
    const pool = new WorkerPool(
      {
        ...{ workers: 1, http: { host: '127.0.0.1', port }, https: { host: '127.0.0.1', port: await freePort() }, wire: 'auto', trustedProxies: [] },
        ...{
          proxyProtocol: false,
          accessLog: 'off',
          h2c: true,
          tls: TLS_PARAMETERS,
          maxConnections: 20,
          maxConnectionsPerClient: 0,
          cacheMemory: 0,
          maxConcurrency: 'auto',
        },
        ...{ zone: '', traceRatio: 0, allowLoopbackFetch, selfSigned: makeSelfSigned(), ticketKeys: randomBytes(48), affinity: { own: randomBytes(32) } },
      },
      { onListenFailed: (listener, address, code) => assert.fail(`${listener} ${address.port} ${code}`) },
      () => {},
    );
    t.after(() => pool.stop());
    pool.snapshot(snapshot({ kind: 'jwks', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, cacheFor: 600_000 }));
    await pool.untilServing();
    const token = tokenOf(key, { alg: 'ES256' }, { ...goodClaims, iss: ISSUER, exp: 4_102_444_800, nbf: 0, iat: 0 });
    const ask = async (): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close', authorization: `Bearer ${token}` } })).status;
    assert.equal(await ask(), status);
    const victim = threads.find((thread) => thread.threadName === 'worker-0') as Worker;
    const gone = once(victim, 'exit');
    void victim.terminate();
    await gone;
    await pool.untilServing();
    assert.equal(await ask(), status);
    assert.equal(asked, allowLoopbackFetch ? 1 : 0);
    const [counts] = pool.documentCounts;
    assert.deepEqual([counts?.fresh, counts?.missing], allowLoopbackFetch ? [1, 0] : [0, 1]);
    assert.equal((counts?.fetches.get('forbidden_address') ?? 0) > 0, !allowLoopbackFetch);
  });
}
