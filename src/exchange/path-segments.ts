/** Paths of matches that name segments, as `/users/{id}`: what of a request's path stands where. */
import type { PathMatch } from '../snapshot/match.ts';

const SLASH = 0x2f;

/**
 * What stands where a match names a segment.
 * @param path normalised, and one that the match fits
 * @returns percent-decoded; undefined for a name that the match does not have
 * @throws URIError where it is no UTF-8
 */
export function pathSegment(path: string, match: PathMatch, name: string): string | undefined {
  const index = match.names === undefined || name === '' ? -1 : match.names.indexOf(name);
  if (index < 0) return undefined;
  const start = index === 0 ? 1 : endOfElements(path, index) + 1;
  return decodeURIComponent(path.slice(start, endOfElements(path, index + 1)));
}

/** Where the first `count` elements of a path end: at the slash behind them, or at the path's end. @param count 1 or more */
export function endOfElements(path: string, count: number): number {
  let end = 0;
  for (let left = count; left > 0; left--) {
    const next = path.indexOf('/', end + 1);
    if (next < 0) return path.length;
    end = next;
  }
  return end;
}

/** Whether a path fits a match that names segments: each takes one element that is not empty. The other elements are the same. */
export function fitsNamed(path: string, { type, value, names }: PathMatch): boolean {
  if (path.charCodeAt(0) !== SLASH || names === undefined) return false;
  const wanted = value.slice(1).split('/');
  const elements = path.slice(1).split('/');
  if (type === 'Exact' ? elements.length !== wanted.length : elements.length < wanted.length) return false;
  return wanted.every((element, index) => (names[index] === '' ? elements[index] === element : elements[index] !== ''));
}
