/** What is wrong with an HTTP/2 request beyond what HTTP/1.1 knows, as its line in the log tells it; RST_STREAM answers it (RFC 9113 section 8.1.1). */
import { parseAuthority } from '../exchange/authority.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { FieldKind, maskOf } from '../exchange/field-names.ts';
import { Fields } from '../exchange/fields.ts';
import type { Peer } from '../exchange/peer.ts';
import { newRequestId } from '../exchange/request-id.ts';
import { CLIENT_GONE, type Refusal } from '../exchange/streams.ts';
import { BAD_HOST, BAD_TARGET, type Fault, HOST_MISMATCH } from '../http1/fault.ts';
import { ALLOW } from '../http1/problem-answer.ts';
import { ErrorCode } from './frames.ts';
import type { HeaderBlock } from './hpack/header-block.ts';

/** As nginx logs it. */
export const PROTOCOL = 'HTTP/2.0';

/** With these nobody can tell which host was meant. */
const LEAVES_HOST_OPEN: ReadonlySet<Fault> = new Set([BAD_HOST, HOST_MISMATCH, BAD_TARGET]);

export const MALFORMED_HEAD: Fault = { status: 400, reason: 'malformed_head', detail: 'The header section is malformed.' };
export const MALFORMED_PSEUDO: Fault = { status: 400, reason: 'malformed_pseudo_header', detail: 'The pseudo-header fields are malformed.' };
export const MALFORMED_TRAILERS: Fault = { status: 400, reason: 'malformed_trailers', detail: 'The trailer section is malformed.' };
export const LENGTH_MISMATCH: Fault = { status: 400, reason: 'length_mismatch', detail: 'The content is not as long as Content-Length says.' };
export const DEPENDS_ON_ITSELF: Fault = { status: 400, reason: 'depends_on_itself', detail: 'The stream is to depend on itself.' };
/** RFC 9220 section 3, which holds for HTTP/2 as well. */
export const UNKNOWN_PROTOCOL: Fault = { status: 501, reason: 'unknown_protocol', detail: 'The only protocol that can be tunnelled is "websocket".' };
export const TOO_MANY_STREAMS: Fault = { status: 503, reason: 'too_many_streams', detail: 'There are more requests at once than the connection takes.' };

const NAMES = Object.fromEntries(Object.entries(ErrorCode).map(([name, code]) => [code, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)]));

/** What log and metrics hear of a request that was over before its exchange began. @param fault of the client; undefined: it does not want the answer */
export function resetRefusal({ peer, method, host, path, query, startedAt }: Exchange, fault: Fault | undefined): Refusal {
  return {
    requestId: newRequestId(),
    status: fault?.status ?? CLIENT_GONE,
    reason: fault?.reason ?? 'client_gone',
    clientAddress: peer.remoteAddress,
    tls: peer.tls,
    method,
    host,
    target: path + query,
    protocol: PROTOCOL,
    responseBytes: 0,
    startedAt,
  };
}

/** Why a connection ended, as the log tells it: `http2_protocol_error`, `http2_enhance_your_calm`. */
export function connectionFault(code: ErrorCode): Fault {
  return { status: 400, reason: `http2${NAMES[code]}`, detail: 'The connection broke a rule of HTTP/2.' };
}

/** What log and metrics hear of a request that was refused before there was an exchange. @param block undefined: nothing was read of it */
export function refusalOf(fault: Fault, peer: Peer, block: HeaderBlock | undefined, requestId: string, responseBytes: number, startedAt: number): Refusal {
  return {
    requestId,
    status: fault.status,
    reason: fault.reason,
    clientAddress: peer.remoteAddress,
    tls: peer.tls,
    method: block?.method ?? '',
    host: block === undefined || LEAVES_HOST_OPEN.has(fault) ? '' : (parseAuthority(block.authority)?.host ?? ''),
    target: block?.path ?? '',
    protocol: PROTOCOL,
    responseBytes,
    startedAt,
  };
}

const PROBLEM = maskOf(FieldKind.XRequestId, FieldKind.ContentType, FieldKind.Other);

/** Fields of the engine's own answer to a request that it can't or won't go on with. */
export function problemFields(fault: Fault, requestId: string): Fields {
  const fields = new Fields();
  fields.appendLines(`content-type: application/problem+json\r\nx-request-id: ${requestId}\r\n${fault.status === 405 ? ALLOW : ''}`, PROBLEM);
  return fields;
}
