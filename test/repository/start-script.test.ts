/** bin/tidegate finds a Node.js that is new enough, says in one line what is missing, and is replaced by the program. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';

const script = join(import.meta.dirname, '../../bin/tidegate');

/** Tells how it was run. */
const program = `process.on('SIGTERM', () => process.exit(7));
console.log(JSON.stringify({ pid: process.pid, node: process.execPath, args: process.argv.slice(2), options: process.env.NODE_OPTIONS ?? '' }));
if (process.argv[2] === 'wait') setInterval(() => {}, 1000);
`;

describe('bin/tidegate', () => {
  const folders: string[] = [];
  let root = '';
  /** Programs that the script itself needs, and whatever a test adds. */
  let path = '';

  beforeEach(() => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'tidegate-start-')));
    folders.push(root);
    for (const folder of ['bin', 'dist/cmd', 'node_modules/node/bin', 'path']) mkdirSync(join(root, folder), { recursive: true });
    copyFileSync(script, join(root, 'bin/tidegate'));
    writeFileSync(join(root, 'dist/cmd/tidegate.js'), program);
    path = join(root, 'path');
    for (const tool of ['readlink', 'dirname']) symlinkSync(spawnSync('which', [tool], { encoding: 'utf8' }).stdout.trim(), join(path, tool));
  });
  after(() => {
    for (const folder of folders) rmSync(folder, { recursive: true });
  });

  const addNode = (version: string) => {
    const file = join(path, 'node');
    writeFileSync(file, `#!/bin/sh\n[ "$1" = --version ] && echo ${version} && exit\nFAKE=1 exec ${process.execPath} "$@"\n`);
    chmodSync(file, 0o755);
  };
  const addBundledNode = () => symlinkSync(process.execPath, join(root, 'node_modules/node/bin/node'));
  const run = (command: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) => {
    const { status, stdout, stderr } = spawnSync('/bin/sh', [command, ...args], { encoding: 'utf8', env: { PATH: path, ...env } });
    return { status, stdout, stderr };
  };

  test('takes the Node.js of the PATH when it is new enough', () => {
    addNode('v24.0.0');
    const { status, stdout } = run(join(root, 'bin/tidegate'), ['a', 'b c', '']);
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout).args, ['a', 'b c', '']);
  });

  for (const old of ['v20.20.2', 'v9.1.0', 'nonsense']) {
    test(`takes the npm package's Node.js where the PATH has ${old}`, () => {
      addNode(old);
      addBundledNode();
      const { status, stdout } = run(join(root, 'bin/tidegate'));
      assert.equal(status, 0);
      assert.equal(JSON.parse(stdout).node, realpathSync(process.execPath));
    });
  }

  test('takes it where the PATH has none', () => {
    addBundledNode();
    assert.equal(run(join(root, 'bin/tidegate')).status, 0);
  });

  test('says in one line that there is no Node.js', () => {
    addNode('v20.20.2');
    const { status, stdout, stderr } = run(join(root, 'bin/tidegate'));
    assert.equal(status, 70);
    assert.equal(stdout, '');
    assert.match(stderr, /^tidegate: needs Node\.js 24 or later: .*make build.*\n$/);
  });

  test('says in one line that it is not built', () => {
    addBundledNode();
    rmSync(join(root, 'dist'), { recursive: true });
    const { status, stderr } = run(join(root, 'bin/tidegate'));
    assert.equal(status, 70);
    assert.match(stderr, /^tidegate: not built yet .*make build.*\n$/);
  });

  test('works through symbolic links, absolute and relative ones', () => {
    addBundledNode();
    mkdirSync(join(root, 'links'));
    symlinkSync('../bin/tidegate', join(root, 'links/relative'));
    symlinkSync(join(root, 'links/relative'), join(root, 'links/absolute'));
    assert.equal(run(join(root, 'links/relative')).status, 0);
    assert.equal(run(join(root, 'links/absolute')).status, 0);
  });

  test('honours NODE_OPTIONS', () => {
    addBundledNode();
    const { stdout } = run(join(root, 'bin/tidegate'), [], { NODE_OPTIONS: '--max-old-space-size=100' });
    assert.equal(JSON.parse(stdout).options, '--max-old-space-size=100');
  });

  test('leaves it to Node.js to say what is wrong with NODE_OPTIONS', () => {
    addBundledNode();
    const { status, stderr } = run(join(root, 'bin/tidegate'), [], { NODE_OPTIONS: '--no-such-option' });
    assert.equal(status, 9);
    assert.match(stderr, /--no-such-option/);
  });

  test('is replaced by the program, so that signals reach it', async (t) => {
    addBundledNode();
    const child = spawn(join(root, 'bin/tidegate'), ['wait'], { env: { PATH: path }, stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    const [line] = await once(child.stdout, 'data');
    assert.equal(JSON.parse(String(line)).pid, child.pid);
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    assert.equal(code, 7);
  });
});
