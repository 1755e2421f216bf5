/** Values that are taken away in a layer. */
const GONE: unique symbol = Symbol('gone');

/** Edits that are looked up before the map below; beyond these, a map of everything is made of both. */
const MOST_EDITS = 128;

/**
 * A map that never changes, of which the next one is made at the price of what differs: it is another map and a few edits of it.
 * Of ten thousand entries a copy each time would be garbage by the megabyte.
 */
export class LayeredMap<K, V> implements ReadonlyMap<K, V> {
  readonly #base: ReadonlyMap<K, V>;
  readonly #edits: ReadonlyMap<K, V | typeof GONE>;
  readonly size: number;

  private constructor(base: ReadonlyMap<K, V>, edits: ReadonlyMap<K, V | typeof GONE>, size: number) {
    this.#base = base;
    this.#edits = edits;
    this.size = size;
  }

  /** @param map nobody changes it from now on */
  static of<K, V>(map: ReadonlyMap<K, V>): LayeredMap<K, V> {
    return new LayeredMap(map, new Map(), map.size);
  }

  get(key: K): V | undefined {
    const edited = this.#edits.size === 0 ? undefined : this.#edits.get(key);
    if (edited === undefined) return this.#base.get(key);
    return edited === GONE ? undefined : edited;
  }

  has(key: K): boolean {
    return this.get(key) !== undefined;
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }

  *keys(): Generator<K, undefined, unknown> {
    for (const [key] of this.entries()) yield key;
    return undefined;
  }

  *values(): Generator<V, undefined, unknown> {
    for (const [, value] of this.entries()) yield value;
    return undefined;
  }

  forEach(run: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.entries()) run(value, key, this);
  }

  *entries(): Generator<[K, V], undefined, unknown> {
    for (const [key, value] of this.#base) {
      const edited = this.#edits.get(key);
      if (edited !== GONE) yield [key, edited ?? value];
    }
    for (const [key, value] of this.#edits) if (value !== GONE && !this.#base.has(key)) yield [key, value];
    return undefined;
  }

  /** @param edits the value that a key has from now on; undefined: none. No value of the map is undefined. Of two for one key the later holds */
  with(edits: Iterable<readonly [key: K, value: V | undefined]>): LayeredMap<K, V> {
    const layer = new Map(this.#edits);
    let { size } = this;
    for (const [key, value] of edits) {
      const before = layer.get(key) ?? this.#base.get(key) ?? GONE;
      const now = value ?? GONE;
      if (before === now) continue;
      if (before === GONE) size++;
      if (now === GONE) size--;
      layer.set(key, now);
    }
    if (layer.size <= MOST_EDITS) return new LayeredMap(this.#base, layer, size);
    const all = new Map(this.#base);
    for (const [key, value] of layer) {
      if (value === GONE) all.delete(key);
      else all.set(key, value);
    }
    return LayeredMap.of(all);
  }
}
