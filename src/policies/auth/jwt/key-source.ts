/** Where a verifier has its keys from, and what there is when they can't be had. */
import { type DocumentState, sharedNow } from '../../../fetch/document-state.ts';
import type { Documents } from '../../../fetch/worker-documents.ts';
import { type DocumentRequest, documentKey } from '../../../snapshot/documents.ts';
import type { SecretCell } from '../../secrets.ts';
import { KeySet } from './key-set.ts';

/** How long keys serve on that can't be fetched anew, after the time that they are fresh for (ms). */
export const SERVE_ON = 3_600_000;

export interface KeySource {
  /** Keys that may be used now. Undefined: not yet known, ask `first`; null: they can't be had. */
  current(): KeySet | undefined | null;
  /** Keys as soon as there are any; null: they can't be had. Never rejects. */
  first(): Promise<KeySet | null>;
  /** The same after a look whether there are newer ones, where one is due. Never rejects. */
  newer(): Promise<KeySet | null>;
}

/** Of a value of the snapshot's, which may become another one at any time. */
export class CellKeys implements KeySource {
  readonly #cell: SecretCell;
  #value: string | undefined;
  #keys: KeySet | null = null;

  constructor(cell: SecretCell) {
    this.#cell = cell;
  }

  current(): KeySet | null {
    const { value } = this.#cell;
    if (value !== this.#value) {
      this.#value = value;
      // A character for each byte.
      this.#keys = (value === undefined ? undefined : KeySet.read(Buffer.from(value, 'latin1').toString())) ?? null;
    }
    return this.#keys;
  }

  first(): Promise<KeySet | null> {
    return Promise.resolve(this.current());
  }

  newer(): Promise<KeySet | null> {
    return Promise.resolve(this.current());
  }
}

/** Of a document of the pod. */
export class DocumentKeys implements KeySource {
  readonly #documents: Documents;
  readonly #key: string;
  readonly #cacheFor: number;
  readonly #now: () => number;
  #state: DocumentState | undefined;
  #text: string | undefined;
  #keys: KeySet | undefined;
  #usableUntil = Number.NEGATIVE_INFINITY;

  /** @param now as `sharedNow` */
  constructor(documents: Documents, request: DocumentRequest, now: () => number = sharedNow) {
    this.#documents = documents;
    this.#key = documentKey(request);
    this.#cacheFor = request.cacheFor;
    this.#now = now;
  }

  current(): KeySet | undefined | null {
    const state = this.#documents.get(this.#key);
    if (state !== this.#state) this.#read(state);
    if (this.#keys === undefined) return state === undefined ? undefined : null;
    return this.#now() < this.#usableUntil ? this.#keys : null;
  }

  async first(): Promise<KeySet | null> {
    await this.#documents.first(this.#key);
    return this.current() ?? null;
  }

  async newer(): Promise<KeySet | null> {
    await this.#documents.refetch(this.#key);
    return this.current() ?? null;
  }

  /**
   * The same text is the same set, so that what was verified by it stays known. Revisions would not tell: those of a document that no
   * policy named for a while begin anew.
   */
  #read(state: DocumentState | undefined): void {
    this.#state = state;
    if (state?.text === undefined) {
      this.#keys = undefined;
      return;
    }
    if (state.text !== this.#text || this.#keys === undefined) {
      this.#text = state.text;
      this.#keys = KeySet.read(state.text);
    }
    this.#usableUntil = state.fetchedAt + this.#cacheFor + SERVE_ON;
  }
}
