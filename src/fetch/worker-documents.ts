/** The pod's documents as one worker sees them. */
import { type DocumentState, sharedNow } from './document-state.ts';
import { FETCH_TIMEOUT } from './fetcher.ts';

/** The main thread's own time for a call, and some for its way here (ms). */
const PATIENCE = FETCH_TIMEOUT + 1000;

/** Documents for policies. A key is what `documentKey` makes. */
export interface Documents {
  /** As it was last published; undefined: nothing is known of it yet. */
  get(key: string): DocumentState | undefined;
  /** When something is known of it, at once or after its first try; undefined when that takes too long. Never rejects. */
  first(key: string): Promise<DocumentState | undefined>;
  /** It lacks something: has it fetched again, or gives what there is where that was done a moment ago. Never rejects. */
  refetch(key: string): Promise<DocumentState | undefined>;
}

export class WorkerDocuments implements Documents {
  readonly #states = new Map<string, DocumentState>();
  readonly #waiting = new Map<string, { readonly promise: Promise<DocumentState | undefined>; readonly end: () => void }>();
  readonly #ask: (key: string) => void;

  /** @param ask has the main thread fetch it again, if it is time; it publishes in any case */
  constructor(ask: (key: string) => void) {
    this.#ask = ask;
  }

  /** From the main thread. */
  publish(state: DocumentState): void {
    this.#states.set(state.key, state);
    this.#waiting.get(state.key)?.end();
  }

  /** From the main thread: no snapshot has named it for a while. Who waits for it all the same gets nothing. */
  forget(key: string): void {
    this.#states.delete(key);
    this.#waiting.get(key)?.end();
  }

  get(key: string): DocumentState | undefined {
    return this.#states.get(key);
  }

  first(key: string): Promise<DocumentState | undefined> {
    const state = this.#states.get(key);
    return state === undefined ? this.#next(key) : Promise.resolve(state);
  }

  refetch(key: string): Promise<DocumentState | undefined> {
    const state = this.#states.get(key);
    if (state !== undefined && sharedNow() < state.refetchFrom) return Promise.resolve(state);
    if (!this.#waiting.has(key)) this.#ask(key);
    return this.#next(key);
  }

  /** One for all who wait. */
  #next(key: string): Promise<DocumentState | undefined> {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) return waiting.promise;
    let end = (): void => {};
    const promise = new Promise<DocumentState | undefined>((resolve) => {
      const timer = setTimeout(() => end(), PATIENCE).unref();
      end = () => {
        clearTimeout(timer);
        this.#waiting.delete(key);
        resolve(this.#states.get(key));
      };
    });
    this.#waiting.set(key, { promise, end });
    return promise;
  }
}

/** Where nothing runs, as in `explain`. */
export const NO_DOCUMENTS: Documents = {
  get: () => undefined,
  first: () => Promise.resolve(undefined),
  refetch: () => Promise.resolve(undefined),
};
