import { performance } from 'node:perf_hooks';
import { type CallAnswer, type CallOutcome, contextFields, type RunningCall } from '../../exchange/calls.ts';
import type { Exchange, Reply } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import { ExchangeVariables } from '../../expressions/exchange-variables.ts';
import type { Expression } from '../../expressions/expression.ts';
import { ExpressionError } from '../../expressions/expression-error.ts';
import { writeJson } from '../../expressions/json.ts';
import type { CallResultName, PolicyContext } from '../policy.ts';
import type { CompiledAggregate, CompiledCall, CompiledHeader } from './compiled.ts';
import { CallResult, failedResult, readBody, SKIPPED } from './results.ts';

/** Bytes of bodies: of each call's request and answer, and of the answer as a whole. */
export const MAX_CALL_BODY = 1024 * 1024;
const MAX_ANSWER = 8 * 1024 * 1024;
const NO_BYTES = Buffer.alloc(0);

const callFailed: Reply = { status: 502, reason: 'call_failed', detail: 'A backend that is needed for this answer has failed.' };
const callTimeout: Reply = { status: 504, reason: 'call_timeout', detail: 'A backend that is needed for this answer did not answer in time.' };
const UNSAFE_HEADER: Reply = { status: 503, reason: 'unsafe_header_value', detail: 'The gateway can not make this answer.' };
const BODILESS = new Set([204, 205, 304]);

/** Ends the whole of it with an answer of the gateway's. */
class Refusal extends Error {
  readonly reply: Reply;

  constructor(reply: Reply) {
    super(reply.reason);
    this.reply = reply;
  }
}

/** One aggregate of one exchange, from its first call to its answer. */
export class AggregateRun {
  readonly #exchange: Exchange;
  readonly #compiled: CompiledAggregate;
  readonly #count: PolicyContext['countCall'];
  readonly #startedAt = performance.now();
  /** `request` and `identity`, and results by name as they come. */
  readonly #variables: ExchangeVariables & Record<string, unknown>;
  readonly #running: (RunningCall | undefined)[];
  /** Of each call, those that it still waits for. */
  readonly #needs: number[];
  #left: number;
  #anyFailed = false;
  /** Some call's answer says itself whether, or for how long, it may be kept. */
  #callsSay = false;
  #timeIsUp = false;
  #timer: NodeJS.Timeout | undefined = undefined;
  /** The filter has returned, so that it takes `resume` to go on. */
  #isWaiting = false;
  #isOver = false;

  /** @param body the request's, as expressions see it */
  constructor(exchange: Exchange, compiled: CompiledAggregate, body: unknown, count: PolicyContext['countCall']) {
    this.#exchange = exchange;
    this.#compiled = compiled;
    this.#count = count;
    this.#variables = new ExchangeVariables(exchange, () => body) as ExchangeVariables & Record<string, unknown>;
    this.#running = compiled.calls.map(() => undefined);
    this.#needs = compiled.calls.map(({ needs }) => needs);
    this.#left = compiled.calls.length;
  }

  /**
   * Begins what waits for nothing.
   * @param timeout ms for all calls; undefined: no bound but theirs
   * @returns whether it is over already, with `exchange.reply` set
   */
  start(timeout: number | undefined): boolean {
    this.#guarded(() => {
      for (const [index, { needs }] of this.#compiled.calls.entries()) if (needs === 0 && !this.#isOver) this.#begin(index);
    });
    if (this.#isOver) return true;
    this.#isWaiting = true;
    this.#exchange.onAbandoned = () => this.#close();
    if (timeout !== undefined) {
      this.#timer = setTimeout(() => {
        try {
          this.#guarded(() => this.#onTimeUp());
        } catch (error) {
          this.#exchange.fail(error);
        }
      }, timeout);
    }
    return false;
  }

  #begin(index: number): void {
    const call = this.#compiled.calls[index] as CompiledCall;
    if (call.when?.evaluate(this.#variables) === false) {
      this.#settle(index, SKIPPED, 'skipped');
      return;
    }
    if (this.#timeIsUp) {
      this.#fail(index, 'timeout', undefined, 0);
      return;
    }
    const { path, query } = this.#targetOf(call);
    const fields = contextFields(this.#exchange);
    const body = call.body === undefined ? NO_BYTES : Buffer.from(writeJson(call.body.evaluate(this.#variables), MAX_CALL_BODY));
    if (body.length > MAX_CALL_BODY) throw new ExpressionError('the body of a call is too long', 'expression_too_costly');
    if (body.length > 0) fields.append('Content-Type', 'application/json');
    this.#setHeaders(fields, call.headers);
    const request = { name: call.name, method: call.method, path, query, fields, body, maxAnswerBytes: MAX_CALL_BODY, decode: true };
    this.#running[index] = call.caller.call(this.#exchange, request, (outcome) => this.#guarded(() => this.#onOutcome(index, outcome)));
  }

  #targetOf(call: CompiledCall): { readonly path: string; readonly query: string } {
    try {
      return call.target.evaluate(this.#variables);
    } catch (error) {
      if (!(error instanceof ExpressionError) || error.reason !== 'unsafe_path') throw error;
      // Where all of it is the client's, so is the fault.
      const status = [...call.target.uses.fields].every((field) => field.startsWith('request.')) ? 400 : 502;
      throw new Refusal({ status, reason: error.reason, detail: 'A value of this request can not be a part of a path.' });
    }
  }

  #setHeaders(fields: Fields, headers: readonly CompiledHeader[]): void {
    for (const { name, value } of headers) {
      const text = value.evaluate(this.#variables);
      fields.remove(name);
      if (text === '') continue;
      if (!isSafe(text)) throw new Refusal(UNSAFE_HEADER);
      fields.append(name, text);
    }
  }

  #onOutcome(index: number, outcome: CallOutcome): void {
    this.#running[index] = undefined;
    const { durationMs } = outcome;
    if (outcome.failure !== undefined) {
      this.#fail(index, outcome.failure.status === 504 ? 'timeout' : 'failed', undefined, durationMs);
      return;
    }
    if (outcome.status >= 500) {
      this.#fail(index, 'failed', outcome, durationMs);
      return;
    }
    let body: unknown = null;
    try {
      if (this.#compiled.calls[index]?.bodyIsRead === true) body = readBody(outcome);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.#fail(index, 'failed', outcome, durationMs);
      return;
    }
    if (this.#compiled.vary !== undefined && saysOfStoring(outcome.fields)) this.#callsSay = true;
    this.#settle(index, new CallResult(outcome.status, outcome.fields, body, false, durationMs), 'ok');
  }

  #fail(index: number, result: 'failed' | 'timeout', answer: CallAnswer | undefined, durationMs: number): void {
    const { onError } = this.#compiled.calls[index] as CompiledCall;
    this.#anyFailed = true;
    if (onError === undefined) {
      this.#countResult(index, result);
      throw new Refusal(result === 'timeout' ? callTimeout : callFailed);
    }
    this.#settle(index, failedResult(answer, durationMs, onError.evaluate(this.#variables)), result);
  }

  #countResult(index: number, result: CallResultName): void {
    this.#count(this.#exchange.routeId, (this.#compiled.calls[index] as CompiledCall).name, result);
  }

  #settle(index: number, value: CallResult, result: CallResultName): void {
    const { name, dependents } = this.#compiled.calls[index] as CompiledCall;
    this.#countResult(index, result);
    // Never a setter, whatever the name.
    Object.defineProperty(this.#variables, name, { value, enumerable: true });
    this.#left--;
    for (const dependent of dependents) {
      this.#needs[dependent] = (this.#needs[dependent] as number) - 1;
      if (this.#needs[dependent] === 0 && !this.#isOver) this.#begin(dependent);
    }
    if (this.#left === 0 && !this.#isOver) this.#end(this.#answer());
  }

  /** What is under way has failed, and what was not begun fails when its turn comes. */
  #onTimeUp(): void {
    this.#timeIsUp = true;
    const elapsed = performance.now() - this.#startedAt;
    for (const [index, running] of this.#running.entries()) {
      if (running === undefined || this.#isOver) continue;
      this.#running[index] = undefined;
      running.abort();
      this.#fail(index, 'timeout', undefined, elapsed);
    }
  }

  #answer(): Reply {
    const { status: statusExpression, headers, body: bodyExpression } = this.#compiled;
    const variables = this.#variables;
    const status = statusExpression.evaluate(variables);
    if (status < 200 || status > 599) throw new ExpressionError('the status is none of a whole answer');
    const fields: [string, string][] = [];
    let contentType = 'application/json';
    for (const { name, value } of headers) {
      const text = value.evaluate(variables);
      if (text === '') continue;
      if (!isSafe(text)) throw new Refusal(UNSAFE_HEADER);
      if (name === 'content-type') contentType = text;
      else fields.push([name, text]);
    }
    const reply = { status, reason: this.#anyFailed ? 'aggregate_partial' : 'aggregate', fields, ...this.#cacheability(status, fields) };
    if (bodyExpression === undefined || BODILESS.has(status)) return reply;
    return { ...reply, contentType, body: jsonOf(bodyExpression, variables) };
  }

  /**
   * Whether the answer may be kept. A part of one never is. What calls say of their answers is not about this one: unless it has
   * a word of its own, it is not kept at all then.
   * @param fields of the answer; `Vary` is added
   */
  #cacheability(status: number, fields: [string, string][]): Pick<Reply, 'cacheable'> {
    const { vary } = this.#compiled;
    if (vary === undefined) return {};
    const speaks = fields.some(([name]) => name === 'cache-control' || name === 'expires');
    if (vary !== '') fields.push(['vary', vary]);
    return status === 200 && !this.#anyFailed && (speaks || !this.#callsSay) ? { cacheable: true } : {};
  }

  #end(reply: Reply): void {
    this.#isOver = true;
    this.#close();
    this.#exchange.reply = reply;
    if (this.#isWaiting) this.#exchange.resume();
  }

  #close(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    for (const [index, running] of this.#running.entries()) {
      this.#running[index] = undefined;
      running?.abort();
    }
  }

  /** Runs what may come to an end by an error that is not ours. */
  #guarded(work: () => void): void {
    if (this.#isOver) return;
    try {
      work();
    } catch (error) {
      if (error instanceof Refusal) this.#end(error.reply);
      else if (error instanceof ExpressionError) this.#end(failureOf(error));
      else throw error;
    }
  }
}

function jsonOf(expression: Expression<unknown>, variables: Readonly<Record<string, unknown>>): Buffer {
  const body = Buffer.from(writeJson(expression.evaluate(variables), MAX_ANSWER));
  if (body.length > MAX_ANSWER) throw new ExpressionError('the answer is too long', 'expression_too_costly');
  return body;
}

/** Beyond its bounds it is the answers of backends that are too much (api.md, "aggregate"); else the gateway fails. */
function failureOf({ reason }: ExpressionError): Reply {
  return { status: reason === 'expression_too_costly' ? 502 : 503, reason, detail: 'The gateway can not make this answer.' };
}

/** Fields by which a backend says whether, and for how long, its answer may be kept. */
function saysOfStoring(fields: Fields): boolean {
  return fields.has('cache-control') || fields.has('expires') || fields.has('set-cookie');
}

/** One line of bytes, without control characters. */
function isSafe(text: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
}
