/** The memory guard on made-up cgroups, as the kernel writes them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryGuard } from './memory-guard.ts';

const MIB = 1024 * 1024;

function guard(files: Record<string, string>) {
  const told: boolean[] = [];
  const guarded = new MemoryGuard(
    (isShort) => told.push(isShort),
    (path) => files[path],
  );
  return { guarded, told };
}

test('version 2: short from 95 % on, and no longer below 90 %', () => {
  const files: Record<string, string> = {
    '/proc/self/cgroup': '0::/\n',
    '/sys/fs/cgroup/memory.max': `${100 * MIB}\n`,
    '/sys/fs/cgroup/memory.current': `${90 * MIB}\n`,
    '/sys/fs/cgroup/memory.stat': 'anon 1\ninactive_file 0\n',
  };
  const { guarded, told } = guard(files);
  assert.equal(guarded.limit, 100 * MIB);
  for (const [used, expected] of [
    [94, []],
    [95, [true]],
    [99, [true]],
    [91, [true]],
    [89, [true, false]],
    [94, [true, false]],
  ] as const) {
    files['/sys/fs/cgroup/memory.current'] = `${used * MIB}\n`;
    guarded.look();
    assert.deepEqual(told, expected, `${used} MiB`);
  }
});

test('the page cache, which the kernel takes back, does not count', () => {
  const { guarded, told } = guard({
    '/proc/self/cgroup': '0::/\n',
    '/sys/fs/cgroup/memory.max': `${100 * MIB}\n`,
    '/sys/fs/cgroup/memory.current': `${100 * MIB}\n`,
    '/sys/fs/cgroup/memory.stat': `anon 1\ninactive_file ${10 * MIB}\nactive_file 1\n`,
  });
  guarded.look();
  assert.deepEqual(told, []);
});

test('version 1', () => {
  const { guarded, told } = guard({
    '/proc/self/cgroup': '5:cpu,cpuacct:/x\n4:memory:/docker/abc\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${10 * MIB}\n`,
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${9.6 * MIB}\n`,
    '/sys/fs/cgroup/memory/memory.stat': 'total_inactive_file 0\n',
  });
  guarded.look();
  assert.deepEqual([guarded.limit, told], [10 * MIB, [true]]);
});

test('the tightest of the limits above counts', () => {
  const { guarded, told } = guard({
    '/proc/self/cgroup': '0::/pods/one/main\n',
    '/sys/fs/cgroup/pods/one/main/memory.max': 'max\n',
    '/sys/fs/cgroup/pods/one/memory.max': `${20 * MIB}\n`,
    '/sys/fs/cgroup/pods/one/memory.current': `${19.5 * MIB}\n`,
    '/sys/fs/cgroup/pods/memory.max': `${1000 * MIB}\n`,
    '/sys/fs/cgroup/pods/memory.current': `${30 * MIB}\n`,
  });
  guarded.look();
  assert.deepEqual([guarded.limit, told], [20 * MIB, [true]]);
});

test('without a limit, or without cgroups, there is nothing to guard', () => {
  for (const files of [
    {},
    { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': 'max\n' },
    { '/proc/self/cgroup': '4:memory:/\n', '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n' },
  ]) {
    const { guarded, told } = guard(files);
    guarded.look();
    assert.deepEqual([guarded.limit, told], [undefined, []]);
  }
});
