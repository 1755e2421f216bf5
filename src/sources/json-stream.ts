/** Objects of JSON one after the other in a text, as `jq` writes them and kubectl reads them. */

/**
 * @param text a text of one YAML document
 * @returns the parts of the text, one for each object, which together are the text; undefined when it is not a stream of several
 */
export function splitJsonStream(text: string): readonly string[] | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  const parts: string[] = [];
  let start = 0;
  while (start < text.length) {
    const end = endOfObject(text, start);
    if (end === undefined) return undefined;
    const isLast = /^\s*$/.test(text.slice(end));
    if (isLast && parts.length === 0) return undefined;
    const part = isLast ? text.slice(start) : text.slice(start, end);
    if (!isJson(part)) return undefined;
    parts.push(part);
    start = isLast ? text.length : end;
  }
  return parts;
}

/** @returns the offset after the object that begins at `start`, white space before it aside */
function endOfObject(text: string, start: number): number | undefined {
  let depth = 0;
  let isText = false;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (isText) {
      if (char === '\\') at++;
      else if (char === '"') isText = false;
    } else if (char === '"') isText = true;
    else if (char === '{') depth++;
    else if (char === '}' && --depth <= 0) return at + 1;
    else if (depth === 0 && !/\s/.test(char as string)) return undefined;
  }
  return undefined;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
