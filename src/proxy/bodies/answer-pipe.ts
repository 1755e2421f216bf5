import type { AnswerBodyChange, CollectedBody, StagedBody } from '../../exchange/bodies.ts';
import type { Exchange, Reply } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import { type BodyLength, NO_BODY, UNKNOWN_LENGTH } from '../../exchange/streams.ts';
import type { Filter } from '../../policies/policy.ts';
import { Collector } from './collector.ts';
import { Stages, type StagesOwner } from './stages.ts';

/** The two ends of the pipe. */
export interface AnswerPipeOwner {
  /** As `ClientStream.respond`; with `last` the answer is over. */
  sendHead(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): boolean;
  sendBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean;
  sendEnd(trailers: Fields | undefined): void;
  /** The pipe has told the answer's source to wait, and takes more again. */
  resumeAnswer(): void;
  /** Answers so in place of what is in the pipe, of which nothing has gone out. */
  replaceAnswer(reply: Reply): void;
  /** Ends an answer that can't be completed. */
  cutAnswer(reason: string): void;
  fail(error: unknown): void;
}

/**
 * An answer on its way through filters that may change its body: each filter sees the head as those before it have left it,
 * and may then ask for a stage behind its own predecessor's, or for the whole answer. Made for the exchanges of routes that
 * have such a filter, once for each answer.
 */
export class AnswerPipe implements StagesOwner {
  readonly #owner: AnswerPipeOwner;
  readonly #exchange: Exchange;
  readonly #filters: readonly Filter[];
  #nextFilter = 0;
  #status = 0;
  #fields: Fields | undefined = undefined;
  #stages: Stages | undefined = undefined;
  #collecting: { readonly change: CollectedBody; readonly collector: Collector } | undefined = undefined;
  #headSent = false;
  /** What comes out of the stages while the head is not sent yet; undefined: it goes on at once. */
  #corked: Buffer[] | undefined = undefined;
  #ended = false;
  #trailers: Fields | undefined = undefined;
  #closed = false;
  /** What comes in is ours: it stays as it is. What a connection has read stays at most as long as it is paused (wire.ts, `setBulk`). */
  #isOwn: boolean;

  /** @param filters in their order of execution on answers */
  constructor(owner: AnswerPipeOwner, exchange: Exchange, filters: readonly Filter[]) {
    this.#owner = owner;
    this.#exchange = exchange;
    this.#filters = filters;
    this.#isOwn = exchange.reply !== undefined;
  }

  /** The answer's head, and what came with it; the parameters are those of `ClientStream.respond`. @throws what a filter throws */
  begin(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): boolean {
    const isBodiless = this.#exchange.method === 'HEAD' || status === 204 || status === 304;
    const known = last && length === UNKNOWN_LENGTH ? end - start : length;
    const stages: StagedBody[] = [];
    const collected = this.#runFilters(status, fields, isBodiless ? NO_BODY : known, stages);
    this.#status = status;
    this.#fields = fields;
    if (stages.length > 0) this.#stages = new Stages(stages, this);
    if (collected !== undefined) {
      if (stages.length === 0 && known > collected.maxBytes) {
        this.#owner.replaceAnswer(collected.tooLarge);
        return true;
      }
      this.#collecting = { change: collected, collector: new Collector(collected.maxBytes) };
    } else if (stages.length === 0) {
      this.#headSent = true;
      return this.#owner.sendHead(status, fields, length, first, start, end, stable, last);
    }
    // An answer that is whole by now gets its length.
    this.#corked = [];
    let writable = true;
    if (first !== undefined && start < end) writable = this.write(first, start, end, stable);
    if (last) this.end(undefined);
    this.#uncork();
    // That the client takes no more is the last stage's to heed: it is the one that hears when that is over.
    return writable;
  }

  #runFilters(status: number, fields: Fields, length: BodyLength, stages: StagedBody[]): CollectedBody | undefined {
    let left = length;
    while (this.#nextFilter < this.#filters.length) {
      const filter = this.#filters[this.#nextFilter++] as Filter;
      filter.onResponse?.(this.#exchange, status, fields);
      const change: AnswerBodyChange | undefined = filter.onResponseBody?.(this.#exchange, status, fields, left);
      if (change === undefined || length === NO_BODY) continue;
      if (!('stage' in change)) return change;
      stages.push(change);
      left = UNKNOWN_LENGTH;
    }
    return undefined;
  }

  #uncork(): void {
    const corked = this.#corked;
    this.#corked = undefined;
    if (corked === undefined || this.#closed || this.#collecting !== undefined || this.#headSent) return;
    const bytes = corked.length === 1 ? corked[0] : Buffer.concat(corked);
    const length = bytes?.length ?? 0;
    this.#headSent = true;
    const last = this.#ended && this.#trailers === undefined;
    this.#owner.sendHead(this.#status, this.#fields as Fields, last ? length : UNKNOWN_LENGTH, bytes, 0, length, true, last);
    if (this.#ended && !last) this.#owner.sendEnd(this.#trailers);
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.#closed) return true;
    if (this.#stages !== undefined) return this.#stages.write(bytes, start, end, this.#isOwn);
    return this.#collecting === undefined ? this.#owner.sendBody(bytes, start, end, stable) : this.#collect(bytes, start, end, this.#isOwn);
  }

  /** The source has no more. What is still in the pipe comes out in its own time. */
  end(trailers: Fields | undefined): void {
    if (this.#closed) return;
    if (this.#stages !== undefined) this.#stages.end(trailers);
    else this.endStaged(trailers);
  }

  onClientWritable(): void {
    if (this.#stages === undefined) this.#owner.resumeAnswer();
    else this.#stages.onWritable();
  }

  /** Nothing comes out any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#collecting = undefined;
    this.#stages?.close();
  }

  // --- out of the last stage ---

  writeStaged(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.#collecting !== undefined) return this.#collect(bytes, start, end, stable);
    if (this.#corked === undefined) return this.#owner.sendBody(bytes, start, end, stable);
    const part = bytes.subarray(start, end);
    this.#corked.push(stable ? part : Buffer.from(part));
    return true;
  }

  endStaged(trailers: Fields | undefined): void {
    if (this.#collecting !== undefined) {
      this.#endCollecting(this.#collecting.change, this.#collecting.collector.take(), trailers);
      return;
    }
    if (this.#corked === undefined) {
      this.#owner.sendEnd(trailers);
      return;
    }
    this.#ended = true;
    this.#trailers = trailers;
  }

  resumeSource(): void {
    this.#owner.resumeAnswer();
  }

  failStaged(why: Reply | Error): void {
    if (why instanceof Error) this.#owner.fail(why);
    else if (this.#headSent) this.#owner.cutAnswer(why.reason);
    else this.#owner.replaceAnswer(why);
  }

  #collect(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const { change, collector } = this.#collecting as { change: CollectedBody; collector: Collector };
    if (!collector.add(bytes, start, end, stable)) this.#owner.replaceAnswer(change.tooLarge);
    return true;
  }

  #endCollecting(change: CollectedBody, body: Buffer, trailers: Fields | undefined): void {
    this.#collecting = undefined;
    this.#corked = undefined;
    this.#stages?.close();
    this.#stages = undefined;
    this.#isOwn = true;
    try {
      const answer = { status: this.#status, fields: this.#fields as Fields, body };
      const other = change.change(answer);
      if (other !== undefined) {
        this.#owner.replaceAnswer(other);
        return;
      }
      // On to the filters behind it.
      this.begin(answer.status, answer.fields, answer.body.length, answer.body, 0, answer.body.length, true, trailers === undefined);
      if (trailers !== undefined) this.end(trailers);
    } catch (error) {
      this.#owner.fail(error);
    }
  }
}
