/** Names of query parameters whose value is a credential, as far as a name tells. */
const CREDENTIAL = /token|secret|password|passwd|api[-_]?key|credential|signature|jwt|^(?:key|code|sig|auth|pwd|sid|session)$/i;
/** In the query, and in a URL that is itself a value there. */
const PARAMETER = /[?&;#]([^=?&;#]*)=/g;
const VALUE_END = /[&;#]|$/g;
const USER_INFO = /^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i;

/**
 * Replaces the values of parameters that carry credentials by `[redacted]`, and the user and password before a host.
 * It takes time in proportion to the length, whatever clients send.
 */
export function redactUrl(url: string): string {
  const text = url.startsWith('/') ? url : url.replace(USER_INFO, '$1[redacted]@');
  if (!text.includes('?')) return text;
  let redacted = '';
  let copied = 0;
  PARAMETER.lastIndex = 0;
  for (let found = PARAMETER.exec(text); found !== null; found = PARAMETER.exec(text)) {
    if (!CREDENTIAL.test(decodeName(found[1] as string))) continue;
    const start = PARAMETER.lastIndex;
    VALUE_END.lastIndex = start;
    const end = VALUE_END.exec(text)?.index ?? text.length;
    redacted += text.slice(copied, start) + (end > start ? '[redacted]' : '');
    copied = end;
    PARAMETER.lastIndex = end;
  }
  return redacted + text.slice(copied);
}

/** Backends decode names before they look at them. */
function decodeName(name: string): string {
  if (!name.includes('%')) return name;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
