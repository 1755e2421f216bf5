import { PartialBytes, SpareMemory } from '../http1/partial-bytes.ts';

const NOTHING = Buffer.alloc(0);
/** Of all connections: a block is decoded into texts, and nothing looks at its bytes after that. */
const spares = new SpareMemory();

/** A header block as it comes in HEADERS and CONTINUATION (RFC 9113 section 4.3): where it is whole in one frame, without a copy. */
export class BlockAssembly {
  /** Whose block is being put together; 0: none is. */
  streamId = 0;
  endsStream = false;
  /** HEADERS asked that the stream depend on itself. */
  dependsOnItself = false;
  bytes: Buffer = NOTHING;
  start = 0;
  end = 0;
  readonly #parts = new PartialBytes(spares);

  begin(streamId: number, endsStream: boolean, dependsOnItself: boolean): void {
    this.streamId = streamId;
    this.endsStream = endsStream;
    this.dependsOnItself = dependsOnItself;
  }

  /** Bytes of the fragments that are kept. */
  get length(): number {
    return this.#parts.length;
  }

  /** @param last it is whole now: `bytes[start..end)`, valid until `clear` */
  add(bytes: Buffer, start: number, end: number, last: boolean): void {
    const parts = this.#parts;
    if (last && parts.length === 0) {
      this.bytes = bytes;
      this.start = start;
      this.end = end;
      return;
    }
    parts.append(bytes, start, end);
    if (!last) return;
    this.bytes = parts.bytes;
    this.start = 0;
    this.end = parts.length;
  }

  /** Done with; nothing of it is kept. */
  clear(): void {
    this.streamId = 0;
    this.bytes = NOTHING;
    this.#parts.clear();
  }
}
