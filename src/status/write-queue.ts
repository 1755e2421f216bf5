/**
 * Keys that wait for their turn, each once. The turn goes by turns to the one that waits longest and to the one that came
 * last: however many wait, an object that somebody has just edited is soon served, and nobody waits for ever.
 */
export class WriteQueue {
  /** In the order of their coming; undefined where one has had its turn. */
  #keys: (string | undefined)[] = [];
  #head = 0;
  readonly #waiting = new Set<string>();
  #oldest = true;

  get size(): number {
    return this.#waiting.size;
  }

  /** One that waits already keeps its place. */
  add(key: string): void {
    if (this.#waiting.has(key)) return;
    this.#waiting.add(key);
    this.#keys.push(key);
  }

  take(): string | undefined {
    if (this.#waiting.size === 0) return undefined;
    const key = this.#oldest ? this.#first() : this.#last();
    this.#oldest = !this.#oldest;
    this.#waiting.delete(key);
    return key;
  }

  clear(): void {
    this.#keys = [];
    this.#head = 0;
    this.#waiting.clear();
  }

  #first(): string {
    const key = this.#keys[this.#head] as string;
    this.#keys[this.#head++] = undefined;
    if (this.#head > 1024 && this.#head * 2 > this.#keys.length) {
      this.#keys = this.#keys.slice(this.#head);
      this.#head = 0;
    }
    return key;
  }

  #last(): string {
    return this.#keys.pop() as string;
  }
}
