/**
 * The two halves of a WebSocket connection through the gateway, after the 101: bytes both ways, with half-closes and back
 * pressure, bounded in silence and in time, and ended in good order where it is the gateway that ends it.
 */
import type { Deadlines, Timed } from '../../exchange/deadlines.ts';
import type { ClientStream, UpstreamStream } from '../../exchange/streams.ts';
import { closeFrame } from './close-frame.ts';
import { FrameTracker } from './frame-tracker.ts';

/** RFC 6455 section 7.4.1: an endpoint goes away. */
const GOING_AWAY = 1001;
/** Milliseconds for the frame under way to end, and for the client to answer our Close. */
const CLOSE_WAIT = 3_000;
/** Milliseconds for both connections to close after that. */
const END_WAIT = 2_000;

/** Times in milliseconds, on the clock of performance.now(). */
export interface TunnelLimits {
  /** How long there may be silence in both directions. */
  readonly idle: number;
  /** When it ends at the latest. */
  readonly until: number;
}

/** What is told of a tunnel. */
export interface TunnelOwner {
  requestBytes: number;
  responseBytes: number;
  /**
   * Both sides are over or told to be; called once, and nothing follows.
   * @param reason for the log; empty after an orderly end
   * @param failed it was the backend that broke it
   */
  onTunnelOver(tunnel: Tunnel, reason: string, failed: boolean): void;
}

const OPEN = 0;
/** Our Close goes to the client as soon as the frame under way has ended; what the client sends still passes. */
const CLOSING = 1;
/** Nothing passes any more; both connections are half-closed, and get a while to close. */
const ENDING = 2;
const OVER = 3;
type State = typeof OPEN | typeof CLOSING | typeof ENDING | typeof OVER;

export class Tunnel implements Timed {
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  readonly #client: ClientStream;
  readonly #backend: UpstreamStream;
  readonly #owner: TunnelOwner;
  readonly #deadlines: Deadlines;
  readonly #limits: TunnelLimits;
  readonly #fromClient = new FrameTracker();
  readonly #fromBackend = new FrameTracker();
  #state: State = OPEN;
  #reason = '';
  /** Our Close has gone to the client, so that nothing more may. */
  #clientTold = false;
  #clientEnded = false;
  #backendEnded = false;
  #lastActivity: number;

  /** The answer of 101 has gone to the client already. */
  constructor(client: ClientStream, backend: UpstreamStream, owner: TunnelOwner, deadlines: Deadlines, limits: TunnelLimits) {
    this.#client = client;
    this.#backend = backend;
    this.#owner = owner;
    this.#deadlines = deadlines;
    this.#limits = limits;
    this.#lastActivity = deadlines.now;
    this.#setDeadline();
    deadlines.add(this);
  }

  /** Bytes that came with the 101 and have gone out with it. */
  sentAlong(bytes: Buffer, start: number, end: number): void {
    this.#fromBackend.pass(bytes, start, end);
  }

  // --- from the client ---

  onClientData(bytes: Buffer, start: number, end: number, stable: boolean): void {
    if (this.#state >= ENDING) return;
    this.#lastActivity = this.#deadlines.now;
    this.#owner.requestBytes += end - start;
    this.#fromClient.pass(bytes, start, end);
    if (!this.#backend.writeBody(bytes, start, end, stable)) this.#client.pauseRequestBody();
    if (this.#clientTold && this.#clientHasAnswered) this.#endClient();
  }

  onClientEnd(): void {
    if (this.#state === OVER || this.#clientEnded) return;
    this.#clientEnded = true;
    this.#backend.endBody(undefined);
    if (this.#state === CLOSING) this.#endClient();
    this.#endIfDone();
  }

  onClientWritable(): void {
    this.#lastActivity = this.#deadlines.now;
    if (this.#state !== OVER) this.#backend.resumeResponse();
  }

  onClientGone(): void {
    if (this.#state === OVER) return;
    this.#backend.cancel();
    this.#finish(this.#reason || 'client_gone', false);
  }

  // --- from the backend ---

  onBackendData(bytes: Buffer, start: number, end: number, stable: boolean): void {
    if (this.#state >= ENDING || this.#clientTold) return;
    this.#lastActivity = this.#deadlines.now;
    let stop = end;
    if (this.#state === CLOSING) {
      stop = this.#fromBackend.toBoundary(bytes, start, end);
      if (stop < 0) stop = end;
    } else {
      this.#fromBackend.pass(bytes, start, end);
    }
    this.#owner.responseBytes += stop - start;
    if (!this.#client.writeBody(bytes, start, stop, stable)) this.#backend.pauseResponse();
    if (this.#state === CLOSING && this.#fromBackend.atBoundary) this.#tellClient();
  }

  onBackendEnd(): void {
    if (this.#state === OVER || this.#backendEnded) return;
    this.#backendEnded = true;
    // While it closes, the client's answer is still waited for.
    if (this.#state !== CLOSING || !this.#clientTold) this.#client.endBody(undefined);
    this.#endIfDone();
  }

  onBackendWritable(): void {
    this.#lastActivity = this.#deadlines.now;
    if (this.#state !== OVER) this.#client.resumeRequestBody();
  }

  onBackendLost(): void {
    if (this.#state === OVER) return;
    if (this.#clientTold) {
      // For the client the end is in order.
      this.#backendEnded = true;
      this.#endClient();
      return;
    }
    this.#client.abort();
    this.#finish(this.#reason || 'upstream_reset', this.#reason === '');
  }

  // --- ended by the gateway ---

  /** Ends it with a Close frame of 1001 (RFC 6455 section 7.4.1), and within a few seconds. @param reason for the log */
  close(reason: string): void {
    if (this.#state !== OPEN) return;
    this.#reason = reason;
    // There is no telling the client behind its backend's end; and a client that has ended sends no answer.
    if (this.#backendEnded || this.#clientEnded) {
      this.stop(reason);
      return;
    }
    this.#state = CLOSING;
    this.deadline = this.#deadlines.now + CLOSE_WAIT;
    if (this.#fromBackend.atBoundary) this.#tellClient();
  }

  /** Ends it at once. */
  stop(reason: string): void {
    if (this.#state === OVER) return;
    this.#backend.cancel();
    this.#client.abort();
    this.#finish(this.#reason || reason, false);
  }

  onDeadline(now: number): void {
    if (this.#state === OPEN) {
      if (now >= this.#limits.until) this.close('request_timeout');
      else if (now >= this.#lastActivity + this.#limits.idle) this.close('idle_timeout');
      else this.#setDeadline();
    } else if (this.#state === CLOSING && this.#clientTold) {
      this.#tellBackend(now);
    } else {
      this.stop(this.#reason);
    }
  }

  #setDeadline(): void {
    this.deadline = Math.min(this.#limits.until, this.#lastActivity + this.#limits.idle);
  }

  #tellClient(): void {
    this.#clientTold = true;
    // The backend may have closed by itself; then the client answers to that.
    if (!this.#fromBackend.closeSeen) {
      const frame = closeFrame(GOING_AWAY, false);
      this.#client.writeBody(frame, 0, frame.length, true);
    }
    // What the backend sends from here on has nowhere to go; its end is still of interest.
    this.#backend.resumeResponse();
    if (this.#clientHasAnswered) this.#endClient();
  }

  get #clientHasAnswered(): boolean {
    return this.#fromClient.closeSeen && this.#fromClient.atBoundary;
  }

  /** The client has said its last, and it is for the server to close first (RFC 6455 section 7.1.1). */
  #endClient(): void {
    this.#state = ENDING;
    this.deadline = this.#deadlines.now + END_WAIT;
    this.#client.endBody(undefined);
    this.#endIfDone();
  }

  /** The client has not answered. */
  #tellBackend(now: number): void {
    this.#state = ENDING;
    this.deadline = now + END_WAIT;
    if (this.#fromClient.atBoundary && !this.#fromClient.closeSeen) {
      const frame = closeFrame(GOING_AWAY, true);
      this.#backend.writeBody(frame, 0, frame.length, true);
    }
    this.#backend.endBody(undefined);
    this.#client.endBody(undefined);
    // What is held back is of no interest any more, but the ends behind it are.
    this.#client.resumeRequestBody();
  }

  #endIfDone(): void {
    if (this.#clientEnded && this.#backendEnded) this.#finish(this.#reason, false);
  }

  #finish(reason: string, failed: boolean): void {
    this.#state = OVER;
    this.#deadlines.remove(this);
    this.#owner.onTunnelOver(this, reason, failed);
  }
}
