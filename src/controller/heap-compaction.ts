import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** How long it must be quiet before the heap is compacted (ms). */
const QUIET = 2000;
/** Routes more or fewer than at the last compaction, or translations since then, that leave enough behind to be worth one. */
const ROUTES = 2500;
const TRANSLATIONS = 50;
/** Garbage that is worth a pause, in bytes. */
const WORTHWHILE = 8 * 1024 * 1024;

type Collect = (options: { readonly type: 'major'; readonly execution: 'sync'; readonly flavor: 'last-resort' }) => void;

let collect: Collect | undefined;

/**
 * Gives the memory back that reading and translating many objects took: V8 keeps it for more of the same, which in a
 * control plane comes once in a while. Pauses the thread by a quarter of a second where ten thousand rules are held, so it is
 * for the main thread alone, which carries no traffic, and for when it is at rest.
 */
export class HeapCompaction {
  readonly #compactHeap: () => void;
  #timer: NodeJS.Timeout | undefined;
  #translations = 0;
  #routesBefore = 0;
  #routes = 0;

  constructor(compact: () => void = compactHeap) {
    this.#compactHeap = compact;
  }

  /** @param routes how many there are now */
  translated(routes: number): void {
    this.#translations++;
    this.#routes = routes;
    if (Math.abs(routes - this.#routesBefore) < ROUTES && this.#translations < TRANSLATIONS) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#compact(), QUIET).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #compact(): void {
    this.#translations = 0;
    this.#routesBefore = this.#routes;
    this.#compactHeap();
  }
}

function compactHeap(): void {
  const { heapTotal, heapUsed } = process.memoryUsage();
  // Garbage counts as used until it is looked for, so what is used says little; a heap of this size has some.
  if (heapTotal < heapUsed + WORTHWHILE && heapTotal < 5 * WORTHWHILE) return;
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as Collect;
  }
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
