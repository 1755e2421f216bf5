/** Statuses of gRPC: what HTTP calls them, and their JSON. */
import { type FileRegistry, fromBinary, type JsonValue, toJson } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import { GRPC_STATUSES } from '../snapshot/grpc-status.ts';

/** Statuses of gRPC as those of HTTP (google/rpc/code.proto), by code. */
const HTTP: readonly number[] = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

/** @param code of grpc-status; one that nobody knows counts as UNKNOWN */
export function httpStatus(code: number): number {
  return HTTP[code] ?? 500;
}

/** The code that an answer of HTTP alone stands for (gRPC, "HTTP to gRPC Status Code Mapping"). */
export function grpcCode(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** What gRPC calls a code, as `NOT_FOUND`; one that nobody knows counts as UNKNOWN. */
export function codeName(code: number): string {
  return code === 0 ? 'OK' : (GRPC_STATUSES[code - 1] ?? 'unknown').replaceAll('-', '_').toUpperCase();
}

/**
 * A failure as JSON: google.rpc.Status.
 * @param details grpc-status-details-bin, decoded: a google.rpc.Status of its own, of which the details are taken where it has the same code
 */
export function statusJson(code: number, message: string, details: Uint8Array | undefined, registry: FileRegistry): string {
  const found = details === undefined ? [] : detailsOf(details, code);
  return JSON.stringify({ code, message, ...(found.length === 0 ? {} : { details: found.map((one) => detailJson(one, registry)) }) });
}

/** Numbers of its fields (google/rpc/status.proto). */
const CODE = 1;
const DETAILS = 3;

/** @returns none where they can't be read, or belong to another status */
function detailsOf(bytes: Uint8Array, code: number): Any[] {
  const details: Any[] = [];
  let own = 0;
  try {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (field === CODE && type === WireType.Varint) own = reader.int32();
      else if (field === DETAILS && type === WireType.LengthDelimited) details.push(fromBinary(AnySchema, reader.bytes()));
      else reader.skip(type, field);
    }
  } catch {
    return [];
  }
  return own === code ? details : [];
}

/** One whose type the descriptor set lacks keeps its bytes, so that nothing is lost. */
function detailJson(detail: Any, registry: FileRegistry): JsonValue {
  try {
    return toJson(AnySchema, detail, { registry });
  } catch {
    return { '@type': detail.typeUrl, value: Buffer.from(detail.value).toString('base64') };
  }
}
