/** Lines of a watch: one JSON document each. */
import { ConnectionError } from './errors.ts';

/** etcd takes objects of 1.5 MiB; as JSON, with every byte escaped, they stay far below this. */
export const MAX_LINE = 16 * 1024 * 1024;

const NEWLINE = 0x0a;

/**
 * @param chunks bytes, cut anywhere
 * @param maxLine in bytes
 * @returns the documents; bytes after the last line's end are dropped, for a connection that was cut leaves half a document
 * @throws ConnectionError Malformed: a line that is too long or no JSON
 */
export async function* jsonLines(chunks: AsyncIterable<Uint8Array>, maxLine: number = MAX_LINE): AsyncGenerator<unknown, void, undefined> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      checkLength(held + end - start, maxLine);
      const line = Buffer.concat([...parts, chunk.subarray(start, end)]).toString('utf8');
      parts = [];
      held = 0;
      start = end + 1;
      if (line.trim() !== '') yield parse(line);
    }
    if (start === chunk.length) continue;
    parts.push(chunk.subarray(start));
    held += chunk.length - start;
    checkLength(held, maxLine);
  }
}

function checkLength(length: number, maxLine: number): void {
  if (length > maxLine) throw new ConnectionError('Malformed', `a line of the watch is longer than ${maxLine} bytes`);
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new ConnectionError('Malformed', 'a line of the watch is no JSON');
  }
}
