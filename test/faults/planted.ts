/** Modules that are loaded into the gateway first, to put something of a test's own in place of what is around it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { endWith, type Lifetime } from '../gateway/lifetime.ts';

/** A folder with a module that Node.js loads into every thread of the gateway first. */
export async function planted(lifetime: Lifetime, module: string): Promise<{ folder: string; environment: NodeJS.ProcessEnv }> {
  const folder = await mkdtemp(join(tmpdir(), 'tidegate-planted-'));
  endWith(lifetime, () => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'planted.mjs'), module);
  return { folder, environment: { NODE_OPTIONS: `--import=${pathToFileURL(join(folder, 'planted.mjs'))}` } };
}
