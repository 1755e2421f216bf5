/** The check as Envoy makes it: one unary call of gRPC (gRPC over HTTP/2, "Requests" and "Responses"). */
import type { CallAnswer, CallRequest } from '../../../exchange/calls.ts';
import type { Exchange } from '../../../exchange/exchange.ts';
import { Fields } from '../../../exchange/fields.ts';
import type { ExternalAuthorization } from '../../../snapshot/external-authorization.ts';
import { applyHeaders, type CheckOutcome, type CheckProtocol, MAX_ANSWER_BYTES } from './check.ts';
import { CHECK_PATH, checkRequest } from './check-request.ts';
import { CheckResponseError, type HeaderChange, readCheckResponse } from './check-response.ts';

/** Of a message: a byte that says whether it is compressed, four for its length. */
const PREFIX_BYTES = 5;
/** What a call carries of the exchange besides its message. */
const CONTEXT = ['traceparent', 'tracestate', 'x-request-id'] as const;

/**
 * What says something of the request, and nothing of the service: OK (whatever came with it), INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS,
 * PERMISSION_DENIED, RESOURCE_EXHAUSTED (429 in HTTP; libraries say so of headers and messages that are too long), FAILED_PRECONDITION,
 * OUT_OF_RANGE, UNAUTHENTICATED.
 */
const OF_REQUESTS: ReadonlySet<string> = new Set(['0', '3', '5', '6', '7', '8', '9', '11', '16']);

export class GrpcCheck implements CheckProtocol {
  readonly #spec: ExternalAuthorization;
  readonly #requestHeaders: ReadonlySet<string>;

  constructor(spec: ExternalAuthorization) {
    this.#spec = spec;
    this.#requestHeaders = new Set(spec.requestHeaders);
  }

  request(exchange: Exchange): CallRequest {
    const { authority, timeout } = this.#spec;
    const fields = new Fields();
    if (authority !== undefined) fields.append('Host', authority);
    fields.append('Content-Type', 'application/grpc');
    fields.append('grpc-timeout', `${Math.ceil(timeout)}m`);
    for (const name of CONTEXT) for (const value of exchange.requestFields.getAll(name)) fields.append(name, value);
    const message = checkRequest(exchange, this.#headers(exchange), Date.now());
    const body = Buffer.alloc(PREFIX_BYTES + message.length);
    body.writeUInt32BE(message.length, 1);
    message.copy(body, PREFIX_BYTES);
    return { name: 'externalAuthorization', method: 'POST', path: CHECK_PATH, query: '', fields, body, maxAnswerBytes: MAX_ANSWER_BYTES, decode: false };
  }

  read(answer: CallAnswer): CheckOutcome | undefined {
    const { body } = answer;
    if (answer.status !== 200 || statusOf(answer) !== '0') return undefined;
    // One message, not compressed: nobody asked for that.
    if (body.length < PREFIX_BYTES || body[0] !== 0 || body.readUInt32BE(1) !== body.length - PREFIX_BYTES) return undefined;
    try {
      const response = readCheckResponse(body.subarray(PREFIX_BYTES));
      if (!response.allowed) {
        return { allowed: false, status: response.status, fields: written(response.headers), body: Buffer.from(response.body, 'utf8') };
      }
      const { headers, headersToRemove, responseHeaders, queryToSet, queryToRemove } = response;
      const changes = { request: headers, requestRemovals: headersToRemove, response: responseHeaders, query: queryToSet, queryRemovals: queryToRemove };
      return { allowed: true, changes };
    } catch (error) {
      if (error instanceof CheckResponseError) return undefined;
      throw error;
    }
  }

  isTrouble(answer: CallAnswer): boolean {
    if (answer.status !== 200) return answer.status >= 500;
    const code = statusOf(answer);
    return code === undefined || !OF_REQUESTS.has(code);
  }

  /** By lower-case name; those of one name are joined (RFC 9110 section 5.3, of cookies RFC 9113 section 8.2.3). */
  #headers({ requestFields }: Exchange): Map<string, string> {
    const headers = new Map<string, string>();
    requestFields.forEach((name, value) => {
      const lower = name.toLowerCase();
      // It is there as `:authority`, as at Envoy.
      if (lower === 'host') return;
      if (this.#requestHeaders.size > 0 && !this.#requestHeaders.has(lower)) return;
      const before = headers.get(lower);
      const separator = lower === 'cookie' ? '; ' : ',';
      headers.set(lower, before === undefined ? value : `${before}${separator}${value}`);
    });
    return headers;
  }
}

/** An answer without a body has its status among the fields ("Trailers-Only"). */
function statusOf({ fields, trailers }: CallAnswer): string | undefined {
  return trailers?.get('grpc-status') ?? fields.get('grpc-status');
}

/** As the fields of an answer that has none before. */
function written(changes: readonly HeaderChange[]): (readonly [string, string])[] {
  const fields = new Fields();
  applyHeaders(fields, changes);
  const pairs: (readonly [string, string])[] = [];
  fields.forEach((name, value) => {
    pairs.push([name, value]);
  });
  return pairs;
}
