import type { StagedBody } from '../../exchange/bodies.ts';
import type { Exchange } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import { type BodyLength, NO_BODY } from '../../exchange/streams.ts';
import type { Coding, Compression } from '../../snapshot/body-filters.ts';
import type { Filter, Policy, PolicyContext } from '../policy.ts';
import { addVary } from '../vary.ts';
import { negotiate } from './accept-encoding.ts';
import { ContentTypes } from './content-types.ts';
import { type CompressionCounts, hasRoom, MAX_AT_ONCE, SmallEncoding, StreamEncoding } from './encoding-stage.ts';

/** Compresses answers for clients that ask for it. */
export const compression: Policy<'compression'> = {
  name: 'compression',
  compile: (spec, context) => new CompressionFilter(spec, context),
};

/** Values of Accept-Encoding whose choice is remembered; there are few of them, unless somebody makes them up. */
const MAX_REMEMBERED = 100;
/** Of the body before it was compressed (RFC 9530, RFC 3230, RFC 2616), or of parts of it that can't be had any more. */
const OF_OTHER_BYTES = ['accept-ranges', 'content-md5', 'digest', 'content-digest', 'repr-digest', 'content-length'];

class CompressionFilter implements Filter {
  readonly policy = 'compression';
  readonly #spec: Compression;
  readonly #types: ContentTypes;
  readonly #choices = new Map<string, Coding | undefined>();
  readonly #counts: ReadonlyMap<Coding, CompressionCounts>;
  readonly #refused: { value: number };

  constructor(spec: Compression, context: PolicyContext) {
    this.#spec = spec;
    this.#types = new ContentTypes(spec.contentTypes);
    this.#counts = new Map(spec.algorithms.map((coding) => [coding, countsOf(coding, context)]));
    this.#refused = context.counter('tidegate_compression_skipped_total', {});
  }

  describe(): string {
    const { algorithms, minBytes, contentTypes } = this.#spec;
    return `${algorithms.join(', ')} for ${contentTypes.length === 0 ? 'text, JSON, JavaScript, XML, SVG, event streams' : contentTypes.join(', ')} of ${minBytes} bytes and more`;
  }

  onResponseBody(exchange: Exchange, status: number, fields: Fields, length: BodyLength): StagedBody | undefined {
    if (status === 304) {
      this.#confirm(exchange, fields);
      return undefined;
    }
    if (!this.#mayCompress(exchange, status, fields, length)) return undefined;
    addVary(fields, 'Accept-Encoding');
    const encoded = fields.get('content-encoding');
    if (encoded !== undefined && encoded.trim().toLowerCase() !== 'identity') return undefined;
    const coding = this.#codingFor(exchange);
    if (coding === undefined) return undefined;
    const isSmall = length >= 0 && length <= MAX_AT_ONCE;
    if (!isSmall && !hasRoom()) {
      this.#refused.value++;
      return undefined;
    }
    for (const name of OF_OTHER_BYTES) fields.remove(name);
    fields.set('Content-Encoding', coding);
    weaken(fields);
    if (length === NO_BODY) return undefined;
    const counts = this.#counts.get(coding) as CompressionCounts;
    counts.answers.value++;
    if (isSmall) return { stage: (sink) => new SmallEncoding(sink, coding, counts) };
    const isEvents = /^\s*text\/event-stream\b/i.test(fields.get('content-type') ?? '');
    return { stage: (sink) => new StreamEncoding(sink, coding, isEvents, counts) };
  }

  /** Whether the answer is one of those that some client gets compressed. */
  #mayCompress(exchange: Exchange, status: number, fields: Fields, length: BodyLength): boolean {
    // A part of a body is that of the bytes which its range was counted in (RFC 9110 section 14.4).
    if (status === 204 || status === 205 || status === 206 || exchange.isGrpc) return false;
    const contentType = fields.get('content-type');
    if (contentType === undefined || !this.#types.has(contentType) || fields.get('content-range') !== undefined) return false;
    if (forbidsTransformation(fields)) return false;
    // HEAD is answered as GET would be.
    const bytes = length === NO_BODY ? Number(fields.get('content-length') ?? Number.NaN) : length;
    return !(bytes >= 0) || (bytes > 0 && bytes >= this.#spec.minBytes);
  }

  /** 304 has the fields of the answer that it confirms (RFC 9110 section 15.4.5), which may have been compressed. */
  #confirm(exchange: Exchange, fields: Fields): void {
    const contentType = fields.get('content-type');
    if ((contentType !== undefined && !this.#types.has(contentType)) || forbidsTransformation(fields)) return;
    addVary(fields, 'Accept-Encoding');
    if (fields.get('content-encoding') === undefined && this.#codingFor(exchange) !== undefined) weaken(fields);
  }

  #codingFor(exchange: Exchange): Coding | undefined {
    const values = exchange.requestFields.getAll('accept-encoding');
    if (values.length === 0) return undefined;
    const header = values.length === 1 ? (values[0] as string) : values.join(',');
    if (this.#choices.has(header)) return this.#choices.get(header);
    const coding = negotiate(header, this.#spec.algorithms);
    if (this.#choices.size >= MAX_REMEMBERED) this.#choices.clear();
    this.#choices.set(header, coding);
    return coding;
  }
}

function countsOf(coding: Coding, context: PolicyContext): CompressionCounts {
  return {
    answers: context.counter('tidegate_compression_responses_total', { coding }),
    bytesIn: context.counter('tidegate_compression_bytes_total', { coding, direction: 'in' }),
    bytesOut: context.counter('tidegate_compression_bytes_total', { coding, direction: 'out' }),
  };
}

/** RFC 9111 section 5.2.2.6. */
function forbidsTransformation(fields: Fields): boolean {
  return fields.getAll('cache-control').some((value) => /(?:^|,)\s*no-transform\s*(?:,|$)/i.test(value));
}

/** The bytes are others than those that a strong one was made for (RFC 9110 section 8.8.1). */
function weaken(fields: Fields): void {
  const tag = fields.get('etag')?.trim();
  if (tag?.startsWith('"')) fields.set('ETag', `W/${tag}`);
}
