/** test-e2e/run.ts where a machine lacks what a control plane needs: said in one line, counted as skipped, never as passed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');

/** Runs it with nothing but these commands at hand. */
function runWith(commands: readonly string[]): { readonly status: number | null; readonly stdout: string } {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-tier-'));
  try {
    for (const command of commands) {
      const found = ['/usr/bin', '/bin', '/usr/sbin', '/sbin'].map((place) => join(place, command)).find(existsSync);
      if (found !== undefined) symlinkSync(found, join(folder, command));
    }
    const env = { PATH: folder, HOME: folder, TMPDIR: folder };
    return spawnSync(process.execPath, ['test-e2e/run.ts'], { cwd: root, env, encoding: 'utf8' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('neither Go nor a control plane: one skipped test, and how to get one', () => {
  const { status, stdout } = runWith(['sh', 'sed', 'head', 'dirname', 'unshare', 'ip']);
  const [line, sum, ...rest] = stdout.trimEnd().split('\n');
  assert.match(line ?? '', /^skipped the cluster tier: (no Kubernetes API server: install Go .*KUBEBUILDER_ASSETS|no namespace can be made here)/);
  assert.deepEqual([sum, rest, status], ['0 passed, 0 failed, 1 skipped', [], 0]);
});

test('no unshare: one skipped test', () => {
  const { status, stdout } = runWith(['sh', 'sed', 'head', 'dirname', 'ip']);
  assert.match(stdout, /^skipped the cluster tier: unshare is missing .*\n0 passed, 0 failed, 1 skipped\n$/);
  assert.equal(status, 0);
});
