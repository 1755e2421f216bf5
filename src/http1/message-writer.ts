/** What both sides write: status lines, dates, chunks. */
import { statusText } from '../exchange/problem.ts';
import { latin1 } from '../wire/latin1.ts';
import type { Connection } from '../wire/wire.ts';

const STATUS_LINES: readonly string[] = Array.from({ length: 600 }, (_, status) => `HTTP/1.1 ${status} ${statusText(status)}\r\n`);

/** @param status 100 to 599 */
export function statusLine(status: number): string {
  return STATUS_LINES[status] as string;
}

let date = '';
let dateUntil = Number.NEGATIVE_INFINITY;

/** The Date field (RFC 9110 section 6.6.1), made once a second. @param now a reading of `Deadlines.now`, which saves one of the clock */
export function dateLine(now: number): string {
  if (now >= dateUntil || now < dateUntil - 1000) {
    const time = Date.now();
    date = `Date: ${new Date(time).toUTCString()}\r\n`;
    dateUntil = now + 1000 - (time % 1000);
  }
  return date;
}

/** Up to here a chunk's size, bytes and CRLF go out as one text; above, a copy costs more than a second write. */
const TEXT_CHUNK = 8 * 1024;

/**
 * Writes bytes as one chunk (RFC 9112 section 7.1), with a head before it where that has not been written yet.
 * @param end more than `start`: an empty chunk would be the last
 * @returns as `Connection.write` does
 */
export function writeChunk(connection: Connection, head: string, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
  const length = end - start;
  const before = `${head}${length.toString(16)}\r\n`;
  if (length <= TEXT_CHUNK) return connection.writeLatin1(`${before}${latin1(bytes, start, end)}\r\n`);
  const taken = connection.writeHeadAndBytes(before, bytes, start, end, stable);
  return connection.writeLatin1('\r\n') && taken;
}
