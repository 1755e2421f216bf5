import { FieldKind, HOP_BY_HOP, maskOf } from '../exchange/field-names.ts';
import { NO_BODY, UNKNOWN_LENGTH, type UpstreamRequest } from '../exchange/streams.ts';
import { CONTENT_LENGTH } from '../http1/framing.ts';
import type { Connection } from '../wire/wire.ts';
import { ErrorCode } from './frames.ts';
import { type SendingStream, StreamSender } from './stream-sender.ts';

const NOT_SENT = HOP_BY_HOP | CONTENT_LENGTH | maskOf(FieldKind.Expect);
/** We take trailers, whoever the client is (RFC 9110 section 10.1.4); gRPC servers insist on being told. */
const TE_TRAILERS = 'te: trailers\r\n';
const TE = maskOf(FieldKind.Te);

/** The way to one backend. */
export class RequestSender extends StreamSender {
  constructor(connection: Connection) {
    super(connection);
    // Only a server that breaks the protocol says so (RFC 9113 section 6.5.2).
    this.settings.pushEnabled = false;
  }

  head(stream: SendingStream, { method, target, fields, body, upgrade }: UpstreamRequest, scheme: 'http' | 'https', endStream: boolean): void {
    fields.removeKinds(NOT_SENT);
    if (body !== NO_BODY && body !== UNKNOWN_LENGTH) fields.appendLines(`${TE_TRAILERS}content-length: ${body}\r\n`, TE | CONTENT_LENGTH);
    // Trailers have no place in a tunnel.
    else if (method !== 'CONNECT') fields.appendLines(TE_TRAILERS, TE);
    this.sendBlock(stream, this.encoder.request(method, scheme, target, fields, upgrade), endStream);
  }

  override settle(bytes: Buffer, start: number, end: number): ErrorCode {
    const error = super.settle(bytes, start, end);
    return error === ErrorCode.NoError && this.settings.pushEnabled ? ErrorCode.ProtocolError : error;
  }
}
