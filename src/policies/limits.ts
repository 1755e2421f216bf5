import type { CollectedBody } from '../exchange/bodies.ts';
import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { BodyLimits } from '../snapshot/filters.ts';
import { CutStage } from './cut-stage.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from './policy.ts';

/**
 * How much a request may hold. A body whose length is known is refused before any of it is read; any other one is cut off
 * by the engine where it passes the bound. A header section larger than the listener takes never gets here. Answers of backends
 * are bounded likewise: 502 where the length is known, else they are cut.
 */
export const limits: Policy<'limits'> = {
  name: 'limits',
  compile: (spec, context) => new LimitsFilter(spec, context),
};

const BODY_TOO_LARGE: Reply = { status: 413, reason: 'body_too_large', detail: 'The body is too large.' };
const HEAD_TOO_LARGE: Reply = { status: 431, reason: 'head_too_large', detail: 'The header section is too large.' };

const ANSWER_TOO_LARGE: Reply = { status: 502, reason: 'response_too_large', detail: 'The backend sent an answer that is too large.' };
/** Of one that says how long it is nothing is read. */
const ANSWER_REFUSED: CollectedBody = { maxBytes: 0, change: () => ANSWER_TOO_LARGE, tooLarge: ANSWER_TOO_LARGE };

class LimitsFilter implements Filter {
  readonly policy = 'limits';
  readonly #maxBody: number;
  readonly #maxHead: number;
  readonly #maxResponse: number | undefined;
  /** Absent without a bound for it: answers of other routes go their way untouched. */
  readonly onResponseBody?: NonNullable<Filter['onResponseBody']>;

  constructor(spec: BodyLimits, context: PolicyContext) {
    this.#maxBody = spec.maxRequestBodyBytes ?? Number.POSITIVE_INFINITY;
    this.#maxHead = spec.maxRequestHeaderBytes ?? Number.POSITIVE_INFINITY;
    const max = spec.maxResponseBodyBytes;
    this.#maxResponse = max;
    if (max === undefined) return;
    const count = context.counter('tidegate_responses_cut_total', {});
    this.onResponseBody = (exchange, _status, _fields, length) => {
      // The gateway's own are as long as they are meant to be.
      if (exchange.reply !== undefined) return undefined;
      if (length < 0) return { stage: (sink) => new CutStage(sink, max, ANSWER_TOO_LARGE, count) };
      if (length <= max) return undefined;
      count.value++;
      return ANSWER_REFUSED;
    };
  }

  describe(): string {
    const parts: string[] = [];
    if (Number.isFinite(this.#maxHead)) parts.push(`header section up to ${this.#maxHead} bytes`);
    if (Number.isFinite(this.#maxBody)) parts.push(`body up to ${this.#maxBody} bytes`);
    if (this.#maxResponse !== undefined) parts.push(`answers up to ${this.#maxResponse} bytes`);
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
