import type { StagedBody } from '../../exchange/bodies.ts';
import type { Reply } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import { Collector } from './collector.ts';
import { Stages, type StagesOwner } from './stages.ts';

export interface RequestIntakeOwner {
  /** @returns whether more may come */
  takeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean;
  takeEnd(trailers: Fields | undefined): void;
  takeWhole(body: Buffer, trailers: Fields | undefined): void;
  /** The intake had told the client to wait. */
  resumeClient(): void;
  /** A Reply is the answer. */
  refuseBody(why: Reply | Error): void;
}

/** What a request's body passes through before it goes to a backend: a stage that changes it, and what collects it whole. */
export class RequestIntake implements StagesOwner {
  /** The client is not to send more for now. */
  isFull = false;
  readonly #owner: RequestIntakeOwner;
  readonly #stages: Stages | undefined;
  #collecting: { readonly collector: Collector; readonly tooLarge: Reply } | undefined = undefined;

  constructor(owner: RequestIntakeOwner, change: StagedBody | undefined) {
    this.#owner = owner;
    this.#stages = change === undefined ? undefined : new Stages([change], this);
  }

  /** From here on the body is kept, and given out whole. @param max bytes */
  collect(max: number, tooLarge: Reply): void {
    this.#collecting = { collector: new Collector(max), tooLarge };
  }

  get isCollecting(): boolean {
    return this.#collecting !== undefined;
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    // What a connection has read stays as it is at most as long as it is paused (wire.ts, `setBulk`).
    const lasts = stable && this.#stages === undefined && this.#collecting === undefined;
    const writable = this.#stages === undefined ? this.writeStaged(bytes, start, end, lasts) : this.#stages.write(bytes, start, end, lasts);
    this.isFull = !writable;
    return writable;
  }

  end(trailers: Fields | undefined): void {
    if (this.#stages === undefined) this.endStaged(trailers);
    else this.#stages.end(trailers);
  }

  /** The backend takes more again. */
  onWritable(): void {
    if (this.#stages === undefined) this.isFull = false;
    else this.#stages.onWritable();
  }

  close(): void {
    this.#collecting = undefined;
    this.#stages?.close();
  }

  // --- out of the stage ---

  writeStaged(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.#collecting === undefined) return this.#owner.takeBody(bytes, start, end, stable);
    const { collector, tooLarge } = this.#collecting;
    if (!collector.add(bytes, start, end, stable)) this.#owner.refuseBody(tooLarge);
    return true;
  }

  endStaged(trailers: Fields | undefined): void {
    if (this.#collecting === undefined) {
      this.#owner.takeEnd(trailers);
      return;
    }
    const body = this.#collecting.collector.take();
    this.#collecting = undefined;
    this.#owner.takeWhole(body, trailers);
  }

  resumeSource(): void {
    this.isFull = false;
    this.#owner.resumeClient();
  }

  failStaged(why: Reply | Error): void {
    this.#owner.refuseBody(why);
  }
}
