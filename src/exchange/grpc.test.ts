import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fields } from './fields.ts';
import { GrpcKind, grpcKind, grpcMessage, grpcStatus, grpcTimeout } from './grpc.ts';

const kinds: readonly (readonly [method: string, contentType: string, kind: GrpcKind])[] = [
  ['POST', 'application/grpc', GrpcKind.Grpc],
  ['POST', 'application/grpc+proto', GrpcKind.Grpc],
  ['POST', 'Application/GRPC; charset=utf-8', GrpcKind.Grpc],
  ['POST', 'application/grpc-web', GrpcKind.Web],
  ['POST', 'application/grpc-web+proto', GrpcKind.Web],
  ['POST', 'application/grpc-web-text', GrpcKind.WebText],
  ['POST', 'application/grpc-web-text+proto', GrpcKind.WebText],
  ['POST', 'application/grpc-website', GrpcKind.None],
  ['POST', 'application/grpcfoo', GrpcKind.None],
  ['POST', 'application/json', GrpcKind.None],
  ['GET', 'application/grpc', GrpcKind.None],
];

for (const [method, contentType, kind] of kinds) {
  test(`${method} with ${contentType} is of kind ${kind}`, () => assert.equal(grpcKind(method, Fields.of([['Content-Type', contentType]])), kind));
}

test('a request without a Content-Type is no gRPC', () => assert.equal(grpcKind('POST', new Fields()), GrpcKind.None));

test('statuses of the gateway as gRPC has them', () => {
  const expected = { 400: 3, 401: 16, 403: 7, 404: 12, 413: 8, 429: 8, 500: 13, 502: 14, 503: 14, 504: 4 };
  for (const [status, code] of Object.entries(expected)) assert.equal(grpcStatus(Number(status)), code, status);
  assert.equal(grpcStatus(418), 3);
  assert.equal(grpcStatus(507), 13);
});

test('a message is percent-encoded where it has to be', () => {
  assert.equal(grpcMessage('No route takes this request.'), 'No route takes this request.');
  assert.equal(grpcMessage('100 %\r\ngrün'), '100 %25%0D%0Agr%C3%BCn');
});

const timeouts: readonly (readonly [value: string, milliseconds: number | undefined])[] = [
  ['1H', 3_600_000],
  ['2M', 120_000],
  ['3S', 3000],
  ['250m', 250],
  ['1500u', 1.5],
  ['2000000n', 2],
  ['99999999m', 99_999_999],
  ['0m', 0],
  ['100000000m', undefined],
  ['5', undefined],
  ['-5S', undefined],
  ['5s', undefined],
  ['1.5S', undefined],
  ['', undefined],
];

for (const [value, milliseconds] of timeouts) {
  test(`grpc-timeout ${JSON.stringify(value)}`, () => {
    const actual = grpcTimeout(Fields.of([['grpc-timeout', value]]));
    if (milliseconds === undefined) assert.equal(actual, undefined);
    else assert.ok(actual !== undefined && Math.abs(actual - milliseconds) < 1e-6, String(actual));
  });
}
