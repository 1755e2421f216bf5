/** Results of calls, as expressions see them. */
import type { CallAnswer } from '../../exchange/calls.ts';
import { Fields } from '../../exchange/fields.ts';
import { type RecordType, withCalls } from '../../expressions/environments.ts';
import { HeaderMap } from '../../expressions/exchange-variables.ts';
import { parseJson } from '../../expressions/json.ts';
import { ExpressionRecord, type LazyMap } from '../../expressions/values.ts';

const CALL = withCalls(['call']).variables.get('call') as RecordType;
const NO_FIELDS = new Fields();

/** `status`, `headers`, `body`, `failed` and `durationMs` of one call. */
export class CallResult extends ExpressionRecord {
  readonly type = CALL;
  readonly status: bigint;
  readonly body: unknown;
  readonly failed: boolean;
  readonly durationMs: bigint;
  readonly #fields: Fields;

  constructor(status: number, fields: Fields, body: unknown, failed: boolean, durationMs: number) {
    super();
    this.status = BigInt(status);
    this.#fields = fields;
    this.body = body;
    this.failed = failed;
    this.durationMs = BigInt(Math.round(durationMs));
  }

  get headers(): LazyMap {
    return new HeaderMap(this.#fields);
  }
}

/** Of a call that was not made. */
export const SKIPPED = new CallResult(0, NO_FIELDS, null, false, 0);

/** Of one that has failed, with what stands for its body. @param answer of 500 and up, or one that can't be read; undefined: none */
export function failedResult(answer: CallAnswer | undefined, durationMs: number, body: unknown): CallResult {
  return new CallResult(answer?.status ?? 0, answer?.fields ?? NO_FIELDS, body, true, durationMs);
}

/**
 * The body of an answer: null where there is none, JSON as what it says, text as a text.
 * @throws SyntaxError where it is neither
 */
export function readBody({ body, fields }: CallAnswer): unknown {
  if (body.length === 0) return null;
  const type = fields.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? 'application/json';
  if (type === 'application/json' || type.endsWith('+json')) return parseJson(body);
  if (type.startsWith('text/')) return body.toString('utf8');
  throw new SyntaxError(`the answer is ${type}`);
}
