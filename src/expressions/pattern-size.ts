/**
 * How big regular expressions are, told from their text before they are compiled. A few characters with counts in them make a program
 * of 100,000 instructions, which takes half a second to compile; thousands of those fit into one object.
 */

/** Parts that one pattern may have, counts written out: some 20 ms to compile. */
export const MAX_PATTERN_SIZE = 4000;
/** Parts of all patterns of one object together. */
export const MAX_PATTERNS_SIZE = 50_000;

/** A class of Unicode has hundreds of ranges, which are looked up once, however often it is repeated. */
const UNICODE_CLASS = 20;

/** What is left of `MAX_PATTERNS_SIZE`, while an object is read. */
let left = Number.POSITIVE_INFINITY;

/** Reads one object: its patterns share one allowance, and those beyond it are refused by `checkPatternSize`. */
export function withPatternAllowance<T>(read: () => T): T {
  left = MAX_PATTERNS_SIZE;
  try {
    return read();
  } finally {
    left = Number.POSITIVE_INFINITY;
  }
}

/**
 * Looks once more at what has been judged before: its patterns use up nothing again. Once some were refused all are, for those
 * may be among them.
 */
export function lookAgain<T>(look: () => T): T {
  const before = left;
  if (before >= 0) left = Number.POSITIVE_INFINITY;
  try {
    return look();
  } finally {
    left = before;
  }
}

/**
 * To be called before a pattern is compiled.
 * @returns what is wrong with its size; undefined where it may be compiled
 */
export function patternSizeFlaw(source: string): { readonly message: string; readonly hint: string } | undefined {
  const size = patternSize(source);
  if (size > MAX_PATTERN_SIZE) {
    return {
      message: `the regular expression has ${size} parts when its counts are written out`,
      hint: `keep it within ${MAX_PATTERN_SIZE}: write * or + in place of large counts such as {1,500}`,
    };
  }
  left -= size;
  if (left >= 0) return undefined;
  return {
    message: `the regular expressions of the object have more than ${MAX_PATTERNS_SIZE} parts together`,
    hint: 'use fewer or smaller ones, or PathPrefix and Exact where they serve',
  };
}

/**
 * @param source RE2 syntax, good or not
 * @returns characters, classes and operators, those in what is counted as often as the count says: an upper bound of the program's size, or near it
 */
export function patternSize(source: string): number {
  /** Sizes of the groups that are open, without their last part. */
  const outer: number[] = [];
  let sum = 0;
  /** The part that a count or a star after it is about. */
  let last = 0;
  let ranges = 0;
  const part = (size: number): void => {
    sum += last;
    last = size;
  };
  for (let index = 0; index < source.length; index++) {
    switch (source[index]) {
      case '\\':
        if (source[index + 1] === 'Q') {
          const end = endOfQuote(source, index);
          for (index += 2; index < end; index++) part(1);
          // The E behind it.
          index = end + 1;
          break;
        }
        if (/[pP]/.test(source[index + 1] ?? '')) ranges += UNICODE_CLASS;
        part(1);
        index = endOfEscape(source, index);
        break;
      case '[': {
        const end = endOfClass(source, index);
        ranges += UNICODE_CLASS * (source.slice(index, end).match(/\\[pP]/g)?.length ?? 0) + Math.floor((end - index) / 8);
        part(1);
        index = end;
        break;
      }
      case '(':
        part(0);
        outer.push(sum);
        sum = 0;
        break;
      case ')':
        last += sum + 2;
        sum = outer.pop() ?? 0;
        break;
      case '{': {
        const count = /^\{([0-9]+)(?:(,)([0-9]*))?\}/.exec(source.slice(index, index + 24));
        if (count === null) {
          part(1);
          break;
        }
        const [text, least = '', comma, most = ''] = count;
        // Each one that may be missing is a branch, too.
        const times = Math.max(1, Number(most === '' ? least : most));
        last = last * times + (comma === undefined ? 0 : times);
        index += text.length - 1;
        break;
      }
      case '*':
      case '+':
      case '?':
      case '|':
        last++;
        break;
      default:
        part(1);
    }
  }
  return outer.reduce((total, size) => total + size, sum + last + ranges);
}

/** @returns where the `\E` is that ends what stands as it is; the text's end where there is none */
function endOfQuote(source: string, start: number): number {
  const end = source.indexOf('\\E', start + 2);
  return end < 0 ? source.length : end;
}

/** @returns the last index of an escape, as `\d`, `\x{3042}` or `\p{Greek}`: what is in its braces is no count */
function endOfEscape(source: string, start: number): number {
  const end = /[pPx]/.test(source[start + 1] ?? '') && source[start + 2] === '{' ? source.indexOf('}', start) : -1;
  return end < 0 ? start + 1 : end;
}

/** @returns where its `]` is; the last index where there is none */
function endOfClass(source: string, start: number): number {
  let index = start + (source[start + 1] === '^' ? 2 : 1);
  // A ] that comes first is one of its characters.
  if (source[index] === ']') index++;
  for (; index < source.length; index++) {
    if (source[index] === '\\') index++;
    else if (source[index] === '[' && source[index + 1] === ':') index = Math.max(index, source.indexOf(':]', index) + 1);
    else if (source[index] === ']') return index;
  }
  return source.length - 1;
}
