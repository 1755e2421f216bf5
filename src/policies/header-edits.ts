import type { Exchange } from '../exchange/exchange.ts';
import { FAMILY_KINDS, FieldKind, kindOfName, maskOf } from '../exchange/field-names.ts';
import { Fields, type OtherNames, otherNames } from '../exchange/fields.ts';
import type { CountPolicy, PolicyCounter } from '../exchange/policy-counters.ts';
import { requestHead, responseHead } from '../expressions/environments.ts';
import { AnswerVariables, ExchangeVariables } from '../expressions/exchange-variables.ts';
import { compileExpression, type Expression } from '../expressions/expression.ts';
import { headerValueOf } from '../expressions/header-value.ts';
import type { HeaderEdit, HeaderModifier } from '../snapshot/filters.ts';

const OTHER = maskOf(FieldKind.Other);

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
  readonly #failed: PolicyCounter | undefined;
  /** Of what is set, then of what is added; undefined: the value stands in the manifest. */
  readonly #expressions: readonly (Expression<Value> | undefined)[] | undefined;
  /** Where all values stand in the manifest; made with the first message. */
  #constant: ConstantEdits | undefined = undefined;

  /** @param message whose headers they are @param counter of messages for which an expression failed; absent: none is edited */
  constructor(message: 'request' | 'response', { remove, set, add }: HeaderModifier, counter?: CountPolicy) {
    this.#message = message;
    this.#failed = counter?.('tidegate_filter_results_total', { filter: `${message}HeaderModifier`, result: 'failed' });
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
    if (this.#expressions === undefined) {
      this.#constant ??= new ConstantEdits(this.#remove, this.#set, this.#add);
      this.#constant.apply(fields);
      return;
    }
    const values = this.#evaluate(this.#expressions, fields, exchange, status);
    for (let index = 0; index < this.#remove.length; index++) fields.remove(this.#remove[index] as string);
    for (let index = 0; index < this.#set.length; index++) {
      const { name, value } = this.#set[index] as HeaderEdit;
      const text = value ?? values[index] ?? null;
      if (text !== null) fields.set(name, text);
    }
    for (let index = 0; index < this.#add.length; index++) {
      const { name, value } = this.#add[index] as HeaderEdit;
      const text = value ?? values[this.#set.length + index] ?? null;
      if (text !== null) fields.append(name, text);
    }
  }

  #evaluate(expressions: readonly (Expression<Value> | undefined)[], fields: Fields, exchange: Exchange, status: number): Value[] {
    const variables = this.#message === 'request' ? new ExchangeVariables(exchange) : new AnswerVariables(exchange, status, fields);
    try {
      return expressions.map((expression) => {
        const value = expression?.evaluate(variables) ?? null;
        return value === null ? null : headerValueOf(value);
      });
    } catch (error) {
      if (this.#failed !== undefined) this.#failed.value++;
      throw error;
    }
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

/** Edits that are the same for every message: what goes is known by kind and length of its name, and what comes is one text. */
class ConstantEdits {
  /** Of what goes; a bit for each kind. */
  readonly #kinds: number;
  readonly #others: OtherNames;
  /** Names that share their kind with others. */
  readonly #ofFamilies: readonly string[];
  readonly #lines: string;
  readonly #mask: number;

  /** @throws TypeError where one of them can't be written */
  constructor(remove: readonly string[], set: readonly HeaderEdit[], add: readonly HeaderEdit[]) {
    const gone = [...new Set([...remove, ...set.map(({ name }) => name)])];
    const kindIn = (mask: number) => (name: string) => (mask & maskOf(kindOfName(name))) !== 0;
    const alone = gone.filter((name) => !kindIn(OTHER | FAMILY_KINDS)(name));
    this.#kinds = maskOf(...alone.map(kindOfName));
    this.#others = otherNames(gone.filter(kindIn(OTHER)));
    this.#ofFamilies = gone.filter(kindIn(FAMILY_KINDS));
    const come = [...set, ...add];
    this.#lines = Fields.of(come.map(({ name, value }) => [name, value as string] as const)).serialize();
    this.#mask = maskOf(...come.map(({ name }) => kindOfName(name)));
  }

  apply(fields: Fields): void {
    fields.removeKinds(this.#kinds);
    if (this.#others.names.length > 0) fields.removeOthers(this.#others);
    for (let index = 0; index < this.#ofFamilies.length; index++) fields.remove(this.#ofFamilies[index] as string);
    if (this.#lines !== '') fields.appendLines(this.#lines, this.#mask);
  }
}
