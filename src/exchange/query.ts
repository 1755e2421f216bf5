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
