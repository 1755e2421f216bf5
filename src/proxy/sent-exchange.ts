/** An exchange whose request is on its way from the client to the tries: its body as it comes, changed, kept, or whole. */
// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import { CLIENT_GONE, type ClientHandler, isEmptyBody } from '../exchange/streams.ts';
import { allowedTrailers } from '../http1/trailers.ts';
import { AnsweredExchange } from './answered-exchange.ts';
import { RequestIntake, type RequestIntakeOwner } from './bodies/request-intake.ts';
import type { CompiledRoute } from './compiled-route.ts';
import { KeptBody } from './kept-body.ts';
import type { MirroredRequest } from './mirrors.ts';
import type { Proxy } from './proxy.ts';
import * as replies from './replies.ts';
import type { Try } from './try.ts';

export abstract class SentExchange extends AnsweredExchange implements ClientHandler, RequestIntakeOwner {
  /** Some of the request's body has been read, so that it can't be sent again unless it is kept. */
  protected bodyTaken = false;
  protected kept: KeptBody | undefined = undefined;
  /** A copy that goes elsewhere. */
  protected mirrored: MirroredRequest | undefined = undefined;
  requestEnded: boolean;
  protected requestPaused = false;
  /** What the body passes through before it goes anywhere; absent for most. */
  protected intake: RequestIntake | undefined = undefined;
  #collected: ((body: Buffer) => void) | undefined = undefined;
  #trailers: Fields | undefined = undefined;

  constructor(proxy: Proxy, exchange: Exchange) {
    super(proxy, exchange);
    this.requestEnded = isEmptyBody(exchange.stream.requestBody);
  }

  /** The body is here already, and can be sent any number of times. */
  protected keepWhole(body: Buffer): KeptBody {
    this.requestEnded = true;
    this.bodyTaken = true;
    return KeptBody.whole(body, this.#trailers);
  }

  /** The request's body can't be sent once more. */
  get isBodyLost(): boolean {
    return this.bodyTaken && (this.kept === undefined || this.kept.lost);
  }

  /** Nothing is sent again from here on. */
  protected forgetBody(): void {
    if (this.mirrored === undefined) this.kept = undefined;
  }

  onRequestData(bytes: Buffer, start: number, end: number, stable: boolean): void {
    if (this.tunnel !== undefined) {
      this.tunnel.onClientData(bytes, start, end, stable);
      return;
    }
    if (this.done) return;
    this.requestBytes += end - start;
    this.lastActivity = performance.now();
    const writable = this.intake === undefined ? this.takeBody(bytes, start, end, stable) : this.#takeIn(this.intake, bytes, start, end, stable);
    if (!writable) this.exchange.stream.pauseRequestBody();
  }

  takeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    this.bodyTaken = true;
    this.kept?.append(bytes, start, end);
    const attempt = this.current;
    // A try that is still owed what came before gets this along with it.
    if (attempt?.stream === undefined || attempt.owesBody) return !this.requestPaused;
    if (attempt.stream.writeBody(bytes, start, end, stable)) return true;
    this.requestPaused = true;
    return false;
  }

  onUpstreamWritable(attempt: Try): void {
    const { stream } = attempt;
    if (this.done || stream === undefined) return;
    this.lastActivity = performance.now();
    if (attempt.owesBody) {
      attempt.owesBody = false;
      const writable = this.kept?.writeTo(stream) ?? true;
      if (this.requestEnded) stream.endBody(this.kept?.trailers);
      if (!writable) {
        this.requestPaused = true;
        return;
      }
    }
    if (this.requestEnded) return;
    this.requestPaused = false;
    this.intake?.onWritable();
    if (this.intake?.isFull !== true) this.exchange.stream.resumeRequestBody();
  }

  onRequestEnd(trailers: Fields | undefined): void {
    const passing = trailers && withoutOwnFields(trailers, this.exchange.ownFields);
    if (this.tunnel !== undefined) this.tunnel.onClientEnd();
    else if (this.intake === undefined) this.takeEnd(passing);
    else if (!this.done) this.#endIntake(this.intake, passing);
  }

  takeEnd(trailers: Fields | undefined): void {
    this.requestEnded = true;
    if (this.kept !== undefined) this.kept.trailers = trailers;
    this.mirrored?.send(this.kept);
    const attempt = this.current;
    if (this.done || attempt?.stream === undefined) return;
    const { route } = this.route as CompiledRoute;
    if (attempt.awaitingHead) {
      attempt.headDeadline = performance.now() + route.timeouts.backendRequest;
      this.deadline = Math.min(this.requestDeadline, attempt.headDeadline);
      this.awaitHedge();
    }
    if (!attempt.owesBody) attempt.stream.endBody(trailers);
  }

  /** The whole request is under way: another try may go out beside it. */
  protected abstract awaitHedge(): void;

  // --- a body that filters change or want whole ---

  protected override collectBody(max: number, collected: (body: Buffer) => void): void {
    const { stream, requestStage } = this.exchange;
    this.intake ??= new RequestIntake(this, requestStage);
    this.intake.collect(max, replies.bodyTooLarge);
    this.#collected = collected;
    this.awaitMore(performance.now());
    this.proxy.deadlines.add(this);
    stream.resumeRequestBody();
  }

  takeWhole(body: Buffer, trailers: Fields | undefined): void {
    this.requestEnded = true;
    this.#trailers = trailers;
    // What the filters wait for after it is theirs to bound.
    this.deadline = this.requestDeadline;
    this.#collected?.(body);
  }

  #takeIn(intake: RequestIntake, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    try {
      return intake.write(bytes, start, end, stable);
    } catch (error) {
      this.fail(error);
      return true;
    }
  }

  #endIntake(intake: RequestIntake, trailers: Fields | undefined): void {
    try {
      intake.end(trailers);
    } catch (error) {
      this.fail(error);
    }
  }

  resumeClient(): void {
    if (!this.done) this.exchange.stream.resumeRequestBody();
  }

  refuseBody(why: Reply | Error): void {
    if (why instanceof Error) this.fail(why);
    else if (this.exchange.stream.responded) this.cutAnswer(why.reason);
    else this.replaceAnswer(why);
  }

  onRequestError(status: number, reason: string, responseBytes: number): void {
    if (this.done) return;
    if (this.tunnel !== undefined) {
      this.tunnel.stop(reason);
      return;
    }
    this.responseBytes += responseBytes;
    this.cancel();
    this.finish(status, reason);
  }

  onClientGone(): void {
    if (this.done) return;
    if (this.tunnel !== undefined) {
      this.tunnel.onClientGone();
      return;
    }
    this.cancel();
    this.finish(this.responding ? this.status : CLIENT_GONE, 'client_gone');
  }
}

/** Trailers but for those that would be a client's word in the gateway's name (RFC 9110 section 6.5.1). @returns undefined when nothing is left */
function withoutOwnFields(trailers: Fields, names: readonly string[] | undefined): Fields | undefined {
  if (names === undefined) return trailers;
  for (const name of names) trailers.remove(name);
  return allowedTrailers(trailers);
}
