/** ExternalName Services on the built program: names are resolved ahead of traffic, and where they may not lead they give no endpoint. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { answering, Backend } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute } from './manifests.ts';

/** In place of the machine's resolver, so that nothing is asked of any network; it must not be asked for any other name. */
const RESOLVER = `
import dns from 'node:dns/promises';
import { syncBuiltinESMExports } from 'node:module';
const names = { 'good.test': ['127.0.0.1'], 'metadata.test': ['169.254.169.254'], 'mixed.test': ['127.0.0.1', '169.254.169.254', '0.0.0.0'] };
dns.lookup = async (name) => {
  if (names[name] === undefined) throw Object.assign(new Error('getaddrinfo ENOTFOUND ' + name), { code: 'ENOTFOUND' });
  return names[name].map((address) => ({ address, family: 4 }));
};
syncBuiltinESMExports();
`;

let backend: Backend;
let folder: string;

before(async () => {
  backend = await Backend.start(wholeFile, answering('ok'));
  folder = mkdtempSync(join(tmpdir(), 'tidegate-names-'));
  writeFileSync(join(folder, 'resolver.mjs'), RESOLVER);
});
after(() => rmSync(folder, { recursive: true }));

/** A Service of that name, and a route to it by path. */
function external(name: string, externalName: string): string {
  const { port } = backend;
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { type: ExternalName, externalName: ${externalName}, ports: [{ port: ${port} }] }
${apiRoute(name, `  rules: [{ matches: [{ path: { value: /${name} } }], backendRefs: [{ name: ${name}, port: ${port} }] }]`)}`;
}

const NAMES = { good: 'good.test', metadata: 'metadata.test', mixed: 'mixed.test', gone: 'gone.test' };

for (const wire of ['stream', 'handle']) {
  test(`names lead to their addresses but for those that are refused (${wire})`, async (t) => {
    const manifests = Object.entries(NAMES)
      .map(([name, externalName]) => external(name, externalName))
      .join('');
    const resolver = { NODE_OPTIONS: `--import ${pathToFileURL(join(folder, 'resolver.mjs'))}` };
    const gateway = await GatewayUnderTest.start(t, { 'all.yaml': manifests }, ['--allow-external-name', '--workers', '1', '--wire', wire], resolver);
    // From the first request on: the gateway serves only with addresses.
    for (const [path, status] of Object.entries({ '/good': 200, '/mixed': 200, '/metadata': 503, '/gone': 503 })) {
      for (let count = 0; count < 3; count++) assert.equal((await get(gateway.http, path)).status, status, path);
    }
    const snapshot = JSON.stringify(JSON.parse((await get(gateway.admin, '/debug/snapshot')).body));
    assert.doesNotMatch(snapshot, /169\.254|0\.0\.0\.0|\.test"/);
    assert.match(snapshot, /"address":"127\.0\.0\.1"/);
    const { body } = await get(gateway.admin, '/metrics');
    for (const line of [
      'tidegate_external_names{state="resolved"} 3',
      'tidegate_external_names{state="stale"} 0',
      'tidegate_external_names{state="unresolved"} 1',
      'tidegate_external_name_refused_addresses 3',
      `tidegate_upstream_endpoints{upstream="default/metadata/${backend.port}",state="healthy"} 0`,
      `tidegate_upstream_endpoints{upstream="default/mixed/${backend.port}",state="healthy"} 1`,
    ]) {
      assert.ok(body.includes(`${line}\n`), `${line}\n${body.match(/^tidegate_(external|upstream_endpoints).*$/gm)?.join('\n')}`);
    }
    const refused = await gateway.untilLogged('a name leads to an address that no endpoint may have', (line) => line.name === 'metadata.test');
    assert.equal(refused.address, '169.254.169.254');
    const failed = await gateway.untilLogged('a name can not be resolved');
    assert.deepEqual([failed.name, failed.upstreams], ['gone.test', [`default/gone/${backend.port}`]]);

    // A name that comes later is resolved at once, one that is edited leads elsewhere.
    await gateway.write('all.yaml', external('gone', 'good.test') + external('good', 'metadata.test') + external('late', 'good.test'));
    await gateway.until('/late', (status) => status === 200);
    assert.deepEqual([(await get(gateway.http, '/gone')).status, (await get(gateway.http, '/good')).status], [200, 503]);
  });
}

test('a name of this machine’s hosts file is resolved by it', async (t) => {
  const gateway = await GatewayUnderTest.start(t, { 'all.yaml': external('local', 'localhost') }, ['--allow-external-name', '--workers', '1']);
  assert.equal((await get(gateway.http, '/local')).body, 'ok');
});

test('without --allow-external-name no name is looked up', async (t) => {
  const gateway = await GatewayUnderTest.start(t, { 'all.yaml': external('local', 'localhost') }, ['--workers', '1']);
  assert.equal((await get(gateway.http, '/local')).status, 500);
  assert.match((await get(gateway.admin, '/metrics')).body, /^tidegate_external_names\{state="resolved"\} 0$/m);
});
