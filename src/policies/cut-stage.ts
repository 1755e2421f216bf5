import type { BodySink, BodyStage } from '../exchange/bodies.ts';
import type { Reply } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import type { PolicyCounter } from '../exchange/policy-counters.ts';

/** Passes a body on up to a bound, where it fails. */
export class CutStage implements BodyStage {
  readonly #sink: BodySink;
  readonly #reply: Reply;
  readonly #count: PolicyCounter;
  #left: number;

  /** @param max bytes @param reply the answer where none has begun */
  constructor(sink: BodySink, max: number, reply: Reply, count: PolicyCounter) {
    this.#sink = sink;
    this.#left = max;
    this.#reply = reply;
    this.#count = count;
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    this.#left -= end - start;
    if (this.#left >= 0) return this.#sink.write(bytes, start, end, stable);
    this.#count.value++;
    this.#sink.fail(this.#reply);
    return true;
  }

  end(trailers: Fields | undefined): void {
    this.#sink.end(trailers);
  }

  onWritable(): void {
    this.#sink.resume();
  }

  close(): void {}
}
