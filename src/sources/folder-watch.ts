import { type FSWatcher, watch } from 'node:fs';

/** Time between passes (ms), when nothing calls for one. */
const INTERVAL = 400;
/** Time between a pass and one that a notification calls for. */
const GAP = 20;
/** A pass over very many files takes its time; the next waits at least this many times as long. */
const REST = 20;
/** Notifications are a help, not the ground we stand on: more folders than these are left to the passes. */
const MAX_WATCHES = 1024;

/** Runs one pass after the other, never two at once: at intervals, and at once when a watched folder changes. */
export class FolderWatch {
  readonly #pass: () => Promise<void>;
  readonly #watches = new Map<string, { readonly identity: string; readonly watcher: FSWatcher }>();
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  #closed = false;
  #isDue = false;
  #gap = GAP;

  /** @param pass must not reject */
  constructor(pass: () => Promise<void>) {
    this.#pass = pass;
  }

  start(folders: ReadonlyMap<string, string>): void {
    this.follow(folders);
    this.#schedule(INTERVAL);
  }

  /**
   * Watches these folders, and no others any more.
   * @param folders paths, each with what identifies the folder that it leads to now
   */
  follow(folders: ReadonlyMap<string, string>): void {
    if (this.#closed) return;
    for (const [folder, { identity, watcher }] of this.#watches) {
      if (folders.get(folder) === identity) continue;
      watcher.close();
      this.#watches.delete(folder);
    }
    for (const [folder, identity] of folders) {
      if (this.#watches.size >= MAX_WATCHES) return;
      if (!this.#watches.has(folder)) this.#watchOne(folder, identity);
    }
  }

  /** Resolves after some milliseconds, or when closed. */
  async pause(milliseconds: number): Promise<void> {
    if (this.#closed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#wake?.();
    for (const { watcher } of this.#watches.values()) watcher.close();
    this.#watches.clear();
    await this.#running;
  }

  #watchOne(folder: string, identity: string): void {
    try {
      const watcher = watch(folder, () => this.#nudge());
      // The folder may go, or the system may be out of watches: passes see what happens all the same.
      watcher.on('error', () => {
        watcher.close();
        if (this.#watches.get(folder)?.watcher === watcher) this.#watches.delete(folder);
      });
      this.#watches.set(folder, { identity, watcher });
    } catch {
      // As above.
    }
  }

  #nudge(): void {
    if (this.#closed || this.#isDue) return;
    this.#isDue = true;
    // A notification never puts off what another has called for, however many there are.
    if (this.#running === undefined) this.#schedule(this.#gap);
  }

  #schedule(delay: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#run();
    }, delay);
  }

  async #run(): Promise<void> {
    const began = performance.now();
    this.#isDue = false;
    await this.#pass();
    this.#running = undefined;
    const took = performance.now() - began;
    // Somebody who writes into the folder all the time does not keep us busy all the time.
    this.#gap = Math.max(GAP, took);
    if (!this.#closed) this.#schedule(this.#isDue ? this.#gap : Math.max(INTERVAL, took * REST));
  }
}
