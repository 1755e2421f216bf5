/**
 * A folder of manifests as a source. Notifications of the file system bring an edit to notice at once; a cheap pass over
 * all files, twice a second, makes sure that none is ever missed (network file systems, links to elsewhere).
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileProblem, ResourceSet } from '../resources/resource-set.ts';
import { AgeRanks } from './age-ranks.ts';
import { describeFault, FolderError, type FolderScan, fingerprintOf, type ScannedFile, scanFolder } from './folder-scan.ts';
import { FolderWatch } from './folder-watch.ts';
import { type FileFlaw, type ManifestFile, readManifest, sizeFlaw } from './manifest-file.ts';
import { type LoadedFile, ResourceStore } from './resource-store.ts';
import type { Source, SourceLog } from './source.ts';

/** A file counts when it has not changed for this long (ms): whoever writes it in several steps is let finish. */
const SETTLE = 50;
/** Yet no longer than this after the first change was seen, so that edits are live within a second. */
const MAX_SETTLE = 500;
/** Some file systems keep times in whole seconds: a file is looked into once more when its time is that old. */
const COARSE_TIME = 2500;
const READ_ATTEMPTS = 4;

interface KnownFile {
  /** As scanned when it was read. */
  readonly scanned: ScannedFile;
  /** The newest reading. */
  readonly newest: ManifestFile;
  /** The newest reading without a flaw; where there never was one, the newest reading. */
  readonly good: ManifestFile;
  /** Read again once, even if it looks the same. */
  readonly isFresh: boolean;
}

export interface FileSourceOptions {
  /** Path of the folder, as messages name it. */
  readonly folder: string;
  readonly log: SourceLog;
}

export class FileSource implements Source {
  readonly #folder: string;
  readonly #log: SourceLog;
  readonly #store = new ResourceStore(new AgeRanks());
  readonly #listeners = new Set<(set: ResourceSet) => void>();
  readonly #watch: FolderWatch;
  #files: ReadonlyMap<string, KnownFile> = new Map();
  #set: ResourceSet | undefined;
  /** The last pass that was taken in. */
  #last: FolderScan | FolderError | undefined;
  /** A file could not be opened the last time. */
  #isRetryDue = false;
  /** Problems told, by file. */
  #troubled: ReadonlyMap<string, string> = new Map();
  #refused: ReadonlySet<string> = new Set();
  #closed = false;

  constructor({ folder, log }: FileSourceOptions) {
    this.#folder = folder;
    this.#log = log;
    this.#watch = new FolderWatch(() => this.#check());
  }

  async start(): Promise<ResourceSet> {
    const scan = await scanFolder(this.#folder);
    this.#set = await this.#load(scan);
    this.#last = scan;
    if (scan.files.size === 0) this.#log('warn', 'the manifest folder holds no manifests', { folder: this.#folder });
    this.#watch.start(scan.folders);
    return this.#set;
  }

  onChange(listener: (set: ResourceSet) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    await this.#watch.close();
  }

  async #check(): Promise<void> {
    try {
      await this.#pass();
    } catch (error) {
      this.#log('error', 'pass over the manifest folder failed', { folder: this.#folder, error: String(error) });
    }
  }

  /** One pass: notices what changed, lets it settle, takes it in. */
  async #pass(): Promise<void> {
    let scan = await this.#scan();
    if (this.#last !== undefined && sameScan(this.#last, scan) && !this.#isReadDue()) return;
    const deadline = performance.now() + MAX_SETTLE;
    while (!this.#closed && performance.now() < deadline) {
      await this.#watch.pause(SETTLE);
      const again = await this.#scan();
      const settled = sameScan(scan, again);
      scan = again;
      if (settled) break;
    }
    if (this.#closed) return;
    const set = scan instanceof FolderError ? this.#keepAll(scan) : await this.#load(scan);
    if (!(scan instanceof FolderError)) this.#watch.follow(scan.folders);
    this.#last = scan;
    if (this.#closed || set === this.#set) return;
    this.#set = set;
    for (const listener of this.#listeners) listener(set);
  }

  async #scan(): Promise<FolderScan | FolderError> {
    try {
      return await scanFolder(this.#folder);
    } catch (error) {
      if (error instanceof FolderError) return error;
      throw error;
    }
  }

  /** Whether a file is to be read though it looks as it did. */
  #isReadDue(): boolean {
    if (this.#isRetryDue) return true;
    const now = Date.now();
    for (const { isFresh, scanned } of this.#files.values()) if (isFresh && now - scanned.modified > COARSE_TIME) return true;
    return false;
  }

  /** The folder itself is gone: everything stays in force, loudly. */
  #keepAll(error: FolderError): ResourceSet {
    return this.#publish(this.#files, [
      { file: '.', line: 0, message: `${error.message}; what it held stays in force`, hint: 'bring the folder back, or restart with another one' },
    ]);
  }

  async #load(scan: FolderScan): Promise<ResourceSet> {
    const files = new Map<string, KnownFile>();
    const faults = new Map<string, FileFlaw>(scan.unreadable);
    this.#isRetryDue = false;
    for (const [path, scanned] of scan.files) {
      const known = this.#files.get(path);
      const isOld = Date.now() - scanned.modified > COARSE_TIME;
      if (known !== undefined && known.scanned.fingerprint === scanned.fingerprint && !(known.isFresh && isOld)) {
        files.set(path, known);
        continue;
      }
      try {
        files.set(path, await this.#read(path, scanned, known, !isOld));
      } catch (error) {
        // What cannot be opened keeps what it held, like what cannot be read as YAML.
        this.#isRetryDue = true;
        faults.set(path, { line: 0, message: `the file cannot be read: ${describeFault(error)}`, hint: 'make it readable, or remove it' });
      }
    }
    for (const [path, known] of this.#files) if (!files.has(path) && isBelow(path, faults)) files.set(path, known);
    const problems = [...faults].map(([file, flaw]) => ({ file, ...flaw }));
    if (isEmptied(this.#files, files)) {
      const message = 'the folder holds no manifests any more; what it held stays in force';
      return this.#publish(this.#files, [...problems, { file: '.', line: 0, message, hint: 'put manifests into the folder' }]);
    }
    this.#files = files;
    return this.#publish(files, problems);
  }

  async #read(path: string, scanned: ScannedFile, known: KnownFile | undefined, isFresh: boolean): Promise<KnownFile> {
    const tooLarge = sizeFlaw(scanned.size);
    if (tooLarge !== undefined) {
      const newest: ManifestFile = { objects: [], isBlank: false, flaw: tooLarge, documents: [] };
      return { scanned, newest, good: known?.good ?? newest, isFresh: false };
    }
    const { bytes, stats } = await this.#bytes(path);
    const newest = readManifest(bytes, { previous: known?.newest });
    const good = newest.flaw === undefined || known === undefined || known.good.flaw !== undefined ? newest : known.good;
    return { scanned: stats, newest, good, isFresh };
  }

  /** The bytes of a file that nobody changed meanwhile, if it can be had; else a later pass sees that it changed. */
  async #bytes(path: string): Promise<{ readonly bytes: Buffer; readonly stats: ScannedFile }> {
    for (let attempt = 1; ; attempt++) {
      const file = await open(join(this.#folder, path));
      try {
        const stats = fingerprintOf(await file.stat({ bigint: true }));
        const bytes = await file.readFile();
        const after = fingerprintOf(await file.stat({ bigint: true }));
        if (after.fingerprint === stats.fingerprint || attempt === READ_ATTEMPTS) return { bytes, stats };
      } finally {
        await file.close();
      }
      await this.#watch.pause(SETTLE);
    }
  }

  #publish(files: ReadonlyMap<string, KnownFile>, faults: readonly FileProblem[]): ResourceSet {
    const paths = [...files.keys()].sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
    const loaded: LoadedFile[] = [];
    const problems: FileProblem[] = [...faults];
    for (const path of paths) {
      const { newest, good } = files.get(path) as KnownFile;
      loaded.push({ path, objects: good.objects });
      if (newest.flaw !== undefined) problems.push({ file: path, ...newest.flaw });
    }
    const set = this.#store.update(loaded, problems);
    this.#say(set);
    return set;
  }

  /** Each problem is told when it comes, and the end of a file's problems when they are gone; nothing in between. */
  #say(set: ResourceSet): void {
    const troubled = new Map<string, string>();
    for (const { file, line, message, hint } of set.fileProblems) {
      const text = `${troubled.get(file) ?? ''}${line} ${message}\n`;
      troubled.set(file, text);
      if (this.#troubled.get(file)?.startsWith(text)) continue;
      this.#log('error', 'manifest file has a problem; what it last held stays in force', { file, line, problem: message, hint });
    }
    for (const file of this.#troubled.keys()) if (!troubled.has(file)) this.#log('info', 'manifest file has no problem any more', { file });
    this.#troubled = troubled;

    const refused = new Set<string>();
    for (const { kind, namespace, name, origin, problems } of set.rejected) {
      for (const { field, message, hint, line } of problems) {
        const id = `${origin.file} ${kind}/${namespace}/${name} ${field} ${message}`;
        refused.add(id);
        if (this.#refused.has(id)) continue;
        this.#log('warn', 'manifest object is refused', { file: origin.file, line: line ?? origin.line, kind, namespace, name, field, problem: message, hint });
      }
    }
    this.#refused = refused;
  }
}

/** Whether the path, or a folder that it is in, is among those that cannot be read. */
function isBelow(path: string, faults: ReadonlyMap<string, FileFlaw>): boolean {
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) if (faults.has(path.slice(0, end))) return true;
  return false;
}

/**
 * The line between emptied and edited: where there was something, and now there is no file with anything in it, the folder
 * was emptied (a volume that is not mounted, a copy that failed), and nobody means to serve nothing.
 */
function isEmptied(before: ReadonlyMap<string, KnownFile>, after: ReadonlyMap<string, KnownFile>): boolean {
  const hasContent = ({ good }: KnownFile): boolean => !good.isBlank;
  return [...before.values()].some(hasContent) && ![...after.values()].some(hasContent);
}

function sameScan(left: FolderScan | FolderError, right: FolderScan | FolderError): boolean {
  if (left instanceof FolderError || right instanceof FolderError) {
    return left instanceof FolderError && right instanceof FolderError && left.message === right.message;
  }
  if (left.files.size !== right.files.size || left.unreadable.size !== right.unreadable.size) return false;
  for (const [path, file] of left.files) if (right.files.get(path)?.fingerprint !== file.fingerprint) return false;
  for (const path of left.unreadable.keys()) if (!right.unreadable.has(path)) return false;
  return true;
}
