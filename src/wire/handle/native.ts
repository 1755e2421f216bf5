import { type Bindings, loadBindings, type WriteRequest } from './bindings.ts';
import { ReadBuffers } from './read-buffers.ts';

/** A connection whose handle has been closed. */
export interface Closing {
  closed(): void;
}

/** What all connections of a thread share: the bindings, the read buffers, and requests for writes that are sent at once. */
export class Native {
  readonly bindings: Bindings;
  readonly buffers = new ReadBuffers();
  /** Node's window on the last read or write. */
  readonly state: Int32Array;
  readonly readBytes: number;
  readonly wasAsync: number;
  readonly eof: number;
  /**
   * Handed to each write. One that goes out at once leaves it untouched; one that does not takes it, and it is replaced.
   * Such a request is not used again: its native half lives on for a while after `oncomplete`.
   */
  request: WriteRequest;

  private closing: Closing[] = [];

  constructor() {
    this.bindings = loadBindings();
    const { stream, uv } = this.bindings;
    this.state = stream.streamBaseState;
    this.readBytes = stream.kReadBytesOrError;
    this.wasAsync = stream.kLastWriteWasAsync;
    this.eof = uv.UV_EOF;
    this.request = this.newRequest();
  }

  /** Calls `closed` at the end of this turn of the event loop. */
  closedLater(connection: Closing): void {
    if (this.closing.push(connection) === 1) setImmediate(closeAll, this);
  }

  /** The connections that were closed in this turn. */
  takeClosing(): readonly Closing[] {
    const { closing } = this;
    this.closing = [];
    return closing;
  }

  /** The request that the last write took. */
  takeRequest(): WriteRequest {
    const { request } = this;
    this.request = this.newRequest();
    return request;
  }

  newRequest(): WriteRequest {
    const request = new this.bindings.stream.WriteWrap();
    request.owner = undefined;
    request.kept = undefined;
    request.done = false;
    request.oncomplete = onComplete;
    return request;
  }
}

function closeAll(native: Native): void {
  for (const connection of native.takeClosing()) connection.closed();
}

export function onComplete(this: WriteRequest, status: number): void {
  this.done = true;
  this.owner?.written(status, this.kept);
}
