import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { BodyLimits } from '../snapshot/snapshot.ts';
import { type Filter, type Policy, Verdict } from './policy.ts';

/**
 * How much a request may hold. A body whose length is known is refused before any of it is read; any other one is cut off
 * by the engine where it passes the bound. A header section larger than the listener takes never gets here.
 */
export const limits: Policy<'limits'> = {
  name: 'limits',
  compile: (spec) => new LimitsFilter(spec),
};

const BODY_TOO_LARGE: Reply = { status: 413, reason: 'body_too_large', detail: 'The body is too large.' };
const HEAD_TOO_LARGE: Reply = { status: 431, reason: 'head_too_large', detail: 'The header section is too large.' };

class LimitsFilter implements Filter {
  readonly policy = 'limits';
  readonly #maxBody: number;
  readonly #maxHead: number;

  constructor(spec: BodyLimits) {
    this.#maxBody = spec.maxRequestBodyBytes ?? Number.POSITIVE_INFINITY;
    this.#maxHead = spec.maxRequestHeaderBytes ?? Number.POSITIVE_INFINITY;
  }

  describe(): string {
    const parts: string[] = [];
    if (Number.isFinite(this.#maxHead)) parts.push(`header section up to ${this.#maxHead} bytes`);
    if (Number.isFinite(this.#maxBody)) parts.push(`body up to ${this.#maxBody} bytes`);
    return parts.length === 0 ? 'no limits' : parts.join(', ');
  }

  onRequest(exchange: Exchange): Verdict {
    const { stream } = exchange;
    if (exchange.headBytes > this.#maxHead) {
      exchange.reply = HEAD_TOO_LARGE;
      return Verdict.Answered;
    }
    if (stream.requestBody > this.#maxBody) {
      exchange.reply = BODY_TOO_LARGE;
      return Verdict.Answered;
    }
    if (this.#maxBody !== Number.POSITIVE_INFINITY) stream.setBodyLimit(this.#maxBody);
    return Verdict.Continue;
  }
}
