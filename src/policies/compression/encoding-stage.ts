import type { BodySink, BodyStage } from '../../exchange/bodies.ts';
import type { Fields } from '../../exchange/fields.ts';
import type { Coding } from '../../snapshot/body-filters.ts';
import { createEncoder, type Encoder, encodeNow, flush } from './encoder.ts';

/**
 * Bytes of a body that is compressed in one step on the worker's own thread: up to here that takes no more of it than handing
 * the work to another thread and back (measured: 100 µs for 10 KiB by gzip, 50 µs by zstd; 90 µs and 50 µs for the way alone).
 */
export const MAX_AT_ONCE = 16 * 1024;
/** Encoders of one worker at a time; with their windows and buffers some 1 MiB each. Answers beyond go out as they are. */
export const MAX_ENCODERS = 256;
/** ms of silence after which everything that went in is let out. */
const SILENCE = 10;

let encoders = 0;

/** Whether there is room for one more encoder in this worker. */
export function hasRoom(): boolean {
  return encoders < MAX_ENCODERS;
}

export interface CompressionCounts {
  answers: { value: number };
  bytesIn: { value: number };
  bytesOut: { value: number };
}

/** A small body, compressed in one step as soon as it is whole. */
export class SmallEncoding implements BodyStage {
  readonly #sink: BodySink;
  readonly #coding: Coding;
  readonly #counts: CompressionCounts;
  readonly #parts: Buffer[] = [];

  constructor(sink: BodySink, coding: Coding, counts: CompressionCounts) {
    this.#sink = sink;
    this.#coding = coding;
    this.#counts = counts;
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const part = bytes.subarray(start, end);
    this.#parts.push(stable ? part : Buffer.from(part));
    return true;
  }

  end(trailers: Fields | undefined): void {
    const [only] = this.#parts;
    const whole = this.#parts.length === 1 && only !== undefined ? only : Buffer.concat(this.#parts);
    const encoded = encodeNow(this.#coding, whole);
    this.#counts.bytesIn.value += whole.length;
    this.#counts.bytesOut.value += encoded.length;
    this.#sink.write(encoded, 0, encoded.length, true);
    this.#sink.end(trailers);
  }

  onWritable(): void {}

  close(): void {}
}

/** Any other body, compressed as it comes. What there is of it goes out when nothing more comes for a moment; of event streams at once. */
export class StreamEncoding implements BodyStage {
  readonly #sink: BodySink;
  readonly #coding: Coding;
  readonly #counts: CompressionCounts;
  readonly #encoder: Encoder;
  readonly #isEvents: boolean;
  #silence: NodeJS.Timeout | undefined = undefined;
  #trailers: Fields | undefined = undefined;
  #closed = false;

  /** @param isEvents each piece is wanted at once */
  constructor(sink: BodySink, coding: Coding, isEvents: boolean, counts: CompressionCounts) {
    this.#sink = sink;
    this.#coding = coding;
    this.#counts = counts;
    this.#isEvents = isEvents;
    const encoder = createEncoder(coding);
    this.#encoder = encoder;
    encoders++;
    encoder.on('data', (chunk: Buffer) => this.#guard(() => this.#out(chunk)));
    encoder.on('drain', () => this.#guard(() => sink.resume()));
    encoder.on('end', () => this.#guard(() => sink.end(this.#trailers)));
    encoder.on('error', (error) => sink.fail(error));
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const part = bytes.subarray(start, end);
    this.#counts.bytesIn.value += part.length;
    const writable = this.#encoder.write(stable ? part : Buffer.from(part));
    if (this.#isEvents) flush(this.#coding, this.#encoder);
    else if (this.#silence === undefined) this.#silence = setTimeout(() => this.#guard(() => flush(this.#coding, this.#encoder)), SILENCE);
    else this.#silence.refresh();
    return writable;
  }

  end(trailers: Fields | undefined): void {
    clearTimeout(this.#silence);
    this.#trailers = trailers;
    this.#encoder.end();
  }

  onWritable(): void {
    this.#encoder.resume();
  }

  close(): void {
    this.#closed = true;
    encoders--;
    clearTimeout(this.#silence);
    this.#encoder.destroy();
  }

  #out(chunk: Buffer): void {
    this.#counts.bytesOut.value += chunk.length;
    if (!this.#sink.write(chunk, 0, chunk.length, true)) this.#encoder.pause();
  }

  /** Nobody would catch what an event's listener throws. */
  #guard(step: () => void): void {
    if (this.#closed) return;
    try {
      step();
    } catch (error) {
      this.#sink.fail(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
