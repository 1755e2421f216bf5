/** What a worker loads at its start, whatever its snapshot has in it: libraries for a few routes are not among it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
/** Imports that are left when types are gone; those that are made as the program runs are not among them. */
const IMPORT = /^(?:import|export)\s+(?!type\b)(?:[^;'"]*?\sfrom\s+)?'([^']+)';/gm;

/** @returns the packages that a file imports, and all the files that it leads to */
function packagesOf(entry: string): Map<string, string> {
  const packages = new Map<string, string>();
  const seen = new Set([entry]);
  for (const file of seen) {
    for (const [, target = ''] of readFileSync(file, 'utf8').matchAll(IMPORT)) {
      if (target.startsWith('.')) seen.add(join(file, '..', target));
      else if (!target.startsWith('node:')) packages.set(target, file.slice(root.length + 1));
    }
  }
  return packages;
}

test('a worker loads none of the libraries that only some routes need', () => {
  const packages = packagesOf(join(root, 'src/workers/worker.ts'));
  // Users' regular expressions, which the router has.
  assert.deepEqual([...packages.keys()], ['re2js']);
});
