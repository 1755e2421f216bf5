/** Which of many regular expressions match the whole of a text, in one pass over it. */
import { RE2JS, RE2Set } from 're2js';

/** Up to so many, trying them one by one is faster: most fail at their first literal characters. */
const FEW = 4;
/**
 * Instructions that one set may hold, but for a single larger pattern: the first time that a character is met in a state,
 * every instruction of the state is looked at.
 */
const MAX_PROGRAM = 20_000;
/** Bytes that the automaton of one set may take; when it is full it starts anew. */
const MAX_AUTOMATON = 2 * 1024 * 1024;
const NONE: readonly number[] = [];

/** Appends the indexes of the patterns that match to `found`, or to a new array. */
type Matcher = (text: string, found: number[] | undefined) => number[] | undefined;

export class PatternSet {
  readonly #matchers: readonly Matcher[];

  private constructor(matchers: readonly Matcher[]) {
    this.#matchers = matchers;
  }

  /**
   * In steps: what takes longest is a whole set, tens of milliseconds.
   * @param patterns RE2 syntax, known to be good
   */
  static *build(patterns: readonly string[]): Generator<void, PatternSet> {
    const compiled: RE2JS[] = [];
    for (const pattern of patterns) {
      compiled.push(RE2JS.compile(pattern));
      yield;
    }
    const matchers: Matcher[] = [];
    let start = 0;
    let size = 0;
    for (const [index, pattern] of compiled.entries()) {
      const added = pattern.programSize();
      if (index > start && size + added > MAX_PROGRAM) {
        matchers.push(matcher(patterns, compiled, start, index));
        start = index;
        size = 0;
        yield;
      }
      size += added;
    }
    if (start < patterns.length) matchers.push(matcher(patterns, compiled, start, patterns.length));
    return new PatternSet(matchers);
  }

  /** How many passes a look-up takes. */
  get passes(): number {
    return this.#matchers.length;
  }

  /** @returns indexes into `patterns`, ascending */
  match(text: string): readonly number[] {
    let found: number[] | undefined;
    for (let index = 0; index < this.#matchers.length; index++) found = (this.#matchers[index] as Matcher)(text, found);
    return found ?? NONE;
  }
}

function matcher(patterns: readonly string[], compiled: readonly RE2JS[], start: number, end: number): Matcher {
  if (end - start <= FEW) {
    const few = compiled.slice(start, end);
    return (text, found) => {
      let list = found;
      for (let index = 0; index < few.length; index++) {
        if (!(few[index] as RE2JS).testExact(text)) continue;
        if (list === undefined) list = [start + index];
        else list.push(start + index);
      }
      return list;
    };
  }
  const set = new RE2Set(RE2Set.ANCHOR_BOTH, 0, MAX_AUTOMATON);
  for (let index = start; index < end; index++) set.add(patterns[index] as string);
  set.compile();
  return (text, found) => {
    const matched = set.match(text);
    if (start === 0) return matched;
    const list = found ?? [];
    for (let index = 0; index < matched.length; index++) list.push(start + (matched[index] as number));
    return list;
  };
}
