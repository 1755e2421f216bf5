/** The gateway's own errors as problem documents (RFC 9457). */

// Not by an import: that reads all that node:http exports, WebSocket too, for which Node.js loads undici, in every thread anew.
const { STATUS_CODES } = process.getBuiltinModule('node:http');

/** Phrases of RFC 9110 that Node.js has older ones for. */
const PHRASES: Readonly<Record<number, string>> = { ...STATUS_CODES, 413: 'Content Too Large', 422: 'Unprocessable Content' };

/** The standard reason phrase; empty for a status that has none. */
export function statusText(status: number): string {
  return PHRASES[status] ?? '';
}

/**
 * The JSON text of a problem document; `application/problem+json`. ASCII only, so that it can be written as Latin-1.
 * @param detail one sentence for whoever sent the request; nothing of the gateway's inside
 * @param requestId a sane one (see request-id.ts)
 */
export function problemBody(status: number, detail: string, requestId: string): string {
  return `{"type":"about:blank","title":${quote(statusText(status))},"status":${status},"detail":${quote(detail)},"requestId":${quote(requestId)}}\n`;
}

function quote(text: string): string {
  const json = JSON.stringify(text);
  for (let index = 0; index < json.length; index++) if (json.charCodeAt(index) > 0x7e) return escapeNonAscii(json);
  return json;
}

function escapeNonAscii(json: string): string {
  return json.replace(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
