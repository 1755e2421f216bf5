/** What flags do, and that each may be given by its environment variable instead. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { freePort } from '../../scripts/free-port.ts';
import { answering, Backend } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest, type LogLine } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, catchAll, service } from './manifests.ts';
import { type Outcome, runProgram, spawnProgram } from './program.ts';

let backend: Backend;
let folder: string;

before(async () => {
  backend = await Backend.start(wholeFile, answering('ok'));
  folder = mkdtempSync(join(tmpdir(), 'tidegate-flags-'));
});
after(() => rmSync(folder, { recursive: true }));

function everything(): Record<string, string> {
  return { 'all.yaml': service('web', [backend.port]) + catchAll('web') };
}

/** The value of a field in the head that the backend has seen last. */
function seen(name: string): string | undefined {
  return new RegExp(`^${name}: (.*?)\r?$`, 'im').exec(backend.requests.at(-1)?.head ?? '')?.[1];
}

async function validate(env: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<Outcome> {
  const file = join(folder, 'warning.yaml');
  writeFileSync(file, catchAll('nowhere'));
  return runProgram(['validate', file, ...args], { env: { ...process.env, ...env } });
}

test('--trusted-proxies: what a trusted peer says of the client is believed and passed on', async (t) => {
  const gateway = await GatewayUnderTest.start(t, everything(), ['--trusted-proxies', '127.0.0.0/8, 192.0.2.0/24']);
  await get(gateway.http, '/trusted', { 'X-Forwarded-For': '10.9.9.9, 203.0.113.7, 192.0.2.1', 'X-Forwarded-Proto': 'https', Forwarded: 'for=a' });
  assert.equal(seen('X-Forwarded-For'), '10.9.9.9, 203.0.113.7, 192.0.2.1, 127.0.0.1');
  assert.equal(seen('X-Forwarded-Proto'), 'https');
  assert.equal(seen('Forwarded'), 'for=a');
  assert.equal(seen('X-Real-IP'), '203.0.113.7');
  assert.equal((await gateway.untilAccess((line) => line.path === '/trusted')).clientIp, '203.0.113.7');
});

test('--default-certificate serves names that nobody claims', async (t) => {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-nodes',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-keyout',
      key,
      '-out',
      cert,
      '-days',
      '30',
      '-subj',
      '/CN=default.test',
    ],
    { stdio: 'ignore' },
  );
  const data = { 'tls.crt': readFileSync(cert).toString('base64'), 'tls.key': readFileSync(key).toString('base64') };
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'fallback', namespace: 'edge' }, type: 'kubernetes.io/tls', data };
  const gateway = await GatewayUnderTest.start(t, { 'secret.json': JSON.stringify(secret) }, [], { TIDEGATE_DEFAULT_CERTIFICATE: 'edge/fallback' });
  const name = await new Promise((resolve, reject) => {
    const socket = connect({ port: gateway.https, host: '127.0.0.1', servername: 'anybody.test', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    endWith(t, () => socket.destroy());
    socket.on('error', reject);
  });
  assert.equal(name, 'default.test');
});

test('--allow-external-name', async (t) => {
  const external = `---
apiVersion: v1
kind: Service
metadata: { name: outside }
spec: { type: ExternalName, externalName: localhost, ports: [{ port: ${backend.port} }] }
`;
  const route = apiRoute('outside', `  rules: [{ backendRefs: [{ name: outside, port: ${backend.port} }] }]`);
  for (const [args, status] of [
    [[], 500],
    [['--allow-external-name'], 200],
  ] as const) {
    const gateway = await GatewayUnderTest.start(t, { 'all.yaml': external + route }, args);
    assert.equal((await get(gateway.http, '/')).status, status, args.join(' '));
  }
});

for (const wire of ['stream', 'handle']) {
  test(`--wire ${wire}`, async (t) => {
    const gateway = await GatewayUnderTest.start(t, everything(), ['--workers', '1', '--wire', wire]);
    assert.equal((await gateway.untilLogged('worker serves')).wire, wire);
    assert.equal((await get(gateway.http, '/')).body, 'ok');
  });
}

test('--access-log: a named pipe that nobody reads is one line and exit 1, and not a wait for its reader', async () => {
  const pipe = join(folder, 'unread');
  execFileSync('mkfifo', [pipe]);
  const { code, stderr } = await runProgram([
    ...['serve', '--manifests', folder, '--access-log', pipe],
    ...['--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0'],
  ]);
  const line = stderr.split('\n').filter((text) => text !== '' && !text.startsWith('{'));
  assert.deepEqual([code, line], [1, [`tidegate: --access-log ${pipe}: nobody reads this named pipe; start its reader first`]]);
});

test('--access-log: a file, which SIGHUP opens anew; every line is there at the end; off', async (t) => {
  const [file, moved] = [join(folder, 'access.log'), join(folder, 'access.log.1')];
  const paths = (log: string): string[] =>
    readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { path: string }).path);
  const gateway = await GatewayUnderTest.start(t, everything(), ['--workers', '2', '--access-log', file]);
  await get(gateway.http, '/before');
  while (!paths(file).includes('/before')) await new Promise((resolve) => setTimeout(resolve, 10));
  renameSync(file, moved);
  gateway.process.kill('SIGHUP');
  for (let found = false; !found; ) {
    await get(gateway.http, '/after');
    await new Promise((resolve) => setTimeout(resolve, 10));
    try {
      found = paths(file).includes('/after');
    } catch {
      // Not there yet.
    }
  }
  for (let index = 0; index < 40; index++) await get(gateway.http, `/last/${index}`);
  assert.equal(await gateway.stop(), 0);
  assert.equal([...paths(moved), ...paths(file)].filter((path) => path.startsWith('/last/')).length, 40);

  const silent = await GatewayUnderTest.start(t, everything(), ['--access-log', 'off']);
  await get(silent.http, '/');
  assert.equal(await silent.stop(), 0);
  assert.deepEqual(silent.access, []);
});

const LEVELS = ['debug', 'info', 'warn', 'error'];

/** The levels of all lines of a gateway that has something to say on each of them, from its start to its end. */
async function levelsOf(t: TestContext, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string[]> {
  const manifests = mkdtempSync(join(folder, 'levels-'));
  writeFileSync(join(manifests, 'broken.yaml'), 'kind: [');
  writeFileSync(join(manifests, 'nowhere.yaml'), catchAll('nowhere'));
  const admin = await freePort();
  const listen = ['--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', `127.0.0.1:${admin}`, '--drain-delay', '0s', '--workers', '1'];
  const child = spawnProgram(['serve', '--manifests', manifests, ...listen, ...args], { env: { ...process.env, ...env } });
  endWith(t, () => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  for (let ready = false; !ready; await new Promise((resolve) => setTimeout(resolve, 20))) {
    assert.equal(child.exitCode, null, stderr);
    ready = await get(admin, '/readyz').then(
      ({ status }) => status === 200,
      () => false,
    );
  }
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'close'), [0, null], stderr);
  const lines = stderr.trimEnd().split('\n');
  return LEVELS.filter((level) => lines.some((line) => (JSON.parse(line) as LogLine).level === level));
}

for (const [index, level] of LEVELS.entries()) {
  test(`--log-level ${level}: lines of that level and above, and no others`, async (t) => {
    assert.deepEqual(await levelsOf(t, ['--log-level', level]), LEVELS.slice(index));
  });
}

test('--log-level is info where nothing is said, and its variable counts', async (t) => {
  assert.deepEqual(await levelsOf(t, []), ['info', 'warn', 'error']);
  assert.deepEqual(await levelsOf(t, [], { TIDEGATE_LOG_LEVEL: 'error' }), ['error']);
});

test('a level that is none is wrong usage, in one line that names those that are', async () => {
  for (const [args, env] of [
    [['--log-level', 'loud'], {}],
    [[], { TIDEGATE_LOG_LEVEL: 'loud' }],
  ] as const) {
    const { code, stderr } = await runProgram(['serve', '--manifests', folder, ...args], { env: { ...process.env, ...env } });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /^error: .*(--log-level|TIDEGATE_LOG_LEVEL).*loud.*debug, info, warn, error.*\n$/);
  }
});

test('--tls-min-version, --tls-max-version, --tls-ciphers: what cannot be is wrong usage, in one line', async () => {
  for (const [args, message] of [
    [['--tls-min-version', '1.1'], /--tls-min-version.*1\.1.*1\.2, 1\.3/],
    [['--tls-ciphers', 'AES128-SHA'], /--tls-ciphers.*"AES128-SHA" is none of the cipher suites, which are TLS_AES_128/],
    [['--tls-min-version', '1.3', '--tls-max-version', '1.2'], /at least and TLS 1\.2 at most leave no version/],
    [['--tls-min-version', '1.3', '--tls-ciphers', 'ECDHE-RSA-AES128-GCM-SHA256'], /none of the cipher suites is for TLS 1\.3; those are TLS_AES/],
  ] as const) {
    const { code, stderr } = await runProgram(['serve', '--manifests', folder, ...args]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /^error: .*\n$/);
    assert.match(stderr, message);
  }
});

for (const wire of ['stream', 'handle']) {
  test(`--tls-max-version and --tls-ciphers hold for clients, with --wire ${wire}`, async (t) => {
    const args = ['--workers', '1', '--wire', wire, '--tls-max-version', '1.2', '--tls-ciphers', 'ECDHE-ECDSA-CHACHA20-POLY1305,ECDHE-ECDSA-AES256-GCM-SHA384'];
    const gateway = await GatewayUnderTest.start(t, everything(), args);
    const cipherOf = async (options: ConnectionOptions): Promise<string> => {
      const socket = connect({ host: '127.0.0.1', port: gateway.https, rejectUnauthorized: false, ...options });
      socket.on('error', () => {});
      await once(socket, 'secureConnect');
      const agreed = `${socket.getProtocol()} ${socket.getCipher().name}`;
      socket.destroy();
      return agreed;
    };
    // The gateway's order counts.
    assert.equal(await cipherOf({ ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305' }), 'TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305');
    await assert.rejects(cipherOf({ minVersion: 'TLSv1.3' }));
    await assert.rejects(cipherOf({ ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }));
  });
}

test('variables stand for flags, and flags go before them', async (t) => {
  const gateway = await GatewayUnderTest.start(t, everything(), ['--workers', '1'], { TIDEGATE_WORKERS: '3', TIDEGATE_WIRE: 'stream' });
  assert.equal((await gateway.untilLogged('serving')).workers, 1);
  assert.equal((await gateway.untilLogged('worker serves')).wire, 'stream');
});

test('variables of flags without a value say yes or no', async () => {
  for (const value of ['true', '1', 'TRUE']) assert.equal((await validate({ TIDEGATE_STRICT: value })).code, 1, value);
  for (const value of ['false', '0', '']) assert.equal((await validate({ TIDEGATE_STRICT: value })).code, 0, value);
  assert.equal((await validate({ TIDEGATE_STRICT: 'false' }, '--strict')).code, 1);
  const { code, stderr } = await validate({ TIDEGATE_STRICT: 'maybe' });
  assert.equal(code, 2);
  assert.match(stderr, /^error: TIDEGATE_STRICT is "maybe".*\n$/);
});
