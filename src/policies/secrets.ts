/** Values of Secrets as policies of a worker read them. A value changes in its cell: no route is compiled again for a new password. */

export interface SecretCell {
  /** A character for each byte; undefined while it can't be had. A new value is another string. */
  readonly value: string | undefined;
}

interface Cell {
  value: string | undefined;
}

export class Secrets {
  /** Those with a value: who reads it may be compiled next. */
  readonly #filled = new Map<string, Cell>();
  /** Those without one, held by the filters that read them: a value may come yet. */
  readonly #empty = new Map<string, WeakRef<Cell>>();
  readonly #unused = new FinalizationRegistry<string>((id) => {
    if (this.#empty.get(id)?.deref() === undefined) this.#empty.delete(id);
  });

  /** How many are known, with a value or without. */
  get size(): number {
    return this.#filled.size + this.#empty.size;
  }

  /** The same cell for the same id, as long as it has a value or somebody holds it. @param id `namespace/name/key` */
  cell(id: string): SecretCell {
    return this.#cell(id);
  }

  put(values: ReadonlyMap<string, string>): void {
    for (const [id, value] of values) {
      const cell = this.#cell(id);
      cell.value = value;
      this.#filled.set(id, cell);
      this.#empty.delete(id);
    }
  }

  remove(ids: readonly string[]): void {
    for (const id of ids) {
      const cell = this.#filled.get(id);
      if (cell === undefined) continue;
      cell.value = undefined;
      this.#filled.delete(id);
      this.#keep(id, cell);
    }
  }

  #cell(id: string): Cell {
    const known = this.#filled.get(id) ?? this.#empty.get(id)?.deref();
    if (known !== undefined) return known;
    const cell = { value: undefined };
    this.#keep(id, cell);
    return cell;
  }

  #keep(id: string, cell: Cell): void {
    this.#empty.set(id, new WeakRef(cell));
    this.#unused.register(cell, id);
  }
}
