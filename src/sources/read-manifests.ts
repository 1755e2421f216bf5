/** Manifests read once, by whoever looks at them without serving, as `validate` does. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileProblem, ResourceSet } from '../resources/resource-set.ts';
import { AgeRanks } from './age-ranks.ts';
import { describeFault, folderError, scanFolder } from './folder-scan.ts';
import { type FileFlaw, type ManifestFile, readManifest, sizeFlaw } from './manifest-file.ts';
import { type LoadedFile, ResourceStore } from './resource-store.ts';

export interface ReadOptions {
  /** Milliseconds since the epoch, for warnings about what has expired; absent: none of those. */
  readonly now?: number;
}

/**
 * Reads files and folders as the folder source does. In the set, files go by their paths as given, or below the folder given.
 * @param paths a file is read whatever its name is; what two paths lead to is read once
 * @throws FolderError where one of them is not there or is a folder that cannot be read
 */
export async function readManifests(paths: readonly string[], options: ReadOptions = {}): Promise<ResourceSet> {
  const files = new Map<string, ManifestFile>();
  const problems: FileProblem[] = [];
  const seen = new Set<string>();
  const read = async (path: string, size: number, identity: string): Promise<void> => {
    if (seen.has(identity)) return;
    seen.add(identity);
    const result = await readOne(path, size, options);
    if ('documents' in result) files.set(path, result);
    else problems.push({ file: path, ...result });
  };
  for (const path of paths) {
    const stats = await stat(path, { bigint: true }).catch((error: unknown) => {
      throw folderError(path, error);
    });
    if (!stats.isDirectory()) {
      await read(path, Number(stats.size), `${stats.dev}:${stats.ino}`);
      continue;
    }
    const scan = await scanFolder(path);
    for (const [below, { size, fingerprint }] of scan.files) await read(join(path, below), size, fingerprint.split(':', 2).join(':'));
    for (const [below, flaw] of scan.unreadable) problems.push({ file: join(path, below), ...flaw });
  }
  const loaded: LoadedFile[] = [];
  for (const [path, file] of [...files].sort(([left], [right]) => Buffer.compare(Buffer.from(left), Buffer.from(right)))) {
    loaded.push({ path, objects: file.objects });
    if (file.flaw !== undefined) problems.push({ file: path, ...file.flaw });
  }
  return new ResourceStore(new AgeRanks()).update(loaded, problems);
}

async function readOne(path: string, size: number, options: ReadOptions): Promise<ManifestFile | FileFlaw> {
  const tooLarge = sizeFlaw(size);
  if (tooLarge !== undefined) return tooLarge;
  try {
    return readManifest(await readFile(path), { now: options.now });
  } catch (error) {
    return { line: 0, message: `the file cannot be read: ${describeFault(error)}`, hint: 'make it readable, or leave it out' };
  }
}
