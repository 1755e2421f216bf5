/** What is wrong with a message, and how a request that has it is answered. */
export interface Fault {
  readonly status: number;
  /** For log and metrics. */
  readonly reason: string;
  /** For the problem document. */
  readonly detail: string;
}

function fault(status: number, reason: string, detail: string): Fault {
  return { status, reason, detail };
}

export const BAD_REQUEST_LINE = fault(400, 'bad_request_line', 'The request line is malformed.');
export const BAD_VERSION = fault(400, 'bad_version', 'The protocol version is neither HTTP/1.1 nor HTTP/1.0.');
export const UNKNOWN_METHOD = fault(400, 'unknown_method', 'The method is not known.');
export const CONNECT_REFUSED = fault(405, 'connect_refused', 'CONNECT is not served.');
/** A TRACE answer shows the request with the fields that gateways added and the client may not see (RFC 9110 section 9.3.8). */
export const TRACE_REFUSED = fault(405, 'trace_refused', 'TRACE is not served.');
export const BAD_TARGET = fault(400, 'bad_target', 'The request target is malformed.');
export const BAD_PATH = fault(400, 'bad_path', 'The path is malformed, or holds an encoded slash, backslash or NUL.');
export const TARGET_TOO_LONG = fault(414, 'target_too_long', 'The request line is too long.');
export const BAD_FIELD = fault(400, 'bad_field', 'A header field is malformed.');
export const HEAD_TOO_LARGE = fault(431, 'head_too_large', 'The header section is too large.');
export const TOO_MANY_FIELDS = fault(431, 'too_many_fields', 'The header section has too many fields.');
export const BAD_HOST = fault(400, 'bad_host', 'The request must name exactly one valid host.');
export const HOST_MISMATCH = fault(400, 'host_mismatch', 'The host of the request target differs from the Host field.');
export const BAD_CONNECTION = fault(400, 'bad_connection', 'The Connection field is malformed.');
export const BAD_CONTENT_LENGTH = fault(400, 'bad_content_length', 'Content-Length must be given once, as a decimal number.');
export const AMBIGUOUS_LENGTH = fault(400, 'ambiguous_length', 'A message can not have both Content-Length and Transfer-Encoding.');
export const BAD_TRANSFER_ENCODING = fault(400, 'bad_transfer_encoding', 'Transfer-Encoding must be exactly "chunked", and needs HTTP/1.1.');
export const UNKNOWN_TRANSFER_CODING = fault(501, 'unknown_transfer_coding', 'No transfer coding but "chunked" is supported.');
export const UNKNOWN_EXPECTATION = fault(417, 'unknown_expectation', 'The only expectation that can be met is "100-continue".');
export const UPGRADE_REFUSED = fault(501, 'upgrade_refused', 'A request with a body can not ask for another protocol.');
export const BAD_HANDSHAKE = fault(
  400,
  'bad_handshake',
  'The WebSocket handshake is malformed: it needs one Sec-WebSocket-Key of 16 bytes in base64 and one Sec-WebSocket-Version.',
);
export const SLOW_HEAD = fault(408, 'head_timeout', 'The header section did not arrive in time.');
export const BAD_CHUNK = fault(400, 'bad_chunk', 'The chunked body is malformed.');
export const BAD_TRAILER = fault(400, 'bad_trailer', 'The trailer section is malformed or too large.');
export const BODY_CUT = fault(400, 'body_cut', 'The body ended before it was complete.');
export const BODY_TOO_LARGE = fault(413, 'body_too_large', 'The body is too large.');

// Only of backends' answers; what the client gets for them is the proxy's to say.
export const BAD_STATUS_LINE = fault(502, 'bad_status_line', 'The status line is malformed.');
export const BAD_STATUS = fault(502, 'bad_status', 'The status does not fit the request or the message.');
export const BAD_SWITCH = fault(502, 'bad_switch', 'The switch to another protocol is not the one that was asked for.');
export const EXCESS_BYTES = fault(502, 'excess_bytes', 'There are bytes after the end of the message.');
