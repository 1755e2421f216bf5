/**
 * What an evaluation may cost. The library that parses has no bound, and CEL without one is no protection: nested macros over a
 * body of a client take time in powers of its length.
 *
 * A unit is about what one node of an expression costs, some 40 ns. Nodes that run once are not counted: their number is bounded
 * when the expression is compiled. Counted is what depends on values: each round of a macro with the nodes of its body, and the
 * lengths of texts and lists that are read or made. Whatever is made is paid before it is made, so the budget bounds memory, too.
 */
import { ExpressionError } from './expression-error.ts';

/** The longest text that an expression makes, in UTF-16 units. */
const MAX_TEXT = 8 * 1024 * 1024;
/** Characters that are read or copied in the time of one unit. */
const CHARACTERS = 32;

/** One evaluation. */
export class Frame<Variables = unknown> {
  readonly variables: Variables;
  /** Variables of macros, by the place that the compiler gave them. */
  readonly slots: unknown[];
  #left: number;

  /** @param slots filled by macros; shared by expressions without any */
  constructor(variables: Variables, budget: number, slots: unknown[] = []) {
    this.variables = variables;
    this.#left = budget;
    this.slots = slots;
  }

  /** @throws ExpressionError when the budget is used up, from then on with each call */
  charge(units: number): void {
    this.#left -= units;
    if (this.#left < 0) throw new ExpressionError('the expression costs more than it may', 'expression_too_costly');
  }

  /** For text that is read. @param length UTF-16 units */
  chargeText(length: number): void {
    if (length >= CHARACTERS) this.charge(length / CHARACTERS);
  }

  /** For a search that may compare every character of what is looked for at every place. */
  chargeSearch(length: number, wanted: number): void {
    this.charge((length * (2 + wanted)) / 64);
  }

  /** For text that is about to be made. @param length UTF-16 units */
  chargeNewText(length: number): void {
    if (length > MAX_TEXT) throw new ExpressionError('the expression makes a text that is too long', 'expression_too_costly');
    if (length >= CHARACTERS) this.charge(length / CHARACTERS);
  }
}
