import { FieldKind, HOP_BY_HOP, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import { type BodyLength, isEmptyBody, NO_BODY, UNKNOWN_LENGTH, type UpstreamRequest } from '../exchange/streams.ts';
import type { Connection } from '../wire/wire.ts';
import { CONTENT_LENGTH } from './framing.ts';
import { writeChunk } from './message-writer.ts';
import { WEBSOCKET_LINES } from './upgrade.ts';

const NOT_SENT = HOP_BY_HOP | CONTENT_LENGTH | maskOf(FieldKind.Expect);
const NOTHING = Buffer.alloc(0);

/**
 * Writes one request after the other to a connection, framed anew. The head waits for the first bytes of the body, so that
 * both go out together; what is given before the connection is up waits for that.
 */
export class RequestWriter {
  /** The request is complete, and all of it was written. */
  ended = true;
  /** Something of the request was written. */
  sent = false;
  /** The backend takes no more for now. */
  held = false;
  /** Where to; set once the connection is up. */
  connection: Connection | undefined = undefined;
  /** Not yet written. */
  #head = '';
  #chunked = false;
  /** Bytes of the body still to come; not used where its length is unknown. */
  #left = 0;
  /** Of the body, from before the connection was up. */
  #early = NOTHING;
  #endsEarly = false;
  #earlyTrailers: Fields | undefined = undefined;

  begin({ method, target, fields, body, upgrade }: UpstreamRequest): void {
    fields.removeKinds(NOT_SENT);
    this.sent = false;
    this.ended = isEmptyBody(body);
    this.#chunked = body === UNKNOWN_LENGTH;
    this.#left = Math.max(body, 0);
    const head = `${method} ${target} HTTP/1.1\r\n${fields.serialize()}${upgrade === 'websocket' ? WEBSOCKET_LINES : ''}${framing(body)}`;
    const { connection } = this;
    if (!this.ended || connection === undefined) {
      this.#head = head;
      return;
    }
    // Not kept for a moment: that would tell the collector of a young text in an old object.
    this.sent = true;
    if (!connection.writeLatin1(head)) this.held = true;
  }

  /** The connection is up: what waited for it goes out. @returns false where the body that was given is shorter than announced */
  connected(connection: Connection): boolean {
    this.connection = connection;
    const early = this.#early;
    if (early.length > 0) {
      this.#early = NOTHING;
      this.write(early, 0, early.length, true);
    }
    if (this.#endsEarly) return this.end(this.#earlyTrailers);
    if (this.ended) this.flushHead();
    return true;
  }

  /** Writes the head by itself, where it still waits. */
  flushHead(): void {
    if (this.#head === '' || this.connection === undefined) return;
    const head = this.#takeHead();
    if (!this.connection.writeLatin1(head)) this.held = true;
  }

  /** @param end more than `start` @returns as `Connection.write` does */
  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const { connection } = this;
    if (this.ended) return true;
    if (connection === undefined) {
      this.#early = Buffer.concat([this.#early, bytes.subarray(start, end)]);
      return false;
    }
    const head = this.#takeHead();
    let taken: boolean;
    if (this.#chunked) {
      taken = writeChunk(connection, head, bytes, start, end, stable);
    } else {
      // More than was announced would be read as a request of its own.
      const stop = start + Math.min(end - start, this.#left);
      this.#left -= stop - start;
      taken = head === '' ? connection.write(bytes, start, stop, stable) : connection.writeHeadAndBytes(head, bytes, start, stop, stable);
    }
    if (!taken) this.held = true;
    return taken;
  }

  /** The body is over. @returns false where it is shorter than announced: then the connection must be cut */
  end(trailers: Fields | undefined): boolean {
    const { connection } = this;
    if (this.ended) return true;
    if (connection === undefined) {
      this.#endsEarly = true;
      this.#earlyTrailers = trailers;
      return true;
    }
    if (!this.#chunked && this.#left > 0) return false;
    this.ended = true;
    const head = this.#takeHead();
    const text = this.#chunked ? `${head}0\r\n${trailers?.serialize() ?? ''}\r\n` : head;
    if (text !== '' && !connection.writeLatin1(text)) this.held = true;
    return true;
  }

  #takeHead(): string {
    const head = this.#head;
    this.#head = '';
    this.sent = true;
    return head;
  }
}

function framing(body: BodyLength): string {
  if (body === NO_BODY) return '\r\n';
  return body === UNKNOWN_LENGTH ? 'Transfer-Encoding: chunked\r\n\r\n' : `Content-Length: ${body}\r\n\r\n`;
}
