import type { ActiveCheck } from '../../snapshot/upstream.ts';
import { requestOverHttp2 } from './http2-request.ts';
import { outcomeOf, type Probe } from './probe.ts';

const SERVING = 1;
/** HealthCheckResponse.ServingStatus. */
const STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/** Passes when grpc.health.v1.Health/Check says SERVING (the gRPC health checking protocol). */
export const grpcProbe: Probe<ActiveCheck & { readonly type: 'GRPC' }> = async (target, { service }, signal) => {
  const asked = {
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Check',
    'content-type': 'application/grpc',
    te: 'trailers',
  };
  try {
    const { headers, body, trailers } = await requestOverHttp2(target, asked, encodeRequest(service), signal);
    if (headers[':status'] !== 200) return { passed: false, outcome: String(headers[':status'] ?? 0) };
    // An answer without a message has its status in the headers (Trailers-Only).
    const status = trailers['grpc-status'] ?? headers['grpc-status'];
    if (status !== '0') return { passed: false, outcome: `grpc-status ${String(status ?? 'missing')}` };
    const serving = servingStatus(body);
    return { passed: serving === SERVING, outcome: serving === undefined ? 'no health answer' : (STATUSES[serving] ?? `status ${serving}`) };
  } catch (error) {
    return { passed: false, outcome: outcomeOf(error) };
  }
};

/** HealthCheckRequest `{ string service = 1; }` behind its length prefix. */
function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service, 'utf8');
  const length = name.length < 128 ? [name.length] : [(name.length & 127) | 128, name.length >> 7];
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...length]), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** @returns field 1 of a HealthCheckResponse; undefined when it is none, or compressed */
function servingStatus(frame: Buffer): number | undefined {
  if (frame.length < 5 || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - 5) return undefined;
  // A field of its default value is not written.
  if (frame.length === 5) return 0;
  return frame.length === 7 && frame[5] === 0x08 && (frame[6] as number) < 128 ? frame[6] : undefined;
}
