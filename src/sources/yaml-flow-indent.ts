/**
 * Within brackets, braces and quotes Go's parser, and so kubectl, does not look at indentation, while YAML 1.2 wants lines there
 * to be deeper than the key before them. White space at the start of such a line means nothing, so there can be more of it.
 */
import type { YAMLException } from 'js-yaml';

/** Deeper than most keys stand; where it is not enough, the same place is met again. */
const INDENTATION = ' '.repeat(64);

/** What ends a document even within brackets (YAML 1.2.2, rule c-forbidden). */
const MARK = /^(?:---|\.\.\.)(?:[ \t\r\n]|$)/;

/**
 * @param error what js-yaml said of the text
 * @returns the same text, in the same lines, without the shallow line or the tab that the error is about; undefined when it is about
 *   something else
 */
export function deepenFlowLine(text: string, { reason, mark }: YAMLException): string | undefined {
  if (reason !== 'deficient indentation' || mark === undefined) return undefined;
  const { position } = mark;
  const lineStart = position - mark.column;
  const before = text.slice(lineStart, position);
  // Nothing but white space before it: whatever is open was opened on an earlier line.
  if (/^[ \t]*$/.test(before)) {
    if (lineStart === position && MARK.test(text.slice(position, position + 4))) return undefined;
    return text.slice(0, lineStart) + INDENTATION + text.slice(lineStart);
  }
  // A tab between tokens, which js-yaml takes for indentation.
  const gap = /\t[ \t]*[[{]?[ \t]*$/.exec(before);
  if (gap === null) return undefined;
  const at = lineStart + gap.index;
  return text.slice(0, at) + text.slice(at, position).replaceAll('\t', ' ') + text.slice(position);
}
