/**
 * An exchange whose answer is on its way from a try to the client: its head through the filters, its body with whichever
 * side is faster held back, or a tunnel.
 */
// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import type { BodySink, BodySource, GivenAnswer } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import type { BodyLength, UpstreamStream } from '../exchange/streams.ts';
import type { AnswerPipe } from './bodies/answer-pipe.ts';
import type { CompiledRoute } from './compiled-route.ts';
import * as replies from './replies.ts';
import { RoutedExchange } from './routed-exchange.ts';
import type { Try } from './try.ts';
import { Tunnel, type TunnelOwner } from './tunnel/tunnel.ts';

export abstract class AnsweredExchange extends RoutedExchange implements TunnelOwner, BodySink {
  /** The try under way; of several, the one that counts until one of them has the answer. */
  current: Try | undefined = undefined;
  /** Why the fallback's backend was asked; empty: it was not. */
  fallbackReason = '';
  /** A try has the answer that goes to the client. */
  protected responding = false;
  /** What it has become, once both sides have switched protocols. */
  protected tunnel: Tunnel | undefined = undefined;
  /** Where its body comes from, when not from a try. */
  protected source: BodySource | undefined = undefined;
  /** The request of the gateway's own that brings its answer; for the log. */
  protected fetched: RoutedExchange | undefined = undefined;

  /**
   * Sends an answer on its way. The parameters are those of `UpstreamHandler.onResponse`.
   * @param now `performance.now()`
   * @throws what a filter throws
   */
  protected respond(
    attempt: Try,
    now: number,
    status: number,
    fields: Fields,
    length: BodyLength,
    first: Buffer | undefined,
    start: number,
    end: number,
    stable: boolean,
    last: boolean,
  ): void {
    this.responding = true;
    this.status = status;
    // What the fallback is for stays in the log.
    if (this.fallbackReason === '' || this.upstreamStatus === 0) this.upstreamStatus = status;
    this.upstreamMs = attempt.latencyMs;
    if (this.exchange.wouldOpenTunnel(status)) {
      this.cancel();
      this.answer(replies.upgradeNotGranted);
      return;
    }
    attempt.addressed.compiled?.responseFilter?.onResponse?.(this.exchange, status, fields);
    this.stampAnswer(attempt, status, fields, length);
    if (this.changesAnswers && status !== 101) {
      this.awaitMore(now);
      if (!this.beginPipe(this.fallbackReason, status, fields, length, first, start, end, stable, last)) attempt.stream?.pauseResponse();
      return;
    }
    this.filterResponse(status, fields);
    this.answerReason = this.fallbackReason;
    const writable = this.sendHead(status, fields, length, first, start, end, stable, last, now);
    if (last) return;
    if (!writable) attempt.stream?.pauseResponse();
    if (status === 101) {
      this.#beginTunnel(attempt, first, start, end);
      return;
    }
    this.awaitMore(now);
  }

  /** What the gateway adds to an answer for its one client, before the response filters. */
  protected stampAnswer(attempt: Try, _status: number, fields: Fields, _length: BodyLength): void {
    attempt.addressed.backend.affinity?.stamp(this.exchange, attempt.endpoint, fields);
  }

  protected override give({ status, fields, length, body, source, reason }: GivenAnswer): void {
    this.responding = true;
    this.status = status;
    this.source = source;
    this.answerReason = reason;
    const size = body?.length ?? 0;
    const whole = source === undefined;
    if (!whole || this.changesAnswers) {
      this.awaitMore(performance.now());
      this.proxy.deadlines.add(this);
    }
    let writable: boolean;
    if (this.changesAnswers) {
      writable = this.beginPipe(reason, status, fields, length, body, 0, size, true, whole);
    } else {
      this.filterResponse(status, fields);
      writable = this.sendHead(status, fields, length, body, 0, size, true, whole);
    }
    source?.start(this, writable);
  }

  writeGiven(bytes: Buffer, start: number, end: number): boolean {
    if (this.done) return true;
    this.lastActivity = performance.now();
    return this.pipe === undefined ? this.sendBody(bytes, start, end, true) : this.pipe.write(bytes, start, end, true);
  }

  endGiven(trailers: Fields | undefined): void {
    if (this.done) return;
    if (this.pipe === undefined) this.sendEnd(trailers);
    else this.pipe.end(trailers);
  }

  abortGiven(reason: string): void {
    if (this.done) return;
    this.exchange.stream.abort();
    this.finish(this.status, reason);
  }

  protected override record(durationMs: number): void {
    const { fetched } = this;
    if (fetched !== undefined) {
      this.backend = fetched.backend;
      this.endpoint = fetched.endpoint;
      this.attempts = fetched.attempts;
      this.upstreamStatus = fetched.upstreamStatus;
      this.upstreamMs = fetched.upstreamMs;
      // What has made the answer, where it is no backend's.
      if (this.reason === '') this.reason = fetched.reason;
      this.exchange.calls ??= fetched.exchange.calls;
    }
    super.record(durationMs);
  }

  /** Both sides have switched protocols: from here on bytes go both ways until both have ended. */
  #beginTunnel(attempt: Try, first: Buffer | undefined, start: number, end: number): void {
    const { deadlines } = this.proxy;
    const { idle, tunnel } = (this.route as CompiledRoute).route.timeouts;
    const { stream, startedAt } = this.exchange;
    deadlines.remove(this);
    const until = tunnel === undefined ? Number.POSITIVE_INFINITY : startedAt + tunnel;
    this.tunnel = new Tunnel(stream, attempt.stream as UpstreamStream, this, deadlines, { idle, until });
    attempt.tunnel = this.tunnel;
    if (first !== undefined) this.tunnel.sentAlong(first, start, end);
    stream.resumeRequestBody();
    this.proxy.tunnels.add(this.tunnel);
  }

  onTunnelOver(tunnel: Tunnel, reason: string, failed: boolean): void {
    this.proxy.tunnels.remove(tunnel);
    this.current?.endTunnel(failed);
    this.finish(this.status, reason);
  }

  onAnswerData(attempt: Try, bytes: Buffer, start: number, end: number, stable: boolean): void {
    this.lastActivity = performance.now();
    if (this.pipe !== undefined) {
      this.#pass(this.pipe, attempt, bytes, start, end, stable);
      return;
    }
    if (!this.sendBody(bytes, start, end, stable)) attempt.stream?.pauseResponse();
  }

  onClientWritable(): void {
    if (this.done) return;
    if (this.tunnel !== undefined) {
      this.tunnel.onClientWritable();
      return;
    }
    this.lastActivity = performance.now();
    if (this.pipe === undefined) this.resumeAnswer();
    else this.pipe.onClientWritable();
  }

  override resumeAnswer(): void {
    if (this.source !== undefined) this.source.resume();
    else this.current?.stream?.resumeResponse();
  }

  #pass(pipe: AnswerPipe, attempt: Try, bytes: Buffer, start: number, end: number, stable: boolean): void {
    try {
      if (!pipe.write(bytes, start, end, stable)) attempt.stream?.pauseResponse();
    } catch (error) {
      this.fail(error);
    }
  }

  onAnswerEnd(trailers: Fields | undefined): void {
    if (this.pipe !== undefined) {
      // It comes to its end when everything is out of it.
      try {
        this.pipe.end(trailers);
      } catch (error) {
        this.fail(error);
      }
      return;
    }
    this.sendEnd(trailers);
  }
}
