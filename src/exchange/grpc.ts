/**
 * What the gateway has to know of gRPC: which requests are such, how long their caller waits, and how an error is told to
 * it (gRPC over HTTP/2, "Requests" and "Responses"; gRPC-Web is in proxy/grpc-web.ts).
 */
import { FieldKind, maskOf } from './field-names.ts';
import type { Fields } from './fields.ts';

const CONTENT_TYPE = maskOf(FieldKind.ContentType);

/** How a request's body is framed; `Text` is gRPC-Web in base64. */
export const GrpcKind = { None: 0, Grpc: 1, Web: 2, WebText: 3 } as const;
export type GrpcKind = (typeof GrpcKind)[keyof typeof GrpcKind];

const MEDIA_TYPES: readonly (readonly [type: string, kind: GrpcKind])[] = [
  ['application/grpc-web-text', GrpcKind.WebText],
  ['application/grpc-web', GrpcKind.Web],
  ['application/grpc', GrpcKind.Grpc],
];

/** By its method, which is always POST, and its Content-Type. */
export function grpcKind(method: string, fields: Fields): GrpcKind {
  if (method !== 'POST' || !fields.mayHave(CONTENT_TYPE)) return GrpcKind.None;
  return kindOfMediaType(fields.get('content-type') ?? '');
}

/** `application/grpc`, with `+proto` or another encoding of messages, with parameters; upper or lower case. */
export function kindOfMediaType(contentType: string): GrpcKind {
  for (const [type, kind] of MEDIA_TYPES) {
    if (contentType.length < type.length || contentType.slice(0, type.length).toLowerCase() !== type) continue;
    if (contentType.length === type.length || '+; \t'.includes(contentType.charAt(type.length))) return kind;
  }
  return GrpcKind.None;
}

/** The status for an answer of the gateway's own (google.rpc.Code); what has none of its own is UNKNOWN. */
export function grpcStatus(httpStatus: number): number {
  return STATUSES[httpStatus] ?? (httpStatus < 400 ? 2 : httpStatus < 500 ? 3 : 13);
}

const STATUSES: Readonly<Record<number, number>> = {
  400: 3, // INVALID_ARGUMENT
  401: 16, // UNAUTHENTICATED
  403: 7, // PERMISSION_DENIED
  404: 12, // UNIMPLEMENTED
  405: 12,
  408: 4, // DEADLINE_EXCEEDED
  413: 8, // RESOURCE_EXHAUSTED
  421: 14,
  429: 8,
  431: 8,
  500: 13, // INTERNAL
  501: 12,
  502: 14, // UNAVAILABLE
  503: 14,
  504: 4,
};

/** grpc-message: percent-encoded, but for printable ASCII other than the percent sign. */
export function grpcMessage(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    encoded += byte >= 0x20 && byte <= 0x7e && byte !== 0x25 ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/** Milliseconds in a unit of grpc-timeout. */
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 };

/** How long the caller waits, in milliseconds; undefined where it does not say so, or not in the form that gRPC has. */
export function grpcTimeout(fields: Fields): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(fields.get('grpc-timeout') ?? '');
  return match === null ? undefined : Number(match[1]) * (UNITS[match[2] as string] as number);
}
