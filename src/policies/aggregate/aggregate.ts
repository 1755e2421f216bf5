import type { Exchange, Reply } from '../../exchange/exchange.ts';
import { parseJson } from '../../expressions/json.ts';
import type { Aggregate } from '../../snapshot/aggregate.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from '../policy.ts';
import { type CompiledAggregate, compileAggregate } from './compiled.ts';
import { AggregateRun, MAX_CALL_BODY } from './run.ts';

/** Answers from calls of its own to several backends, by expressions. */
export const aggregate: Policy<'aggregate'> = {
  name: 'aggregate',
  compile: (spec, context) => new AggregateFilter(spec, context),
};

const notJson: Reply = { status: 400, reason: 'request_not_json', detail: 'The body of the request is not JSON.' };
const badSegment: Reply = { status: 400, reason: 'malformed_path_segment', detail: 'A segment of the path is not UTF-8.' };

class AggregateFilter implements Filter {
  readonly policy = 'aggregate';
  readonly maxRequestBody = MAX_CALL_BODY;
  readonly #spec: Aggregate;
  readonly #compiled: CompiledAggregate;
  readonly #countCall: PolicyContext['countCall'];

  constructor(spec: Aggregate, context: PolicyContext) {
    this.#spec = spec;
    this.#compiled = compileAggregate(spec, context.calls);
    this.#countCall = context.countCall;
  }

  describe(): string {
    const calls = this.#spec.calls.map(({ name, method, target }) => {
      const after = this.#compiled.calls.filter(({ dependents }) => dependents.some((index) => this.#compiled.calls[index]?.name === name));
      const waits = after.length === 0 ? '' : ` after ${after.map((other) => other.name).join(' and ')}`;
      return `${name} (${method} to ${target.upstream ?? 'nowhere'}${waits})`;
    });
    return `answer from ${calls.length === 1 ? 'a call' : `${calls.length} calls`}: ${calls.join(', ')}`;
  }

  onRequest(exchange: Exchange): Verdict {
    try {
      for (const name of this.#compiled.segments) exchange.pathSegment(name);
    } catch (error) {
      if (!(error instanceof URIError)) throw error;
      exchange.reply = badSegment;
      return Verdict.Answered;
    }
    return this.#compiled.requestBodyIsRead ? Verdict.NeedsBody : this.#run(exchange, null);
  }

  onRequestBody(exchange: Exchange, body: Buffer): Verdict {
    let parsed: unknown = null;
    try {
      if (body.length > 0) parsed = parseJson(body);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      exchange.reply = notJson;
      return Verdict.Answered;
    }
    return this.#run(exchange, parsed);
  }

  #run(exchange: Exchange, body: unknown): Verdict {
    const run = new AggregateRun(exchange, this.#compiled, body, this.#countCall);
    return run.start(this.#spec.timeout) ? Verdict.Answered : Verdict.Waiting;
  }
}
