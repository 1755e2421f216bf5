import assert from 'node:assert/strict';
import type { Fields } from '../exchange/fields.ts';
import type { BodyLength, UpstreamFailure, UpstreamHandler } from '../exchange/streams.ts';

/** What became of one try. */
export class Answer implements UpstreamHandler {
  status = 0;
  fields = '';
  length: BodyLength = 0;
  body = '';
  ended = false;
  /** The whole answer came with one callback. */
  whole = false;
  trailers: string | undefined = undefined;
  readonly informed: string[] = [];
  writable = 0;
  failure: UpstreamFailure | '' = '';
  bytesSent = false;
  reused = false;
  cause: Error | undefined = undefined;
  onBytes: (() => void) | undefined = undefined;
  onEnded: (() => void) | undefined = undefined;
  onWritable: (() => void) | undefined = undefined;

  get over(): boolean {
    return this.ended || this.failure !== '';
  }

  onInformational(status: number, fields: Fields): void {
    assert.ok(!this.over && this.status === 0);
    this.informed.push(`${status} ${fields.serialize()}`);
  }

  onResponse(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, _stable: boolean, last: boolean): void {
    assert.ok(!this.over && this.status === 0);
    this.status = status;
    this.fields = fields.serialize();
    this.length = length;
    if (first !== undefined) this.body = first.toString('latin1', start, end);
    this.ended = last;
    this.whole = last;
    this.onBytes?.();
    if (last) this.onEnded?.();
  }

  onResponseData(bytes: Buffer, start: number, end: number): void {
    assert.ok(!this.over && this.status !== 0 && end > start);
    this.body += bytes.toString('latin1', start, end);
    this.onBytes?.();
  }

  onResponseEnd(trailers: Fields | undefined): void {
    assert.ok(!this.over && this.status !== 0);
    this.ended = true;
    this.trailers = trailers?.serialize();
    this.onEnded?.();
  }

  onUpstreamWritable(): void {
    assert.ok(!this.over);
    this.writable++;
    this.onWritable?.();
  }

  onUpstreamFailure(failure: UpstreamFailure, requestBytesSent: boolean, reusedConnection: boolean, cause: Error | undefined): void {
    assert.ok(!this.over);
    this.failure = failure;
    this.bytesSent = requestBytesSent;
    this.reused = reusedConnection;
    this.cause = cause;
  }
}

/** What became of a try that asked for a tunnel, of which the other direction may go on behind the backend's end. */
export class TunnelAnswer extends Answer {
  override get over(): boolean {
    return this.failure !== '';
  }

  override onResponseData(bytes: Buffer, start: number, end: number): void {
    assert.ok(!this.ended);
    super.onResponseData(bytes, start, end);
  }
}
