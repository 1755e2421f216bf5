/**
 * Methods that are passed on: those registered with IANA and a few that everybody knows. Others are refused, as Envoy does
 * by default: a name that one hop knows and another takes for something else has no place here.
 */
const METHODS = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT', 'QUERY', 'SEARCH', 'PURGE'],
  ...['ACL', 'BIND', 'CHECKOUT', 'COPY', 'LINK', 'LOCK', 'MERGE', 'MKACTIVITY', 'MKCALENDAR', 'MKCOL', 'MOVE', 'PROPFIND'],
  ...['PROPPATCH', 'REBIND', 'REPORT', 'UNBIND', 'UNLINK', 'UNLOCK', 'M-SEARCH', 'NOTIFY', 'SUBSCRIBE', 'UNSUBSCRIBE'],
];

const BY_LENGTH: readonly (readonly { readonly method: string; readonly bytes: Uint8Array }[])[] = Array.from({ length: 12 }, (_, length) =>
  METHODS.filter((method) => method.length === length).map((method) => ({ method, bytes: Buffer.from(method, 'latin1') })),
);

/** The method that `bytes[start..end)` spells, always the same string; empty for an unknown one. Methods have case (RFC 9110 section 9.1). */
export function canonicalMethod(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start;
  const candidates = BY_LENGTH[length];
  if (candidates === undefined) return '';
  for (let index = 0; index < candidates.length; index++) {
    const candidate = candidates[index] as { readonly method: string; readonly bytes: Uint8Array };
    let matched = 0;
    while (matched < length && candidate.bytes[matched] === bytes[start + matched]) matched++;
    if (matched === length) return candidate.method;
  }
  return '';
}

const KNOWN: ReadonlySet<string> = new Set(METHODS);

/** Whether a method is one that is passed on. */
export function isKnownMethod(method: string): boolean {
  return method === 'GET' || KNOWN.has(method);
}
