/** The spans of an exchange: its own, and one for each try, whose parent it is. Names are those of OpenTelemetry's HTTP conventions. */
import type { Exchange } from '../exchange/exchange.ts';
import { FieldKind, maskOf } from '../exchange/field-names.ts';
import type { SpanContext } from '../exchange/trace-context.ts';
import { METHODS as COUNTED_METHODS } from '../telemetry/route-metrics.ts';
import type { Tracer } from '../telemetry/tracing/tracer.ts';
import type { EndpointState } from '../upstream/endpoint-state.ts';
import type { RoutedExchange } from './routed-exchange.ts';

const USER_AGENT = maskOf(FieldKind.UserAgent);
/** Others would make names of spans out of what clients send. */
const METHODS: ReadonlySet<string> = new Set([...COUNTED_METHODS, 'CONNECT', 'QUERY']);

/** @param endedAt a reading of performance.now() */
export function recordExchange(tracer: Tracer, life: RoutedExchange, span: SpanContext, endedAt: number): void {
  const { exchange, status, reason } = life;
  const { method, requestFields } = exchange;
  const path = exchange.matchedPath?.value;
  const isError = status >= 500;
  const userAgent = requestFields.mayHave(USER_AGENT) ? requestFields.get('user-agent') : undefined;
  tracer.end(span, {
    kind: 'server',
    name: path === undefined ? methodName(method) : `${methodName(method)} ${path}`,
    startedAt: exchange.startedAt,
    endedAt,
    attributes: {
      'http.request.method': methodName(method),
      'url.scheme': exchange.scheme,
      'url.path': exchange.path,
      'server.address': exchange.host,
      'client.address': exchange.clientAddress,
      'network.protocol.version': exchange.protocol.slice(exchange.protocol.indexOf('/') + 1),
      'http.response.status_code': status,
      'tidegate.request_id': exchange.requestId,
      ...(path === undefined ? {} : { 'http.route': path }),
      ...(exchange.routeId === '' ? {} : { 'tidegate.route': exchange.routeId }),
      ...(reason === '' ? {} : { 'tidegate.reason': reason }),
      ...(userAgent === undefined ? {} : { 'user_agent.original': userAgent }),
      ...(isError ? { 'error.type': reason === '' ? String(status) : reason } : {}),
    },
    isError,
  });
}

/** One try of an exchange at an endpoint. */
export interface TriedRequest {
  readonly exchange: Exchange;
  readonly upstream: string;
  readonly endpoint: EndpointState;
  /** Readings of performance.now(). */
  readonly startedAt: number;
  readonly endedAt: number;
  /** How many tries went before. */
  readonly resent: number;
  /** 0: there was no answer. */
  readonly status: number;
  /** Empty: none. */
  readonly failure: string;
}

export function recordTry(tracer: Tracer, span: SpanContext, tried: TriedRequest): void {
  const { exchange, upstream, endpoint, startedAt, endedAt, resent, status, failure } = tried;
  const method = methodName(exchange.method);
  const colon = endpoint.name.lastIndexOf(':');
  tracer.end(span, {
    kind: 'client',
    name: method,
    startedAt,
    endedAt,
    attributes: {
      'http.request.method': method,
      'server.address': endpoint.name.slice(0, colon),
      'server.port': Number(endpoint.name.slice(colon + 1)),
      'tidegate.upstream': upstream,
      ...(status === 0 ? {} : { 'http.response.status_code': status }),
      ...(resent === 0 ? {} : { 'http.request.resend_count': resent }),
      ...(failure === '' ? (status >= 400 ? { 'error.type': String(status) } : {}) : { 'error.type': failure }),
    },
    isError: failure !== '' || status >= 400,
  });
}

/** A call that the gateway makes of its own; its tries are below it. */
export interface MadeCall {
  readonly name: string;
  /** Readings of performance.now(). */
  readonly startedAt: number;
  readonly endedAt: number;
  /** 0: there was no answer. */
  readonly status: number;
  /** Empty: none. */
  readonly failure: string;
}

export function recordCall(tracer: Tracer, span: SpanContext, { name, startedAt, endedAt, status, failure }: MadeCall): void {
  tracer.end(span, {
    kind: 'internal',
    name: `call ${name}`,
    startedAt,
    endedAt,
    attributes: {
      'tidegate.call': name,
      ...(status === 0 ? {} : { 'http.response.status_code': status }),
      ...(failure === '' ? {} : { 'error.type': failure }),
    },
    isError: failure !== '',
  });
}

function methodName(method: string): string {
  return METHODS.has(method) ? method : '_OTHER';
}
