/** Whole numbers in JSON that a double can't hold: as texts they go through JSON.parse as they were written. */

/** Only then can a number be whole and beyond 2^53, where a double is not exact any more. */
const MANY_DIGITS = /[0-9]{16}/;
const LONG = 16;
const WHOLE_NUMBER = /^-?[1-9][0-9]*$/;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Puts quotes round whole numbers beyond 2^53. A reviver would do, at thirty times the cost.
 * @param text may be no JSON; then the result is none either, but for a number in the place of a name
 * @param mark stands in the quotes before the digits; without quotes and backslashes
 * @returns undefined where there is no such number
 */
export function quoteLongNumbers(text: string, mark: string): string | undefined {
  if (!MANY_DIGITS.test(text)) return undefined;
  let quoted: string | undefined;
  let copied = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
    } else if (isInNumber(code)) {
      const start = at;
      while (at + 1 < text.length && isInNumber(text.charCodeAt(at + 1))) at++;
      const number = at + 1 - start < LONG ? '' : text.slice(start, at + 1);
      if (number === '' || !WHOLE_NUMBER.test(number) || Number.isSafeInteger(Number(number))) continue;
      quoted = `${quoted ?? ''}${text.slice(copied, start)}"${mark}${number}"`;
      copied = at + 1;
    }
  }
  return quoted === undefined ? undefined : quoted + text.slice(copied);
}

/** @returns the place of the quote that ends the string which begins at `start`; the text's end where there is none */
export function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    at += code === BACKSLASH ? 2 : 1;
  }
  return text.length;
}

/** Digits, `+`, `-`, `.`, `e` and `E`. */
function isInNumber(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || code === 0x2b || code === 0x2d || code === 0x2e || code === 0x65 || code === 0x45;
}
