/** The answers that the proxy gives by itself, as constants where nothing of the request goes into them. */
import type { Exchange, Reply } from '../exchange/exchange.ts';
import { Fields } from '../exchange/fields.ts';
import { grpcMessage, grpcStatus } from '../exchange/grpc.ts';
import { problemBody, statusText } from '../exchange/problem.ts';
import type { UpstreamFailure } from '../exchange/streams.ts';
import { NotHttp2Error } from '../http2/client-connection.ts';
import { NO_HOST } from '../policies/request-redirect.ts';
import { Refusal } from '../upstream/breaker/circuit-breaker.ts';
import { TlsError, type TlsFailure } from '../wire/tls-error.ts';
import type { TryFailure } from './retry.ts';

/** Whoever gets a 503 may try again soon: endpoints come and go within seconds. */
const RETRY_SOON = [['Retry-After', '1']] as const;

export const noRoute: Reply = { status: 404, reason: 'no_route', detail: 'No route takes this request.' };
export const noBackend: Reply = { status: 404, reason: 'no_backend', detail: 'The route has no backend for this request.' };
export const noEndpoint: Reply = {
  status: 503,
  reason: 'no_endpoint',
  detail: 'No backend is ready to take this request.',
  fields: RETRY_SOON,
  ofBackend: true,
};
export const noHealthyEndpoint: Reply = { ...noEndpoint, reason: 'no_healthy_endpoint' };
export const unresolvedBackend500: Reply = { status: 500, reason: 'backend_not_resolved', detail: 'The route refers to a backend that can not be used.' };
export const unresolvedBackend503: Reply = {
  status: 503,
  reason: 'backend_not_resolved',
  detail: 'The route refers to a backend that can not be used.',
  fields: RETRY_SOON,
};
export const internalError: Reply = { status: 500, reason: 'internal_error', detail: 'The gateway failed to handle this request.' };
export const bodyTooLarge: Reply = { status: 413, reason: 'body_too_large', detail: 'The body is too large.' };
export const slowRequest: Reply = { status: 408, reason: 'request_body_timeout', detail: 'The request did not arrive in time.' };

/** A success, but not that of a switch; see `Exchange.wouldOpenTunnel`. */
export const upgradeNotGranted: Reply = { status: 502, reason: 'upgrade_not_granted', detail: 'The backend did not switch to WebSocket.' };
export const noUpgradeHere: Reply = { status: 501, reason: 'no_upgrade_here', detail: 'There is no WebSocket at this place.' };

export const notBase64: Reply = { status: 400, reason: 'malformed_base64', detail: 'The body is not valid base64.' };

export const stopping: Reply = { status: 503, reason: 'drain_timeout', detail: 'The gateway stops before the request could be served.', fields: RETRY_SOON };

const badGateway: Readonly<Record<UpstreamFailure, Reply>> = {
  'connect-failure': { status: 502, reason: 'connect_failure', detail: 'The backend refused the connection.', ofBackend: true },
  reset: { status: 502, reason: 'upstream_reset', detail: 'The backend closed the connection before it answered.', ofBackend: true },
  malformed: { status: 502, reason: 'upstream_malformed', detail: 'The backend sent an answer that is not valid HTTP.', ofBackend: true },
};
/** Such as HTTP/1.1 on a port that is configured as H2C. */
const notHttp2: Reply = {
  status: 502,
  reason: 'upstream_not_http2',
  detail: 'The backend does not speak the protocol that it is configured for.',
  ofBackend: true,
};
const connectTimeout: Reply = { status: 504, reason: 'connect_timeout', detail: 'The backend did not accept the connection in time.', ofBackend: true };

/** The log says what exactly failed; the client learns nothing of the inside. */
function tlsFailure(failure: TlsFailure): Reply {
  return { status: 502, reason: `upstream_tls_${failure}`, detail: 'The backend could not be reached securely.', ofBackend: true };
}

/** What a try that failed so comes to, where nothing else is tried. */
export function tryFailure(failure: TryFailure, cause: Error | undefined): Reply {
  if (failure === 'timeout') return backendRequestTimeout;
  if (cause instanceof TlsError) return tlsFailure(cause.failure);
  if (failure === 'malformed' && cause instanceof NotHttp2Error) return notHttp2;
  if (failure === 'connect-failure' && (cause as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT') return connectTimeout;
  return badGateway[failure];
}

const circuitMaxRequests: Reply = {
  status: 503,
  reason: 'circuit_max_requests',
  detail: 'The backend has as many requests under way as it may have.',
  fields: RETRY_SOON,
  ofBackend: true,
};
const circuitMaxPending: Reply = {
  status: 503,
  reason: 'circuit_max_pending_requests',
  detail: 'As many requests wait for a connection to the backend as may.',
  fields: RETRY_SOON,
  ofBackend: true,
};

/** @param opensIn milliseconds until the breaker lets something through, where it is open */
export function circuitRefusal(refusal: Refusal, opensIn: number): Reply {
  if (refusal === Refusal.MaxRequests) return circuitMaxRequests;
  if (refusal === Refusal.MaxPending) return circuitMaxPending;
  return {
    status: 503,
    reason: 'circuit_open',
    detail: 'The backend has failed too often, and gets no requests for a while.',
    fields: [['Retry-After', String(Math.max(1, Math.ceil(opensIn / 1000)))]],
    ofBackend: true,
  };
}
const backendRequestTimeout: Reply = { ...gatewayTimeout('backend_request_timeout'), ofBackend: true };

/** @param reason which time-out it was, for the log */
export function gatewayTimeout(reason: string): Reply {
  return { status: 504, reason, detail: 'The backend did not answer in time.' };
}

/**
 * The fields and the body of a reply, a body of text as the string of its bytes.
 * @param grpc the request is one of gRPC: an error that has no body of its own goes with status 200, whatever `reply.status` is
 */
export function render(reply: Reply, requestId: string, grpc: boolean): { readonly status: number; readonly fields: Fields; readonly body: string | Buffer } {
  const fields = new Fields();
  if (grpc && reply.status >= 400 && reply.body === undefined) {
    fields.append('Content-Type', 'application/grpc');
    fields.append('grpc-status', String(grpcStatus(reply.status)));
    fields.append('grpc-message', grpcMessage(reply.detail ?? statusText(reply.status)));
    if (reply.fields !== undefined) for (const [name, value] of reply.fields) fields.append(name, value);
    return { status: 200, fields, body: '' };
  }
  let body = reply.body;
  if (body === undefined && reply.detail !== undefined) {
    body = problemBody(reply.status, reply.detail, requestId);
    fields.append('Content-Type', 'application/problem+json');
  } else if (body !== undefined && reply.contentType !== undefined) {
    fields.append('Content-Type', reply.contentType);
  }
  if (reply.fields !== undefined) for (const [name, value] of reply.fields) fields.append(name, value);
  return { status: reply.status, fields, body: typeof body === 'string' ? toLatin1(body) : (body ?? '') };
}

/** The same URL on HTTPS, on its default port: the port of the plain listener says nothing about the other one's. */
export function httpsRedirect(exchange: Exchange): Reply {
  if (exchange.authority === '') return NO_HOST;
  const name = exchange.authority.replace(/:\d*$/, '');
  return { status: 308, reason: 'https_redirect', fields: [['Location', `https://${name}${exchange.path}${exchange.query}`]] };
}

/** Text as the string of its UTF-8 bytes, which is what streams write. */
function toLatin1(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant.
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}
