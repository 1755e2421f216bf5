/** Regular expressions of users in expressions: RE2, whose time is linear in its input, bounded in size, and paid for. */
import { RE2JS } from 're2js';
import type { Frame } from './budget.ts';
import { ExpressionError } from './expression-error.ts';
import { patternSizeFlaw } from './pattern-size.ts';

/** Characters of a pattern, as elsewhere in the API. */
export const MAX_PATTERN_LENGTH = 1024;

/** Characters times instructions that RE2JS goes through in the time of one unit, at its worst. */
const STEPS = 16;

/** A pattern that is good, and refused for its size. */
export class PatternTooBig extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

export class Pattern {
  readonly #pattern: RE2JS;
  readonly #instructions: number;

  /** @throws Error with what is wrong with the pattern */
  constructor(source: string) {
    if (source.length > MAX_PATTERN_LENGTH) throw new Error(`the regular expression is longer than ${MAX_PATTERN_LENGTH} characters`);
    const tooBig = patternSizeFlaw(source);
    if (tooBig !== undefined) throw new PatternTooBig(tooBig.message, tooBig.hint);
    this.#pattern = RE2JS.compile(source);
    this.#instructions = this.#pattern.programSize();
  }

  /** One that is made while an expression runs. */
  static compile(frame: Frame, source: string): Pattern {
    frame.charge(1000 + source.length * (40 + 20 * (repeats(source) - 1)));
    try {
      return new Pattern(source);
    } catch {
      throw new ExpressionError('a text that is used as a regular expression is none');
    }
  }

  /** Whether some part of the text matches. */
  matches(frame: Frame, text: string): boolean {
    this.#charge(frame, text);
    return this.#pattern.test(text);
  }

  /** The first part that matches; the empty text when there is none. */
  find(frame: Frame, text: string): string {
    this.#charge(frame, text);
    const matcher = this.#pattern.matcher(text);
    return matcher.find() ? (matcher.group() ?? '') : '';
  }

  findAll(frame: Frame, text: string): string[] {
    this.#charge(frame, text);
    const matcher = this.#pattern.matcher(text);
    const found: string[] = [];
    while (matcher.find()) {
      // Each search may look at the rest of the text, and come to nothing much.
      this.#charge(frame, text);
      found.push(matcher.group() ?? '');
    }
    return found;
  }

  #charge(frame: Frame, text: string): void {
    frame.charge(1 + (text.length * this.#instructions) / STEPS);
  }
}

/** How often a part of a pattern is written out at most, by counts such as {2,30}; RE2 takes no more than 1000, nested ones together. */
function repeats(source: string): number {
  let most = 1;
  for (const [, least, upper] of source.matchAll(/\{([0-9]+)(?:,([0-9]*))?\}/g)) most = Math.min(1000, most * Math.max(1, Number(upper || least)));
  return most;
}
