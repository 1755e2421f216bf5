/** The container image, as far as it can be shown without a container engine: its root file system starts, as the user that it names. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePort } from '../../scripts/free-port.ts';

const root = join(import.meta.dirname, '../..');
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');

function instruction(name: string): string {
  const line = dockerfile.split('\n').findLast((text) => text.startsWith(`${name} `));
  assert.ok(line, `no ${name} in the Dockerfile`);
  return line.slice(name.length + 1);
}

function statusOf(port: number, path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    request({ host: '127.0.0.1', port, path, headers: { host: 'api.localhost' } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', () => resolve(undefined))
      .end();
  });
}

/** Changing the root takes root, or a user namespace in which we are. */
const isRoot = process.getuid?.() === 0;
const canUnshare = isRoot || spawnSync('unshare', ['--user', '--map-root-user', 'true']).status === 0;

describe('container image', { skip: canUnshare ? false : 'neither root nor allowed to make a user namespace' }, () => {
  const image = mkdtempSync(join(tmpdir(), 'tidegate-image-'));
  const running: ChildProcess[] = [];

  /** The image's entry point with other arguments, in its own root and with next to no environment. */
  function enter(args: readonly string[]): readonly [command: string, args: readonly string[]] {
    const entry = JSON.parse(instruction('ENTRYPOINT')) as string[];
    if (isRoot) return ['chroot', [`--userspec=${instruction('USER')}`, image, ...entry, ...args]];
    return ['unshare', ['--user', '--map-root-user', 'chroot', image, ...entry, ...args]];
  }

  before(() => {
    const { status, stderr } = spawnSync('sh', ['scripts/image-root.sh', image], { cwd: root, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    cpSync(join(root, 'manifests/example'), join(image, 'manifests'), { recursive: true });
    // mkdtemp makes folders that nobody else may enter.
    assert.equal(spawnSync('chmod', ['755', image]).status, 0);
  });
  after(() => {
    for (const child of running) child.kill('SIGKILL');
    rmSync(image, { recursive: true });
  });

  test('Node.js is started as bin/tidegate starts it', () => {
    const [, flags = ''] = /^exec "\$node" (.*) "\$program" "\$@"$/m.exec(readFileSync(join(root, 'bin/tidegate'), 'utf8')) ?? [];
    assert.deepEqual((JSON.parse(instruction('ENTRYPOINT')) as string[]).slice(1, -1), flags.split(' '));
    const [, arenas = ''] = /MALLOC_ARENA_MAX:-(\d+)/.exec(readFileSync(join(root, 'bin/tidegate'), 'utf8')) ?? [];
    assert.equal(instruction('ENV'), `MALLOC_ARENA_MAX=${arenas}`);
  });

  test('everything that the Dockerfile copies is there', () => {
    for (const line of dockerfile.split('\n')) {
      const match = /^COPY (?!--from)(.*) \S+$/.exec(line);
      for (const source of match?.[1]?.split(' ') ?? []) assert.ok(existsSync(join(root, source)), `${source} of ${line}`);
    }
  });

  test('holds no shell, no package manager, no tool that only the build needs', () => {
    for (const path of ['bin/sh', 'bin/bash', 'usr/local/bin/npm', 'app/node_modules/typescript', 'app/node_modules/node', 'app/src']) {
      assert.ok(!existsSync(join(image, path)), path);
    }
  });

  test('tells its version', () => {
    const [command, args] = enter(['--version']);
    const { status, stdout, stderr } = spawnSync(command, args, { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.ok(stdout.includes(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version), stdout);
  });

  test('serves, and ends on SIGTERM', async () => {
    const [http, https, admin] = [await freePort(), await freePort(), await freePort()];
    const listen = ['--http', `127.0.0.1:${http}`, '--https', `127.0.0.1:${https}`, '--admin', `127.0.0.1:${admin}`, '--drain-delay', '0s'];
    const [command, args] = enter(['serve', '--manifests', '/manifests', ...listen]);
    const child = spawn(command, args, { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, stdio: ['ignore', 'pipe', 'pipe'] });
    running.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes: Buffer) => {
        output += bytes;
      });
    }
    while ((await statusOf(admin, '/readyz')) !== 200) {
      assert.equal(child.exitCode, null, output);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(await statusOf(http, '/status'), 200);
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    assert.equal(code, 0, output);
  });
});
