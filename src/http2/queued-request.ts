import { LateStream } from '../exchange/late-stream.ts';
import { isEmptyBody, type UpstreamFailure, type UpstreamHandler, type UpstreamRequest, type UpstreamStream } from '../exchange/streams.ts';
import { type Deferred, defer } from '../http1/turn-queue.ts';

/** A request that waits for its connection, for the backend's SETTINGS, or for room, before it has a stream: of that connection, or of another one. */
export class QueuedRequest extends LateStream implements Deferred {
  readonly request: UpstreamRequest;
  readonly handler: UpstreamHandler;
  readonly reused: boolean;
  readonly #onDropped: (queued: QueuedRequest) => void;
  #failed: Error | undefined = undefined;
  /** Nothing is told any more. */
  #over = false;

  /** @param reused whether the connection has carried a request before @param onDropped it is to leave the queue */
  constructor(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean, onDropped: (queued: QueuedRequest) => void) {
    super();
    this.request = request;
    this.handler = handler;
    this.reused = reused;
    this.#onDropped = onDropped;
  }

  /** @returns whether the handler is to be told that it can write, which nobody else does */
  begin(stream: UpstreamStream): boolean {
    return this.passTo(stream) && !isEmptyBody(this.request.body);
  }

  /** It comes to nothing. Not from within a call of the handler. */
  fail(failure: UpstreamFailure, cause: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.handler.onUpstreamFailure(failure, false, this.reused, cause);
  }

  /** The same, once the caller has returned. */
  failLater(cause: Error): void {
    this.#failed = cause;
    defer(this);
  }

  runDeferred(): void {
    this.fail('reset', this.#failed);
  }

  protected override dropped(): void {
    if (this.#over) return;
    this.#over = true;
    this.#onDropped(this);
  }
}
