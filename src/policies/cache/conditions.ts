/** Conditional requests and ranges (RFC 9110 sections 13 and 14), answered from a whole answer that is at hand. Pure. */
import { parseHttpDate } from './directives.ts';

/** Reads fields by lower-case name. */
interface Reads {
  get(name: string): string | undefined;
  getAll(name: string): string[];
}

/**
 * Whether the client has what it asks for (RFC 9110 sections 13.1.2, 13.1.3 and 13.2.2).
 * @param receivedAt wall clock, for an answer without a Date
 */
export function isNotModified(request: Reads, answer: Reads, receivedAt: number): boolean {
  const tags = request.getAll('if-none-match');
  if (tags.length > 0) {
    const list = tags.join(',').trim();
    if (list === '*') return true;
    const own = answer.get('etag');
    return own !== undefined && entityTags(list).some((tag) => opaque(tag) === opaque(own));
  }
  const since = request.getAll('if-modified-since');
  if (since.length !== 1) return false;
  const asked = parseHttpDate(since[0] as string);
  if (asked === undefined) return false;
  // RFC 9111 section 4.3.2 says what stands in for it.
  const modified = parseHttpDate(answer.get('last-modified') ?? '') ?? parseHttpDate(answer.get('date') ?? '') ?? receivedAt;
  return modified <= asked;
}

function entityTags(list: string): readonly string[] {
  return list.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? [];
}

/** For the weak comparison (RFC 9110 section 8.8.3.2). */
export function opaque(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}

/** A part of a body, as `Content-Range` has it; both ends belong to it. */
export interface Part {
  readonly first: number;
  readonly last: number;
}

/**
 * What a Range asks of a body.
 * @returns undefined: the whole is to be sent, as where there is no Range, one that can't be read, several (which a server may
 *   pass over, RFC 9110 section 14.2), or an If-Range that does not fit; `unsatisfiable`: 416
 */
export function partOf(request: Reads, answer: Reads, length: number): Part | 'unsatisfiable' | undefined {
  const ranges = request.getAll('range');
  if (ranges.length !== 1) return undefined;
  const spec = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(ranges[0] as string);
  if (spec === null) return undefined;
  const [, from = '', to = ''] = spec;
  if (from === '' && to === '') return undefined;
  if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined;
  if (!ifRangeHolds(request, answer)) return undefined;
  if (from === '') {
    const suffix = Number(to);
    if (suffix === 0 || length === 0) return 'unsatisfiable';
    return { first: Math.max(0, length - suffix), last: length - 1 };
  }
  const first = Number(from);
  if (first >= length) return 'unsatisfiable';
  return { first, last: to === '' ? length - 1 : Math.min(Number(to), length - 1) };
}

/** RFC 9110 section 13.1.5: the strong comparison, or a date that is the very same and strong enough. */
function ifRangeHolds(request: Reads, answer: Reads): boolean {
  const conditions = request.getAll('if-range');
  if (conditions.length === 0) return true;
  if (conditions.length > 1) return false;
  const condition = conditions[0] as string;
  if (condition.includes('"')) return !condition.startsWith('W/') && condition === answer.get('etag');
  const asked = parseHttpDate(condition);
  const modified = parseHttpDate(answer.get('last-modified') ?? '');
  const date = parseHttpDate(answer.get('date') ?? '');
  // A date is a strong validator when the answer is at least a second younger (RFC 9110 section 8.8.2.2).
  return asked !== undefined && asked === modified && date !== undefined && date - modified >= 1000;
}
