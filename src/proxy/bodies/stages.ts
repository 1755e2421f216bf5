import type { BodySink, BodyStage, StagedBody } from '../../exchange/bodies.ts';
import type { Reply } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';

/** What is behind the last stage and before the first one. */
export interface StagesOwner {
  writeStaged(bytes: Buffer, start: number, end: number, stable: boolean): boolean;
  endStaged(trailers: Fields | undefined): void;
  /** The first stage takes more again. */
  resumeSource(): void;
  failStaged(why: Reply | Error): void;
}

/** Stages in a row, each of which writes to the next one, and the last one to the owner. */
export class Stages {
  readonly #links: Link[] = [];

  /** @param changes in the order in which the body goes through them; at least one */
  constructor(changes: readonly StagedBody[], owner: StagesOwner) {
    for (let index = changes.length - 1; index >= 0; index--) {
      const link = new Link(owner, this.#links[0]);
      link.stage = (changes[index] as StagedBody).stage(link);
      if (this.#links[0] !== undefined) this.#links[0].previous = link;
      this.#links.unshift(link);
    }
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    return this.#links[0]?.stage?.write(bytes, start, end, stable) ?? true;
  }

  end(trailers: Fields | undefined): void {
    this.#links[0]?.stage?.end(trailers);
  }

  /** What is behind the last stage takes more again. */
  onWritable(): void {
    this.#links.at(-1)?.stage?.onWritable();
  }

  /** Ends all of them; nothing comes out any more. */
  close(): void {
    for (const link of this.#links) link.close();
  }
}

/** What one stage writes to: the next stage, or the owner. */
class Link implements BodySink {
  stage: BodyStage | undefined = undefined;
  previous: Link | undefined = undefined;
  #closed = false;
  #ended = false;
  readonly #owner: StagesOwner;
  readonly #next: Link | undefined;

  constructor(owner: StagesOwner, next: Link | undefined) {
    this.#owner = owner;
    this.#next = next;
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.#closed || this.#ended) return true;
    return this.#next === undefined ? this.#owner.writeStaged(bytes, start, end, stable) : (this.#next.stage?.write(bytes, start, end, stable) ?? true);
  }

  end(trailers: Fields | undefined): void {
    if (this.#closed || this.#ended) return;
    this.#ended = true;
    if (this.#next === undefined) this.#owner.endStaged(trailers);
    else this.#next.stage?.end(trailers);
  }

  resume(): void {
    if (this.#closed || this.#ended) return;
    if (this.previous === undefined) this.#owner.resumeSource();
    else this.previous.stage?.onWritable();
  }

  fail(why: Reply | Error): void {
    if (this.#closed || this.#ended) return;
    this.#ended = true;
    this.#owner.failStaged(why);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.stage?.close();
  }
}
