import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, openSync, renameSync, rmSync, symlinkSync, truncateSync, unlinkSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { ResourceSet } from '../resources/resource-set.ts';
import { Harness, service } from './file-source.fixture.ts';
import { FileSource } from './file-source.ts';
import { FolderError, scanFolder } from './folder-scan.ts';

/** For all tests of a group together. */
const LIMIT = { timeout: 240_000 };

describe('reading', LIMIT, () => {
  test('every manifest below the folder, whatever its depth; nothing else', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a'));
    harness.write('b.yml', service('b'));
    harness.write('c.json', JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'c' }, spec: { ports: [{ port: 80 }] } }));
    harness.write('deep/er/d.yaml', service('d'));
    harness.write('.hidden.yaml', service('hidden'));
    harness.write('.git/e.yaml', service('git'));
    harness.write('README.md', '# [');
    harness.write('f.yaml.bak', '{');
    const set = await harness.start();
    assert.deepEqual(harness.ports(), { a: 80, b: 80, c: 80, d: 80 });
    assert.equal(set.services.get('default/d')?.origin.file, 'deep/er/d.yaml');
    assert.deepEqual([set.fileProblems, harness.said], [[], []]);
  });

  test('links: to files and folders, twice, in a circle, to nothing', async (context) => {
    const harness = new Harness(context);
    harness.write('../elsewhere/inner/a.yaml', service('a'));
    harness.write('b.yaml', service('b'));
    symlinkSync('../elsewhere', harness.path('linked'));
    symlinkSync('b.yaml', harness.path('c.yaml'));
    symlinkSync('.', harness.path('circle'));
    symlinkSync('../linked', join(harness.root, 'elsewhere/circle'));
    symlinkSync('nothing', harness.path('gone.yaml'));
    symlinkSync('nothing', harness.path('gone'));
    await harness.start();
    assert.deepEqual(harness.ports(), { a: 80, b: 80 });
    assert.deepEqual(harness.set.rejected, [], 'b is one file with two names');
    assert.match(harness.problems().join('\n'), /gone\.yaml:0 the symbolic link leads nowhere/);
  });

  test('what is no regular file is told, and not waited for', { skip: process.platform === 'win32' }, async (context) => {
    const harness = new Harness(context);
    execFileSync('mkfifo', [harness.path('pipe.yaml')]);
    harness.write('a.yaml', service('a'));
    await harness.start();
    assert.deepEqual(harness.ports(), { a: 80 });
    assert.deepEqual(harness.problems(), ['pipe.yaml:0 it is no regular file']);
  });

  test('an empty folder is fine, and told', async (context) => {
    const harness = new Harness(context);
    await harness.start();
    assert.deepEqual([harness.set.services.size, harness.set.fileProblems], [0, []]);
    assert.deepEqual(
      harness.said.map(({ level, message }) => [level, message]),
      [['warn', 'the manifest folder holds no manifests']],
    );
    harness.write('a.yaml', service('a'));
    await harness.until((set) => set.services.size === 1);
  });

  test('bad files leave the others alone', async (context) => {
    const harness = new Harness(context);
    harness.write('1-binary.yaml', Buffer.from([0, 1, 2]));
    harness.write('2-brackets.yaml', '['.repeat(100_000));
    harness.write('3-large.yaml', Buffer.alloc(10 * 1024 * 1024, 0x61));
    harness.write('4-good.yaml', service('good'));
    harness.write('5-half.yaml', `${service('half')}---\na: [\n`);
    await harness.start();
    assert.deepEqual(harness.ports(), { good: 80, half: 80 });
    const expected = [
      '1-binary.yaml:0 the file is binary, not text',
      '2-brackets.yaml:1 lists and mappings are nested',
      '3-large.yaml:0 the file has 10.0 MiB',
      '5-half.yaml:7 not YAML: ',
    ];
    assert.deepEqual(
      harness.problems().map((text, index) => text.slice(0, expected[index]?.length)),
      expected,
    );
    assert.equal(harness.errors().length, 4);
  });
});

describe('folders that cannot be read', LIMIT, () => {
  const start = (folder: string): Promise<ResourceSet> => new FileSource({ folder, log: () => {} }).start();

  test('missing, a file, a circle of links', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a'));
    symlinkSync('round', join(harness.root, 'round'));
    for (const [folder, reason, message] of [
      [join(harness.root, 'nowhere'), 'Missing', /nowhere does not exist$/],
      [harness.path('a.yaml'), 'NotAFolder', /a\.yaml is not a folder; name the folder/],
      [harness.path('a.yaml/x'), 'NotAFolder', /not a folder/],
      [join(harness.root, 'round'), 'Unreadable', /cannot be read: its symbolic links lead in a circle$/],
    ] as const) {
      await assert.rejects(start(folder), (error) => {
        assert.ok(error instanceof FolderError);
        assert.equal(error.reason, reason);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      });
    }
  });

  const isRoot = process.getuid?.() === 0;

  /** What a user who may not do everything sees; as root, a process of its own with another user. */
  function scanAsNobody(folder: string): string {
    const code = `import(${JSON.stringify(join(import.meta.dirname, 'folder-scan.ts'))}).then(({ scanFolder }) => scanFolder(${JSON.stringify(folder)})).then(
      ({ files, unreadable }) => console.log(JSON.stringify([[...files.keys()], [...unreadable].map(([path, { message }]) => path + ': ' + message)])),
      (error) => console.log(error.reason, error.message));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8', cwd: '/', ...(isRoot ? { uid: 65_534, gid: 65_534 } : {}) });
    assert.equal(stderr, '');
    return stdout.trim();
  }

  test('permission denied: the folder, a folder below', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a'));
    harness.write('locked/b.yaml', service('b'));
    chmodSync(harness.root, 0o755);
    chmodSync(harness.path('locked'), 0o000);
    try {
      assert.equal(scanAsNobody(harness.folder), JSON.stringify([['a.yaml'], ['locked: the folder cannot be read: permission denied']]));
      chmodSync(harness.folder, 0o000);
      assert.equal(scanAsNobody(harness.folder), `Unreadable folder ${harness.folder} cannot be read: permission denied`);
    } finally {
      chmodSync(harness.folder, 0o755);
      chmodSync(harness.path('locked'), 0o755);
    }
  });
});

describe('edits are taken in', LIMIT, () => {
  test('written in place, by rename, new, removed', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a', 1));
    const first = await harness.start();
    harness.write('a.yaml', service('a', 2));
    await harness.until(() => harness.ports().a === 2);
    writeFileSync(harness.path('.a.tmp'), service('a', 3));
    renameSync(harness.path('.a.tmp'), harness.path('a.yaml'));
    await harness.until(() => harness.ports().a === 3);
    harness.write('new/b.yaml', service('b'));
    await harness.until(() => harness.ports().b === 80);
    harness.write('new/b.yaml', service('b', 81));
    await harness.until(() => harness.ports().b === 81);
    unlinkSync(harness.path('a.yaml'));
    await harness.until(() => !('a' in harness.ports()));
    assert.equal(harness.set.secrets, first.secrets, 'kinds that no edit touched are the same');
    assert.deepEqual(harness.errors(), []);
  });

  test('as a mounted ConfigMap changes: by a link swapped in one step', async (context) => {
    const harness = new Harness(context);
    harness.write('..v1/a.yaml', service('a', 1));
    harness.write('..v2/a.yaml', service('a', 2));
    harness.write('..v2/b.yaml', service('b', 2));
    symlinkSync('..v1', harness.path('..data'));
    for (const name of ['a.yaml', 'b.yaml']) symlinkSync(`..data/${name}`, harness.path(name));
    await harness.start();
    assert.deepEqual(harness.ports(), { a: 1 });
    symlinkSync('..v2', harness.path('..data_tmp'));
    renameSync(harness.path('..data_tmp'), harness.path('..data'));
    rmSync(harness.path('..v1'), { recursive: true });
    await harness.until(() => harness.ports().a === 2 && harness.ports().b === 2);
    assert.ok(
      harness.sets.every((set) => set.services.has('default/a')),
      'a was there all the time',
    );
  });

  test('the folder itself may be a link that is swapped', async (context) => {
    const harness = new Harness(context);
    rmSync(harness.folder, { recursive: true });
    harness.write('../r1/a.yaml', service('a', 1));
    harness.write('../r2/a.yaml', service('a', 2));
    rmSync(harness.folder, { recursive: true, force: true });
    symlinkSync('r1', harness.folder);
    await harness.start();
    symlinkSync('r2', `${harness.folder}.tmp`);
    renameSync(`${harness.folder}.tmp`, harness.folder);
    await harness.until(() => harness.ports().a === 2);
    writeFileSync(join(harness.root, 'r2/a.yaml'), service('a', 3));
    await harness.until(() => harness.ports().a === 3);
  });

  test('a file behind a link to elsewhere, of the same size and with its old time', async (context) => {
    const harness = new Harness(context);
    const elsewhere = join(harness.root, 'elsewhere.yaml');
    writeFileSync(elsewhere, service('a', 1));
    symlinkSync(elsewhere, harness.path('a.yaml'));
    await harness.start();
    const then = new Date('2020-01-01');
    writeFileSync(elsewhere, service('a', 2));
    utimesSync(elsewhere, then, then);
    await harness.until(() => harness.ports().a === 2);
    writeFileSync(elsewhere, service('a', 3));
    utimesSync(elsewhere, then, then);
    await harness.until(() => harness.ports().a === 3);
  });

  test('a file that is written in pieces counts when it is whole', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', `${service('a', 1)}---\n${service('b', 1)}`);
    await harness.start();
    // On a machine that stops for so long that the file seems to be whole it is written once more.
    for (let [port, longest] = [1, Number.POSITIVE_INFINITY]; longest > 25; ) {
      port++;
      const before = harness.sets.length;
      const text = `${service('a', port)}---\n${service('b', port)}`;
      const file = openSync(harness.path('a.yaml'), 'w');
      longest = 0;
      for (let at = 0; at < text.length; at += 40) {
        const since = performance.now();
        writeSync(file, text.slice(at, at + 40));
        await new Promise((resolve) => setImmediate(resolve));
        longest = Math.max(longest, performance.now() - since);
      }
      closeSync(file);
      await harness.until(() => harness.ports().a === port && harness.ports().b === port);
      if (longest <= 25) assert.equal(harness.sets.length, before + 1, 'no set in between');
    }
    assert.deepEqual(harness.said, []);
  });

  test('nothing is told after close, nor after a subscription ended', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a', 1));
    await harness.start();
    let calls = 0;
    const end = harness.source.onChange(() => calls++);
    end();
    harness.write('a.yaml', service('a', 2));
    await harness.until(() => harness.ports().a === 2);
    assert.equal(calls, 0);
    await harness.source.close();
    const { length } = harness.sets;
    harness.write('a.yaml', service('a', 3));
    await scanFolder(harness.folder);
    assert.equal(harness.sets.length, length);
  });
});

describe('what goes wrong while serving', LIMIT, () => {
  test('a file that stops parsing keeps its objects, and says so once, with its line', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', `${service('a', 1)}---\n${service('b', 1)}`);
    harness.write('c.yaml', service('c', 1));
    await harness.start();
    harness.write('a.yaml', `${service('a', 2)}---\n${service('b', 2)}  bad: [\n`);
    harness.write('c.yaml', service('c', 2));
    await harness.until(() => harness.problems().length === 1 && harness.ports().c === 2);
    assert.deepEqual(harness.ports(), { a: 1, b: 1, c: 2 });
    assert.match(harness.problems()[0] ?? '', /^a\.yaml:\d+ not YAML/);
    await harness.settled();
    assert.deepEqual(
      harness.errors().map(({ message, fields }) => [message, fields.file]),
      [['manifest file has a problem; what it last held stays in force', 'a.yaml']],
    );
    harness.write('a.yaml', service('a', 3));
    await harness.until(() => harness.problems().length === 0);
    assert.deepEqual(harness.ports(), { a: 3, c: 2 });
    assert.deepEqual(
      harness.said.filter(({ level }) => level === 'info').map(({ message, fields }) => [message, fields.file]),
      [['manifest file has no problem any more', 'a.yaml']],
    );
  });

  test('a bad object keeps its last good version, and hurts no other', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', `${service('a', 1)}---\n${service('b', 1)}`);
    await harness.start();
    harness.write('a.yaml', `${service('a', 0)}---\n${service('b', 2)}`);
    await harness.until(() => harness.ports().b === 2);
    assert.equal(harness.ports().a, 1);
    assert.equal(harness.set.services.get('default/a')?.problems[0]?.field, 'spec.ports[0].port');
  });

  test('a file that is deleted takes its objects along, though it is broken', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a'));
    harness.write('b.yaml', service('b'));
    await harness.start();
    harness.write('a.yaml', 'a: [');
    await harness.until(() => harness.problems().length === 1);
    unlinkSync(harness.path('a.yaml'));
    await harness.until((set) => set.fileProblems.length === 0);
    assert.deepEqual(harness.ports(), { b: 80 });
  });

  test('a file that turns binary, too large, or into a link to nothing keeps its objects', async (context) => {
    const harness = new Harness(context);
    for (const name of ['a', 'b', 'c']) harness.write(`${name}.yaml`, service(name));
    await harness.start();
    harness.write('a.yaml', Buffer.from([0]));
    truncateSync(harness.path('b.yaml'), 10 * 1024 * 1024);
    symlinkSync('nothing', harness.path('c.tmp'));
    renameSync(harness.path('c.tmp'), harness.path('c.yaml'));
    await harness.until((set) => set.fileProblems.length === 3);
    assert.deepEqual(harness.ports(), { a: 80, b: 80, c: 80 });
  });

  test('emptied: the last state stays, loudly, until there is something again', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a'));
    harness.write('below/b.yaml', service('b'));
    await harness.start();
    rmSync(harness.path('a.yaml'));
    rmSync(harness.path('below'), { recursive: true });
    await harness.until((set) => set.fileProblems.length === 1);
    assert.deepEqual(harness.ports(), { a: 80, b: 80 });
    assert.match(harness.problems()[0] ?? '', /^\.:0 the folder holds no manifests any more; what it held stays in force$/);
    assert.equal(harness.errors().length, 1);
    harness.write('c.yaml', service('c'));
    await harness.until((set) => set.fileProblems.length === 0);
    assert.deepEqual(harness.ports(), { c: 80 });
  });

  test('cut to nothing: the same', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a'));
    await harness.start();
    truncateSync(harness.path('a.yaml'), 0);
    await harness.until((set) => set.fileProblems.length === 1);
    assert.deepEqual(harness.ports(), { a: 80 });
    harness.write('a.yaml', service('a', 81));
    await harness.until((set) => set.fileProblems.length === 0);
    assert.deepEqual(harness.ports(), { a: 81 });
  });

  test('one of several files cut to nothing: its objects go', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a'));
    harness.write('b.yaml', service('b'));
    await harness.start();
    truncateSync(harness.path('a.yaml'), 0);
    await harness.until((set) => set.services.size === 1);
    assert.deepEqual([harness.ports(), harness.problems()], [{ b: 80 }, []]);
  });

  test('gone: the last state stays, loudly, until it is back', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a'));
    await harness.start();
    renameSync(harness.folder, `${harness.folder}.gone`);
    await harness.until((set) => set.fileProblems.length === 1);
    assert.deepEqual(harness.ports(), { a: 80 });
    assert.match(harness.problems()[0] ?? '', /manifests does not exist; what it held stays in force$/);
    writeFileSync(join(`${harness.folder}.gone`, 'a.yaml'), service('a', 81));
    renameSync(`${harness.folder}.gone`, harness.folder);
    await harness.until((set) => set.fileProblems.length === 0 && harness.ports().a === 81);
    harness.write('a.yaml', service('a', 82));
    await harness.until(() => harness.ports().a === 82);
    assert.equal(harness.errors().length, 1);
  });

  test('rejected objects are told once', async (context) => {
    const harness = new Harness(context);
    harness.write('a.yaml', service('a'));
    harness.write('b.yaml', service('a'));
    await harness.start();
    await harness.settled();
    assert.deepEqual(
      harness.said.map(({ level, message, fields }) => [level, message, fields.file, fields.line, fields.name]),
      [['warn', 'manifest object is refused', 'b.yaml', 3, 'a']],
    );
  });
});
