/** Query parameters, as application/x-www-form-urlencoded has them. */

/**
 * @param query with its `?`; empty when there is none
 * @returns decoded names and values; of a repeated name the first counts; a name without `=` has the empty value
 */
export function parseQuery(query: string): ReadonlyMap<string, string> {
  const params = new Map<string, string>();
  let start = 1;
  while (start < query.length) {
    let end = query.indexOf('&', start);
    if (end < 0) end = query.length;
    if (end > start) {
      const equals = query.indexOf('=', start);
      const nameEnd = equals < 0 || equals > end ? end : equals;
      const name = decode(query.slice(start, nameEnd));
      if (!params.has(name)) params.set(name, nameEnd === end ? '' : decode(query.slice(nameEnd + 1, end)));
    }
    start = end + 1;
  }
  return params;
}

/** Percent-decodes UTF-8, `+` being a space. Escapes that are none stay as they are; bytes that are no UTF-8 become U+FFFD. */
function decode(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => Buffer.from(escapes.replaceAll('%', ''), 'hex').toString('utf8'));
  }
}

/** @param query as for `parseQuery` @param name decoded @returns the query without any parameter of that name; empty when none is left */
export function withoutParameter(query: string, name: string): string {
  const pieces = query.slice(1).split('&');
  const kept = pieces.filter((piece) => nameOf(piece) !== name);
  if (kept.length === pieces.length) return query;
  return kept.length === 0 ? '' : `?${kept.join('&')}`;
}

/** @param name and `value`: decoded @returns the query with one more parameter at its end */
export function withParameter(query: string, name: string, value: string): string {
  return `${query === '' ? '?' : `${query}&`}${encodeURIComponent(name)}=${encodeURIComponent(value)}`;
}

/** The query with `[redacted]` in place of the values of some parameters. @param names decoded */
export function redactedQuery(query: string, names: readonly string[]): string {
  if (query === '' || names.length === 0) return query;
  return `?${query
    .slice(1)
    .split('&')
    .map((piece) => (piece.includes('=') && names.includes(nameOf(piece)) ? `${piece.slice(0, piece.indexOf('='))}=[redacted]` : piece))
    .join('&')}`;
}

/** Of one `name=value` as it stands in a query. */
function nameOf(piece: string): string {
  const equals = piece.indexOf('=');
  return decode(equals < 0 ? piece : piece.slice(0, equals));
}

/** How often a parameter is there. @param query as for `parseQuery` @param name decoded */
export function countParameters(query: string, name: string): number {
  return query
    .slice(1)
    .split('&')
    .filter((piece) => nameOf(piece) === name).length;
}
