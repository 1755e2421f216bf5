/** As much of the Protocol Buffers wire format as a CheckRequest and a CheckResponse take (protobuf.dev, "Encoding"). */

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Two's complement of 64 bits, seven in each byte. */
const MINUS_ONE = Buffer.from('ffffffffffffffffff01', 'hex');
const NOTHING = Buffer.alloc(0);
/** Bytes that are no message. */
export class ProtobufError extends Error {}

/** Writes one message, field by field. Fields with the value that they have anyway are left out, as proto3 does. */
export class MessageWriter {
  readonly #parts: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** @param value whole, below 2^53, and not negative but for -1 */
  integer(field: number, value: number): this {
    if (value === 0) return this;
    this.#tag(field, VARINT);
    if (value === -1) this.#push(MINUS_ONE);
    else this.#varint(value);
    return this;
  }

  bytes(field: number, value: Buffer): this {
    if (value.length === 0) return this;
    this.#tag(field, BYTES);
    this.#varint(value.length);
    this.#push(value);
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'));
  }

  /** Is written though it is empty: its presence says something, too. */
  message(field: number, value: MessageWriter): this {
    this.#tag(field, BYTES);
    this.#varint(value.#length);
    for (const part of value.#parts) this.#push(part);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts, this.#length);
  }

  #tag(field: number, type: number): void {
    this.#varint(field * 8 + type);
  }

  #varint(value: number): void {
    const bytes: number[] = [];
    let rest = value;
    while (rest >= 0x80) {
      bytes.push((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    bytes.push(rest);
    this.#push(Buffer.from(bytes));
  }

  #push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
}

/** Goes through the fields of one message. What has a type that nobody here reads is stepped over. */
export class MessageReader {
  readonly #bytes: Buffer;
  #at = 0;
  /** Number of the field that `next` came to. */
  field = 0;
  /** Its value where it is a whole number; of a negative one some other number that is not 0. */
  integer = 0;
  /** Its value where it is text, bytes or a message; else empty. */
  bytes: Buffer = NOTHING;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** @returns whether there is one more field @throws ProtobufError where the message is cut or can't be one */
  next(): boolean {
    if (this.#at === this.#bytes.length) return false;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    if (this.field === 0) throw new ProtobufError('a field has the number 0');
    this.integer = 0;
    this.bytes = NOTHING;
    switch (tag % 8) {
      case VARINT:
        this.integer = this.#varint();
        break;
      case FIXED64:
        this.#take(8);
        break;
      case BYTES:
        this.bytes = this.#take(this.#varint());
        break;
      case FIXED32:
        this.#take(4);
        break;
      default:
        throw new ProtobufError(`field ${this.field} has the wire type ${tag % 8}`);
    }
    return true;
  }

  get text(): string {
    return this.bytes.toString('utf8');
  }

  #varint(): number {
    let value = 0;
    let factor = 1;
    // Ten bytes have 64 bits; beyond 2^53 the lowest are lost, which nothing that is read here minds.
    for (let count = 0; count < 10; count++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new ProtobufError('the message ends within a number');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    throw new ProtobufError('a number has more than ten bytes');
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new ProtobufError(`field ${this.field} is longer than its message`);
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}
