import type { Fields } from '../exchange/fields.ts';
import type { HeaderModifier, HeaderValue } from '../snapshot/snapshot.ts';

/**
 * A header modifier of Gateway API: what it removes goes first, then it sets, then it adds, so that a name may be removed
 * and added anew in one go. Names that frame a message or belong to the connection are refused with the manifest.
 */
export class HeaderEdits {
  readonly #message: 'request' | 'response';
  readonly #remove: readonly string[];
  readonly #set: readonly HeaderValue[];
  readonly #add: readonly HeaderValue[];

  /** @param message whose headers they are */
  constructor(message: 'request' | 'response', { remove, set, add }: HeaderModifier) {
    this.#message = message;
    this.#remove = remove;
    this.#set = set;
    this.#add = add;
  }

  apply(fields: Fields): void {
    for (let index = 0; index < this.#remove.length; index++) fields.remove(this.#remove[index] as string);
    for (let index = 0; index < this.#set.length; index++) {
      const { name, value } = this.#set[index] as HeaderValue;
      fields.set(name, value);
    }
    for (let index = 0; index < this.#add.length; index++) {
      const { name, value } = this.#add[index] as HeaderValue;
      fields.append(name, value);
    }
  }

  /** For `explain`, as `request headers: remove x-c; set x-a; add x-b`: without values, which may be secrets. */
  describe(): string {
    const parts = [
      ['remove', this.#remove],
      ['set', this.#set.map(({ name }) => name)],
      ['add', this.#add.map(({ name }) => name)],
    ] as const;
    const edits = parts.filter(([, names]) => names.length > 0).map(([verb, names]) => `${verb} ${names.join(', ')}`);
    return `${this.#message} headers: ${edits.join('; ')}`;
  }
}
