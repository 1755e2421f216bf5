/** transform: bodies, statuses and headers that expressions make of what passes through. */
import { AnswerRefusal } from '../../exchange/answer-refusal.ts';
import type { AnswerBodyChange, WholeAnswer } from '../../exchange/bodies.ts';
import type { Exchange, Reply } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import type { PolicyCounter } from '../../exchange/policy-counters.ts';
import { type BodyLength, NO_BODY } from '../../exchange/streams.ts';
import { wholeRequest, wholeResponse } from '../../expressions/environments.ts';
import { AnswerVariables, ExchangeVariables } from '../../expressions/exchange-variables.ts';
import { compileExpression, type Expression } from '../../expressions/expression.ts';
import { ExpressionError } from '../../expressions/expression-error.ts';
import { headerValueOf } from '../../expressions/header-value.ts';
import { parseJson, writeJson } from '../../expressions/json.ts';
import type { Transform } from '../../snapshot/transform.ts';
import { expressionReply } from '../expression-reply.ts';
import { type Filter, FilterSlot, keepState, type Policy, type PolicyContext, Verdict } from '../policy.ts';
import { decodeBody, describeNewBody, MAX_BODY, MAX_MADE } from './content.ts';

export const transform: Policy<'transform'> = {
  name: 'transform',
  compile: (spec, context) => new TransformFilter(spec, context),
};

const REQUEST_NOT_JSON: Reply = { status: 400, reason: 'request_not_json', detail: 'The body of the request is not JSON.' };
const REQUEST_CODING: Reply = {
  status: 415,
  reason: 'unsupported_content_encoding',
  detail: 'The body of the request is encoded in a way that is not supported.',
};
const REQUEST_TOO_LARGE: Reply = { status: 413, reason: 'body_too_large', detail: 'The body of the request is too large.' };
const BAD_ANSWER = 'The service gave an answer that can not be used.';
const RESPONSE_NOT_JSON: Reply = { status: 502, reason: 'response_not_json', detail: BAD_ANSWER };
const RESPONSE_TOO_LARGE: Reply = { status: 502, reason: 'response_too_large', detail: BAD_ANSWER };

/** Statuses of answers without a body (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5). */
const BODILESS = new Set([204, 205, 304]);

/** Methods whose requests have a body by their nature (RFC 9110 section 9.3, RFC 5789). */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);

/** A body that an expression has asked for is no JSON. Never seen outside of this file. */
class NoJson extends ExpressionError {
  readonly reply: Reply;

  constructor(reply: Reply) {
    super('a body that is read is no JSON');
    this.reply = reply;
  }
}

/** Of a body that is not there. */
const NOTHING = (): unknown => null;

/** Reads a body as JSON once it is asked for. */
function reader(read: () => unknown): () => unknown {
  let value: unknown;
  return () => {
    value ??= read();
    return value;
  };
}

function parse(body: Buffer, fault: Reply): unknown {
  try {
    return parseJson(body);
  } catch {
    throw new NoJson(fault);
  }
}

interface Counters {
  readonly changed: PolicyCounter;
  readonly refused: PolicyCounter;
}

class TransformFilter implements Filter {
  readonly policy = 'transform';
  readonly maxRequestBody = MAX_BODY;
  readonly #spec: Transform;
  readonly #requestBody: Expression<unknown> | undefined;
  readonly #body: Expression<unknown> | undefined;
  readonly #status: Expression<number> | undefined;
  readonly #headers: readonly { readonly name: string; readonly value: Expression<string | null> }[];
  /** Whether the request's body has to be there, for whichever expression. */
  readonly #readsRequest: boolean;
  /** Whether answers have to be read to their end. */
  readonly #readsResponse: boolean;
  readonly #changesResponse: boolean;
  readonly #requests: Counters;
  readonly #responses: Counters;

  constructor(spec: Transform, context: PolicyContext) {
    this.#spec = spec;
    const counters = (part: 'request' | 'response'): Counters => ({
      changed: context.counter('tidegate_transforms_total', { part, result: 'changed' }),
      refused: context.counter('tidegate_transforms_total', { part, result: 'refused' }),
    });
    this.#requests = counters('request');
    this.#responses = counters('response');
    const { request, response } = spec;
    this.#requestBody = request && compileExpression(request.body, wholeRequest, 'json');
    this.#body = response?.body === undefined ? undefined : compileExpression(response.body, wholeResponse, 'json');
    this.#status = response?.status === undefined ? undefined : compileExpression(response.status, wholeResponse, 'int');
    this.#headers = (response?.headers ?? []).map(({ name, expression }) => ({ name, value: compileExpression(expression, wholeResponse, 'textOrNull') }));
    const onAnswers = [this.#body, this.#status, ...this.#headers.map(({ value }) => value)].filter((expression) => expression !== undefined);
    this.#readsRequest = onAnswers.some(({ uses }) => uses.fields.has('request.body'));
    this.#readsResponse = this.#body !== undefined || this.#status !== undefined || onAnswers.some(({ uses }) => uses.fields.has('response.body'));
    this.#changesResponse = onAnswers.length > 0;
  }

  describe(): string {
    const { request, response } = this.#spec;
    const parts = [
      ...(request === undefined ? [] : [`request body: ${request.body}`]),
      ...(response?.body === undefined ? [] : [`response body: ${response.body}`]),
      ...(response?.status === undefined ? [] : [`response status: ${response.status}`]),
      ...(response?.headers ?? []).map(({ name, expression }) => `response ${name}: ${expression}`),
    ];
    return parts.join('; ');
  }

  onRequest(exchange: Exchange): Verdict {
    if (exchange.isGrpc || exchange.upgrade !== '') return Verdict.Continue;
    if (this.#readsResponse) {
      // A part of a body makes no sense as JSON.
      exchange.requestFields.remove('range');
      exchange.requestFields.remove('if-range');
    }
    return this.#readsRequest || this.#requestBody !== undefined ? Verdict.NeedsBody : Verdict.Continue;
  }

  onRequestBody(exchange: Exchange, body: Buffer): Verdict {
    const decoded = decodeBody(body, exchange.requestFields);
    if (typeof decoded === 'string') {
      exchange.reply = decoded === 'unknown' ? REQUEST_CODING : decoded === 'too_large' ? REQUEST_TOO_LARGE : REQUEST_NOT_JSON;
      this.#requests.refused.value++;
      return Verdict.Answered;
    }
    const read = reader(() => parse(decoded, REQUEST_NOT_JSON));
    try {
      if (this.#readsRequest) this.#keepForAnswer(exchange, decoded.length === 0 ? NOTHING : read);
      if (this.#requestBody === undefined || (body.length === 0 && !WITH_BODY.has(exchange.method))) return Verdict.Continue;
      exchange.requestBody = Buffer.from(writeJson(this.#requestBody.evaluate(new ExchangeVariables(exchange, read)), MAX_MADE), 'utf8');
    } catch (error) {
      exchange.reply = replyTo(error);
      this.#requests.refused.value++;
      return Verdict.Answered;
    }
    this.#requests.changed.value++;
    describeNewBody(exchange.requestFields);
    return Verdict.Continue;
  }

  /** What an expression on the answer will need is found to be no JSON now, and not once the backend has done its work. */
  #keepForAnswer(exchange: Exchange, read: () => unknown): void {
    read();
    keepState(exchange, FilterSlot.transform, read);
  }

  onResponseBody(exchange: Exchange, status: number, fields: Fields, length: BodyLength): AnswerBodyChange | undefined {
    if (!this.#changesResponse || exchange.reply !== undefined || exchange.isGrpc) return undefined;
    // A stream of events has no end that one could wait for.
    if (fields.get('content-type')?.toLowerCase().startsWith('text/event-stream') === true) return undefined;
    if (this.#readsResponse && length !== NO_BODY)
      return { maxBytes: MAX_BODY, change: (answer) => this.#change(exchange, answer), tooLarge: RESPONSE_TOO_LARGE };
    try {
      this.#setHeaders(fields, this.#headerValues(this.#variables(exchange, status, fields, NOTHING), false));
      this.#responses.changed.value++;
    } catch (error) {
      this.#responses.refused.value++;
      throw new AnswerRefusal(replyTo(error));
    }
    if (exchange.method === 'HEAD' && this.#body !== undefined) {
      describeNewBody(fields);
      fields.remove('content-length');
    }
    return undefined;
  }

  /**
   * What is to stand in the headers, in their order; undefined where a header is made of a body that is not there.
   * @throws ExpressionError
   */
  #headerValues(variables: AnswerVariables, hasBody: boolean): (string | null | undefined)[] {
    return this.#headers.map(({ value }) => {
      if (!hasBody && value.uses.fields.has('response.body')) return undefined;
      const text = value.evaluate(variables);
      return text === null ? null : headerValueOf(text);
    });
  }

  #setHeaders(fields: Fields, values: readonly (string | null | undefined)[]): void {
    for (const [index, { name }] of this.#headers.entries()) {
      const value = values[index];
      if (value === null) fields.remove(name);
      else if (value !== undefined) fields.set(name, value);
    }
  }

  #variables(exchange: Exchange, status: number, fields: Fields, read: () => unknown): AnswerVariables {
    const readRequest = exchange.filterState?.[FilterSlot.transform] as (() => unknown) | undefined;
    return new AnswerVariables(exchange, status, fields, readRequest ?? NOTHING, read);
  }

  #change(exchange: Exchange, answer: WholeAnswer): Reply | undefined {
    const { status, fields, body: whole } = answer;
    const read = reader(() => {
      const decoded = decodeBody(whole, fields);
      if (typeof decoded !== 'string') return parse(decoded, RESPONSE_NOT_JSON);
      throw new NoJson(decoded === 'too_large' ? RESPONSE_TOO_LARGE : RESPONSE_NOT_JSON);
    });
    try {
      // All of them see the answer as the backend gave it, so nothing is changed before the last one has its value.
      const variables = this.#variables(exchange, status, fields, read);
      const body = this.#body && Buffer.from(writeJson(this.#body.evaluate(variables), MAX_MADE), 'utf8');
      const headers = this.#headerValues(variables, true);
      answer.status = this.#status === undefined ? status : checkedStatus(this.#status.evaluate(variables));
      if (body !== undefined) {
        describeNewBody(fields);
        answer.body = body;
      }
      this.#setHeaders(fields, headers);
      if (BODILESS.has(answer.status)) {
        answer.body = Buffer.alloc(0);
        fields.remove('content-type');
      }
      this.#responses.changed.value++;
      return undefined;
    } catch (error) {
      this.#responses.refused.value++;
      return replyTo(error);
    }
  }
}

function checkedStatus(status: number): number {
  if (status < 200 || status > 599) throw new ExpressionError('the expression gave a status that is not from 200 to 599');
  return status;
}

function replyTo(error: unknown): Reply {
  return error instanceof NoJson ? error.reply : expressionReply(error);
}
