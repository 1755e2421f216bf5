/** Which of many regular expressions match the whole of a text, in one pass over it. */
import { RE2JS, RE2Set } from 're2js';

/** Below this, trying them one by one is faster: most fail at their first literal characters. */
const FEW = 4;
/** Bytes that the automaton of one set may take; when it is full it starts anew, and never grows beyond. */
const MAX_AUTOMATON = 2 * 1024 * 1024;
const NONE: readonly number[] = [];

export class PatternSet {
  readonly #match: (text: string) => readonly number[];

  /** @param patterns RE2 syntax, known to be good */
  constructor(patterns: readonly string[]) {
    this.#match = compile(patterns, 0);
  }

  /** @returns indexes into `patterns`, ascending */
  match(text: string): readonly number[] {
    return this.#match(text);
  }
}

/** @param offset index of the first of `patterns` */
function compile(patterns: readonly string[], offset: number): (text: string) => readonly number[] {
  if (patterns.length <= FEW) {
    const compiled = patterns.map((pattern) => RE2JS.compile(pattern));
    return (text) => {
      let found: number[] | undefined;
      for (let index = 0; index < compiled.length; index++) {
        if (!(compiled[index] as RE2JS).testExact(text)) continue;
        if (found === undefined) found = [offset + index];
        else found.push(offset + index);
      }
      return found ?? NONE;
    };
  }
  const set = new RE2Set(RE2Set.ANCHOR_BOTH, 0, MAX_AUTOMATON);
  try {
    for (const pattern of patterns) set.add(pattern);
    set.compile();
  } catch {
    // Together they are larger than a set may be.
    const middle = patterns.length >>> 1;
    const first = compile(patterns.slice(0, middle), offset);
    const second = compile(patterns.slice(middle), offset + middle);
    return (text) => [...first(text), ...second(text)];
  }
  return (text) => {
    const found = set.match(text);
    return offset === 0 ? found : found.map((index) => offset + index);
  };
}
