import type { Exchange, Reply } from '../../exchange/exchange.ts';
import { isEmptyBody } from '../../exchange/streams.ts';
import type { Coding, Decompression } from '../../snapshot/body-filters.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from '../policy.ts';
import { DecodingStage, hasRoom } from './decoding-stage.ts';

/** Decodes the bodies of requests, for backends that take none that are compressed, and for filters that look into them. */
export const decompression: Policy<'decompression'> = {
  name: 'decompression',
  compile: (spec, context) => new DecompressionFilter(spec, context),
};

const BUSY: Reply = {
  status: 503,
  reason: 'decompression_busy',
  detail: 'The gateway has as many bodies to decode as it may have.',
  fields: [['Retry-After', '1']],
};

class DecompressionFilter implements Filter {
  readonly policy = 'decompression';
  readonly #spec: Decompression;
  /** RFC 9110 section 15.5.16: the answer says what would have been taken. */
  readonly #unsupported: Reply;
  readonly #count: (result: string) => void;

  constructor(spec: Decompression, context: PolicyContext) {
    this.#spec = spec;
    this.#unsupported = {
      status: 415,
      reason: 'unsupported_content_encoding',
      detail: 'The body has an encoding that is not taken here.',
      fields: [['Accept-Encoding', spec.algorithms.join(', ')]],
    };
    this.#count = (result) => {
      context.counter('tidegate_decompression_requests_total', { result: result === '' ? 'decoded' : result }).value++;
    };
  }

  describe(): string {
    const { algorithms, maxBytes, maxRatio } = this.#spec;
    return `${algorithms.join(', ')} of requests, up to ${maxBytes} bytes and ${maxRatio} times their length`;
  }

  onRequest(exchange: Exchange): Verdict {
    const values = exchange.requestFields.getAll('content-encoding');
    if (values.length === 0) return Verdict.Continue;
    // Several of them are stacked, which is how bombs get past a ratio.
    const name = values.join(',').trim().toLowerCase();
    if (name === 'identity' || name === '') return Verdict.Continue;
    const coding = name === 'x-gzip' ? 'gzip' : name;
    if (!(this.#spec.algorithms as readonly string[]).includes(coding)) return this.#refuse(exchange, this.#unsupported);
    if (!isEmptyBody(exchange.stream.requestBody)) {
      if (!hasRoom()) return this.#refuse(exchange, BUSY);
      exchange.requestStage = { stage: (sink) => new DecodingStage(sink, coding as Coding, this.#spec, this.#count) };
    }
    exchange.requestFields.remove('content-encoding');
    return Verdict.Continue;
  }

  #refuse(exchange: Exchange, reply: Reply): Verdict {
    this.#count(reply.reason);
    exchange.reply = reply;
    return Verdict.Answered;
  }
}
