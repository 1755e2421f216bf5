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
