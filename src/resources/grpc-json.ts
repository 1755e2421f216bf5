/** The filter `grpcJson`: JSON requests onto unary methods of gRPC. */
import { z } from 'zod';
import { dnsSubdomain, duration, headerNameFlaw, quote, text } from './fields.ts';
import { retrySchema, serviceRef } from './recovery.ts';
import { strictObject } from './strict-object.ts';

const SERVICE = /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/;

const serviceName = text(
  (value) =>
    SERVICE.test(value) ? undefined : { message: `${quote(value)} is no name of a gRPC service`, hint: 'write it with its package, as shop.v1.Orders' },
  { pattern: SERVICE, minLength: 1, maxLength: 253 },
);

/** What means something to gRPC, to the framing of a message or to its connection, or is the gateway's own. */
const NO_METADATA =
  /^(grpc-.*|content-.*|te|trailer|transfer-encoding|connection|keep-alive|proxy-.*|upgrade|host|expect|accept-encoding|date|x-request-id|traceparent|tracestate)$/i;

const metadataName = text(
  (value) =>
    headerNameFlaw(value) ??
    (NO_METADATA.test(value) ? { message: `${quote(value)} is no metadata that can be passed on`, hint: 'write a header of your own' } : undefined),
  { minLength: 1, maxLength: 256 },
).transform((value) => value.toLowerCase());

const metadataNames = (told: string) => z.array(metadataName).max(64).default([]).describe(told).meta({ 'x-kubernetes-list-type': 'atomic' });

export const grpcJsonSchema = strictObject({
  backendRef: serviceRef.describe(
    'The Service that speaks gRPC. Its port needs appProtocol kubernetes.io/h2c or grpc, or a BackendPolicy with protocol H2C or HTTP2.',
  ),
  descriptorSetRef: strictObject({
    name: dnsSubdomain.describe('Name of a ConfigMap in the same namespace.'),
    key: z.string().min(1).max(253).describe('Its key in binaryData.'),
  }).describe(
    'A FileDescriptorSet with all that its files import, as protoc --include_imports --descriptor_set_out makes it. google/api/ and the well-known types of google/protobuf/ may be left out.',
  ),
  services: z
    .array(serviceName)
    .min(1)
    .max(32)
    .describe(
      'Full names of the services whose unary methods are called, by their google.api.http options; a method without one takes POST /PACKAGE.SERVICE/METHOD.',
    )
    .meta({ 'x-kubernetes-list-type': 'atomic' }),
  requestHeaders: metadataNames(
    'Headers of the request that go along as metadata of the same names, beside Authorization, the trace context and the request id. Those whose names end in -bin hold base64.',
  ),
  responseHeaders: metadataNames("Metadata of the method's answer, or of its trailers, that become headers of the same names. Absent: none."),
  timeout: duration({ positive: true }).exactOptional().describe("How long a call may take. Absent: the rule's timeouts.request."),
  retry: retrySchema.exactOptional(),
}).describe('Answers JSON requests by unary methods of gRPC.');

export type WrittenGrpcJson = z.output<typeof grpcJsonSchema>;
