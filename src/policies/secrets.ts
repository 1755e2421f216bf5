/** Values of Secrets as policies of a worker read them. A value changes in its cell: no route is compiled again for a new password. */

export interface SecretCell {
  /** A character for each byte; undefined while it can't be had. A new value is another string. */
  readonly value: string | undefined;
}

export class Secrets {
  readonly #cells = new Map<string, { value: string | undefined }>();

  /** The same cell for the same id, for ever. @param id `namespace/name/key` */
  cell(id: string): SecretCell {
    return this.#cell(id);
  }

  put(values: ReadonlyMap<string, string>): void {
    for (const [id, value] of values) this.#cell(id).value = value;
  }

  remove(ids: readonly string[]): void {
    for (const id of ids) this.#cell(id).value = undefined;
  }

  #cell(id: string): { value: string | undefined } {
    let cell = this.#cells.get(id);
    if (cell === undefined) {
      cell = { value: undefined };
      this.#cells.set(id, cell);
    }
    return cell;
  }
}
