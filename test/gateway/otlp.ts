/** Reads the protobuf of an ExportTraceServiceRequest (opentelemetry-proto), by field number. */

export interface SentSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client';
  readonly durationMs: number;
  readonly attributes: Record<string, string | number | undefined>;
  readonly isError: boolean;
}

type Value = bigint | Buffer;

function read(bytes: Buffer): { readonly number: number; readonly value: Value }[] {
  const fields: { number: number; value: Value }[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] as number;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >> 3;
    switch (tag & 7) {
      case 0:
        fields.push({ number, value: varint() });
        break;
      case 1:
        fields.push({ number, value: bytes.readBigUInt64LE(at) });
        at += 8;
        break;
      case 2: {
        const length = Number(varint());
        fields.push({ number, value: bytes.subarray(at, at + length) });
        at += length;
        break;
      }
      default:
        fields.push({ number, value: BigInt(bytes.readUInt32LE(at)) });
        at += 4;
    }
  }
  return fields;
}

function all(bytes: Buffer, number: number): Buffer[] {
  return read(bytes).flatMap((field) => (field.number === number ? [field.value as Buffer] : []));
}

function one(bytes: Buffer, number: number): Value | undefined {
  return read(bytes).find((field) => field.number === number)?.value;
}

export function readSpans(message: Buffer): SentSpan[] {
  return all(message, 1)
    .flatMap((resource) => all(resource, 2))
    .flatMap((scope) => all(scope, 2))
    .map(readSpan);
}

function readSpan(bytes: Buffer): SentSpan {
  const hex = (number: number): string => (one(bytes, number) as Buffer | undefined)?.toString('hex') ?? '';
  const attributes = all(bytes, 9).map((pair) => [String(one(pair, 1)), readValue(one(pair, 2) as Buffer)] as const);
  const status = one(bytes, 15) as Buffer | undefined;
  return {
    traceId: hex(1),
    spanId: hex(2),
    parentSpanId: hex(4),
    name: String(one(bytes, 5)),
    kind: (['', 'internal', 'server', 'client'] as const)[Number(one(bytes, 6))] as SentSpan['kind'],
    durationMs: Number((one(bytes, 8) as bigint) - (one(bytes, 7) as bigint)) / 1e6,
    attributes: Object.fromEntries(attributes),
    isError: status !== undefined && one(status, 3) === 2n,
  };
}

function readValue(bytes: Buffer): string | number {
  const [field] = read(bytes);
  return field?.number === 1 ? String(field.value) : Number(field?.value);
}
