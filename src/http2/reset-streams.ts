/** As many as a connection may have reset before it is ended for it, and some. */
const KEPT = 256;

/**
 * Streams that we have reset lately: what the client had sent before it knew is no mistake of its own (RFC 9113 section
 * 5.1). Takes no memory before the first one.
 */
export class ResetStreams {
  readonly #ids = new Set<number>();

  add(streamId: number): void {
    this.#ids.add(streamId);
    // A set gives its oldest one first.
    if (this.#ids.size > KEPT) this.#ids.delete(this.#ids.values().next().value as number);
  }

  has(streamId: number): boolean {
    return this.#ids.has(streamId);
  }
}
