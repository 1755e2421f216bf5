/** The manifest files below a folder, with what tells a changed file from an unchanged one. Nothing is opened here. */
import type { BigIntStats, Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileFlaw } from './manifest-file.ts';

/** Folders below folders deeper than this are not read. */
const MAX_FOLDER_DEPTH = 64;

export interface FolderScan {
  /** By path below the folder, with `/`, in the byte order of paths. */
  readonly files: ReadonlyMap<string, ScannedFile>;
  /** Folders that cannot be read, and files that cannot be reached, by path; what is known of what is in them stays. */
  readonly unreadable: ReadonlyMap<string, FileFlaw>;
  /** Every folder that was read, with its device and inode, for watching. */
  readonly folders: ReadonlyMap<string, string>;
}

export interface ScannedFile {
  /** Differs from that of any other state of the file: device, inode, size, times. */
  readonly fingerprint: string;
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly modified: number;
}

/** The folder itself cannot be read. */
export class FolderError extends Error {
  override readonly name = 'FolderError';
  readonly reason: 'Missing' | 'NotAFolder' | 'Unreadable';

  constructor(folder: string, reason: 'Missing' | 'NotAFolder' | 'Unreadable', detail: string) {
    super(
      reason === 'Missing'
        ? `${folder} does not exist`
        : reason === 'NotAFolder'
          ? `${folder} is not a folder; name the folder that holds the manifests`
          : `folder ${folder} cannot be read: ${detail}`,
    );
    this.reason = reason;
  }
}

/** @throws FolderError */
export async function scanFolder(folder: string): Promise<FolderScan> {
  const state: State = { files: [], unreadable: new Map(), folders: new Map(), seen: new Set() };
  try {
    const root = await stat(folder, { bigint: true });
    if (!root.isDirectory()) throw new FolderError(folder, 'NotAFolder', '');
    state.seen.add(identityOf(root));
    state.folders.set(folder, identityOf(root));
    await scan(state, folder, '', await readdir(folder, { withFileTypes: true }));
  } catch (error) {
    throw error instanceof FolderError ? error : folderError(folder, error);
  }
  state.files.sort(([left], [right]) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
  return { files: new Map(state.files), unreadable: state.unreadable, folders: state.folders };
}

export function folderError(folder: string, error: unknown): FolderError {
  const code = codeOf(error);
  return new FolderError(folder, code === 'ENOENT' ? 'Missing' : code === 'ENOTDIR' ? 'NotAFolder' : 'Unreadable', describeFault(error));
}

/** Names as users meet them in messages. */
export function describeFault(error: unknown): string {
  switch (codeOf(error)) {
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'ENOENT':
      return 'it does not exist';
    case 'ELOOP':
      return 'its symbolic links lead in a circle';
    default:
      return codeOf(error) ?? String(error);
  }
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

export function isManifestName(name: string): boolean {
  return !name.startsWith('.') && /\.(ya?ml|json)$/.test(name);
}

export function fingerprintOf(stats: BigIntStats): ScannedFile {
  const { dev, ino, size, mtimeNs, ctimeNs } = stats;
  return { fingerprint: `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`, size: Number(size), modified: Number(mtimeNs / 1_000_000n) };
}

interface State {
  readonly files: [string, ScannedFile][];
  readonly unreadable: Map<string, FileFlaw>;
  readonly folders: Map<string, string>;
  /** Folders and files met so far: links make no circle, and a file that two names lead to is one file. */
  readonly seen: Set<string>;
}

function identityOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

async function scan(state: State, folder: string, prefix: string, entries: readonly Dirent[]): Promise<void> {
  const names = entries.filter((entry) => !entry.name.startsWith('.') && (isManifestName(entry.name) || entry.isDirectory() || entry.isSymbolicLink()));
  names.sort((left, right) => Buffer.compare(Buffer.from(left.name), Buffer.from(right.name)));
  const found = await Promise.all(names.map((entry) => stat(join(folder, entry.name), { bigint: true }).catch((error: unknown) => error as Error)));
  for (const [index, entry] of names.entries()) {
    const path = `${prefix}${entry.name}`;
    const stats = found[index] as BigIntStats | Error;
    if (stats instanceof Error) {
      // A file that went since its folder was read is gone; a link to nothing may be one that is being replaced.
      if (codeOf(stats) !== 'ENOENT' || entry.isSymbolicLink()) {
        const what = entry.isSymbolicLink() ? 'the symbolic link leads nowhere' : 'it cannot be reached';
        state.unreadable.set(path, { line: 0, message: `${what}: ${describeFault(stats)}`, hint: 'mend it, or remove it from the folder' });
      }
      continue;
    }
    const identity = identityOf(stats);
    if (state.seen.has(identity)) continue;
    if (stats.isDirectory()) {
      state.seen.add(identity);
      await scanInner(state, join(folder, entry.name), path, identity);
    } else if (isManifestName(entry.name)) {
      state.seen.add(identity);
      if (stats.isFile()) state.files.push([path, fingerprintOf(stats)]);
      else state.unreadable.set(path, { line: 0, message: 'it is no regular file', hint: 'remove it from the folder' });
    }
  }
}

async function scanInner(state: State, folder: string, path: string, identity: string): Promise<void> {
  if (path.split('/').length > MAX_FOLDER_DEPTH) {
    state.unreadable.set(path, { line: 0, message: `folders are nested more than ${MAX_FOLDER_DEPTH} deep`, hint: 'keep the folder flatter' });
    return;
  }
  let entries: readonly Dirent[];
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') {
      state.unreadable.set(path, { line: 0, message: `the folder cannot be read: ${describeFault(error)}`, hint: 'make it readable, or remove it' });
    }
    return;
  }
  state.folders.set(folder, identity);
  await scan(state, folder, `${path}/`, entries);
}
