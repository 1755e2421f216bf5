import type { Exchange } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import { requestHead, responseHead } from '../expressions/environments.ts';
import { AnswerVariables, ExchangeVariables } from '../expressions/exchange-variables.ts';
import { compileExpression, type Expression } from '../expressions/expression.ts';
import { headerValueOf } from '../expressions/header-value.ts';
import type { HeaderEdit, HeaderModifier } from '../snapshot/filters.ts';

/** Of a header whose value is an expression that gives null, nothing is set or added. */
type Value = string | null;

/**
 * A header modifier of Gateway API: what it removes goes first, then it sets, then it adds, so that a name may be removed
 * and added anew in one go. Names that frame a message or belong to the connection are refused with the manifest. Expressions
 * see the message as it was before all of it.
 */
export class HeaderEdits {
  readonly #message: 'request' | 'response';
  readonly #remove: readonly string[];
  readonly #set: readonly HeaderEdit[];
  readonly #add: readonly HeaderEdit[];
  /** Of what is set, then of what is added; undefined: the value stands in the manifest. */
  readonly #expressions: readonly (Expression<Value> | undefined)[] | undefined;

  /** @param message whose headers they are */
  constructor(message: 'request' | 'response', { remove, set, add }: HeaderModifier) {
    this.#message = message;
    this.#remove = remove;
    this.#set = set;
    this.#add = add;
    const environment = message === 'request' ? requestHead : responseHead;
    const expressions = [...set, ...add].map(({ expression }) =>
      expression === undefined ? undefined : compileExpression(expression, environment, 'textOrNull'),
    );
    this.#expressions = expressions.some((expression) => expression !== undefined) ? expressions : undefined;
  }

  /**
   * @param status of the answer whose headers they are
   * @throws ExpressionError; then nothing has changed
   */
  apply(fields: Fields, exchange: Exchange, status = 0): void {
    const values = this.#expressions === undefined ? undefined : this.#evaluate(this.#expressions, fields, exchange, status);
    for (let index = 0; index < this.#remove.length; index++) fields.remove(this.#remove[index] as string);
    for (let index = 0; index < this.#set.length; index++) {
      const { name, value } = this.#set[index] as HeaderEdit;
      const text = value ?? values?.[index] ?? null;
      if (text !== null) fields.set(name, text);
    }
    for (let index = 0; index < this.#add.length; index++) {
      const { name, value } = this.#add[index] as HeaderEdit;
      const text = value ?? values?.[this.#set.length + index] ?? null;
      if (text !== null) fields.append(name, text);
    }
  }

  #evaluate(expressions: readonly (Expression<Value> | undefined)[], fields: Fields, exchange: Exchange, status: number): Value[] {
    const variables = this.#message === 'request' ? new ExchangeVariables(exchange) : new AnswerVariables(exchange, status, fields);
    return expressions.map((expression) => {
      const value = expression?.evaluate(variables) ?? null;
      return value === null ? null : headerValueOf(value);
    });
  }

  /** For `explain`, as `request headers: remove x-c; set x-a; add x-b`: without values, which may be secrets, but with expressions. */
  describe(): string {
    const edited = ({ name, expression }: HeaderEdit) => (expression === undefined ? name : `${name} (${expression})`);
    const parts = [
      ['remove', this.#remove],
      ['set', this.#set.map(edited)],
      ['add', this.#add.map(edited)],
    ] as const;
    const edits = parts.filter(([, names]) => names.length > 0).map(([verb, names]) => `${verb} ${names.join(', ')}`);
    return `${this.#message} headers: ${edits.join('; ')}`;
  }
}
