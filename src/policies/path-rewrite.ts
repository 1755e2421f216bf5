import { RE2JS } from 're2js';
import type { Exchange } from '../exchange/exchange.ts';
import { normalizePath } from '../exchange/path.ts';
import { endOfElements } from '../exchange/path-segments.ts';
import type { PathRewrite } from '../snapshot/filters.ts';
import type { PathMatch } from '../snapshot/match.ts';

/** A longer path is one that no server takes; a substitution that repeats could make megabytes of a short one. */
const MAX_PATH = 16 * 1024;

/** Gives the path that a request's own becomes, normalised; undefined where that is none (see `compilePathRewrite`). */
export type RewritePath = (exchange: Exchange) => string | undefined;

/**
 * The path part of urlRewrite and requestRedirect.
 *
 * What has no place in a path comes out escaped, so that no query and no second request line can be made of it; escapes stay
 * what they are. The result is then put through the same judgement as a path that a client sends, and normalised the same
 * way: a rewrite must not make `..` or an encoded slash, backslash or NUL out of a harmless request. The function that is
 * returned gives undefined for those, as it does where ReplacePrefixMatch has no prefix to replace; callers answer 500 with
 * it, and never pass such a request on.
 */
export function compilePathRewrite(rewrite: PathRewrite): RewritePath {
  switch (rewrite.type) {
    case 'ReplaceFullPath': {
      const path = checked(rewrite.value);
      return () => path;
    }
    case 'ReplacePrefixMatch': {
      const { value } = rewrite;
      return (exchange) => checked(replacePrefix(exchange, value));
    }
    case 'ReplaceRegex': {
      const pattern = RE2JS.compile(rewrite.pattern);
      const pieces = parseSubstitution(rewrite.substitution);
      return (exchange) => checked(replaceMatches(exchange.path, pattern, pieces));
    }
  }
}

function checked(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const escaped = escapePath(path);
  return escaped.length > MAX_PATH ? undefined : normalizePath(escaped);
}

/** Whatever is not a slash, a pchar (RFC 3986 section 3.3) or a whole escape. */
const NO_PATH = /[^\w\-.~!$&'()*+,;=:@/%]|%(?![0-9A-Fa-f]{2})/gu;

function escapePath(path: string): string {
  return path.replace(NO_PATH, (character) => Buffer.from(character, 'utf8').toString('hex').toUpperCase().replace(/../g, '%$&'));
}

/**
 * Gateway API's HTTPPathModifier: whole elements are replaced, and there is one slash where the replacement meets the rest,
 * whether it ends in one or not. An Exact match is its own prefix; a regular expression has none.
 */
function replacePrefix({ path, matchedPath }: Exchange, value: string): string | undefined {
  if (matchedPath === undefined || matchedPath.type === 'RegularExpression') return undefined;
  const rest = matchedPath.type === 'Exact' ? '' : path.slice(endOfPrefix(path, matchedPath));
  if (rest === '') return value === '' ? '/' : value;
  return (value.endsWith('/') ? value.slice(0, -1) : value) + rest;
}

/** A text, or the number of a group. */
type Piece = string | number;

/** `\1` is the first group, `\0` the whole match, `\\` a backslash. */
function parseSubstitution(substitution: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const found of substitution.matchAll(/\\(\\|[0-9]+)/g)) {
    pieces.push(substitution.slice(end, found.index), found[1] === '\\' ? '\\' : Number(found[1]));
    end = found.index + found[0].length;
  }
  pieces.push(substitution.slice(end));
  return pieces.filter((piece) => piece !== '');
}

function endOfPrefix(path: string, { value, names }: PathMatch): number {
  if (names !== undefined) return endOfElements(path, names.length);
  return value.endsWith('/') ? value.length - 1 : value.length;
}

/** Every match is replaced; a group that took no part is empty. Undefined when the result grows too long. */
function replaceMatches(path: string, pattern: RE2JS, pieces: readonly Piece[]): string | undefined {
  const matcher = pattern.matcher(path);
  let result = '';
  let end = 0;
  while (matcher.find()) {
    result += path.slice(end, matcher.start());
    for (const piece of pieces) result += typeof piece === 'string' ? piece : (matcher.group(piece) ?? '');
    if (result.length > MAX_PATH) return undefined;
    end = matcher.end();
  }
  return result + path.slice(end);
}

/** For `explain`. */
export function describePathRewrite(rewrite: PathRewrite): string {
  switch (rewrite.type) {
    case 'ReplaceFullPath':
      return `path becomes ${rewrite.value}`;
    case 'ReplacePrefixMatch':
      return `matched prefix becomes ${rewrite.value === '' ? '/' : rewrite.value}`;
    case 'ReplaceRegex':
      return `each ${rewrite.pattern} in the path becomes ${rewrite.substitution === '' ? 'nothing' : rewrite.substitution}`;
  }
}
