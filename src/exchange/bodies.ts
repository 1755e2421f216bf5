/**
 * How filters change bodies: as streams, in stages that sit between the two sides of an exchange, or whole. See streams.ts on
 * where they sit. A stage has a sink behind it; each holds the other back as the two sides do: who was told false by `write`
 * waits until it is told that there is room again.
 */
import type { Reply } from './exchange.ts';
import type { Fields } from './fields.ts';

/** What a stage writes to. Calls after the stage's `close`, or after `end` or `fail`, have no effect. */
export interface BodySink {
  /** @param stable the bytes stay as they are after the call @returns false: no more for now, until the stage's `onWritable` */
  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean;
  /** The body is complete. */
  end(trailers: Fields | undefined): void;
  /** The stage has told its source to wait by `write`, and takes more again. Never from within that `write`. */
  resume(): void;
  /** The body can't be completed: the reply is the answer where there is none yet, else the answer is cut. An Error is a fault of ours. */
  fail(why: Reply | Error): void;
}

/** One change of one body, in steps. What it does later, in callbacks of its own, must not throw. */
export interface BodyStage {
  /** @param stable as in `BodySink.write`; the same for what it returns, with `BodySink.resume` */
  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean;
  /** There is no more to come. The stage ends its sink, then or later. */
  end(trailers: Fields | undefined): void;
  /** The sink takes more again. */
  onWritable(): void;
  /** The exchange is over, in whatever way; called once. Gives back what it holds. */
  close(): void;
}

/** A body is to go through a stage; its length is unknown from then on. */
export interface StagedBody {
  stage(sink: BodySink): BodyStage;
}

/** An answer that has been read to its end. Whoever gets it may put anything else in the place of its parts. */
export interface WholeAnswer {
  status: number;
  readonly fields: Fields;
  body: Buffer;
}

/** An answer is to be read to its end before its head goes on. */
export interface CollectedBody {
  readonly maxBytes: number;
  /** @throws what is a fault of ours: 500. @returns another answer in its place */
  change(answer: WholeAnswer): Reply | undefined;
  /** In place of an answer that is longer than `maxBytes`. */
  readonly tooLarge: Reply;
}

export type AnswerBodyChange = StagedBody | CollectedBody;
