/** Request ids and W3C trace contexts: made where the client sent none, judged where it did. */
import { randomFillSync } from 'node:crypto';

/** Random bytes are drawn and spelled many at a time; an id is then a slice of a string. */
const POOL_BYTES = 4096;
const pool = Buffer.alloc(POOL_BYTES);
let digits = '';
let used = 0;

/** @returns that many random hex digits, lower-case */
function randomHex(count: number): string {
  if (used + count > digits.length) {
    digits = randomFillSync(pool).toString('hex');
    used = 0;
  }
  const start = used;
  used += count;
  return digits.slice(start, used);
}

/** 32 random hex digits. */
export function newRequestId(): string {
  return randomHex(32);
}

const MAX_REQUEST_ID = 128;

/** Letters, digits and the punctuation that ids of others have (UUID, ULID, base64, AWS trace ids). */
const ID_CHARACTERS = new Uint8Array(128);
for (const character of 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~:;/+=@,|') ID_CHARACTERS[character.charCodeAt(0)] = 1;

/** Whether a client's X-Request-Id may go on to backends, answers and logs as it is. */
export function isSaneRequestId(text: string): boolean {
  if (text.length === 0 || text.length > MAX_REQUEST_ID) return false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f || ID_CHARACTERS[code] === 0) return false;
  }
  return true;
}

/** An id for a trace (https://www.w3.org/TR/trace-context/ section 3.2.2.3). */
export function newTraceId(): string {
  return nonZeroHex(32);
}

/** An id for a span (section 3.2.2.4). */
export function newSpanId(): string {
  return nonZeroHex(16);
}

/**
 * A trace context of which this hop is the root. It says "sampled" where the gateway records nothing itself: nobody above has
 * decided against, and tracers that follow their parent would else record nothing, too.
 */
export function newTraceparent(traceId: string, isSampled = true): string {
  return `00-${traceId}-${nonZeroHex(16)}-0${isSampled ? 1 : 0}`;
}

/** An id of zeros is invalid (section 3.2.2.3), and as likely as a collision. */
function nonZeroHex(count: number): string {
  for (;;) {
    const hex = randomHex(count);
    if (!isZero(hex, 0, count)) return hex;
  }
}

/**
 * Whether a traceparent is well-formed (section 3.2): `version-traceId-parentId-flags` in lower-case hex, ids not zero. A
 * later version may have more behind a further hyphen; version `ff` is invalid.
 */
export function isTraceparent(text: string): boolean {
  if (text.length < 55 || !isHex(text, 0, 2) || !isHex(text, 3, 35) || !isHex(text, 36, 52) || !isHex(text, 53, 55)) return false;
  if (text.charCodeAt(2) !== 0x2d || text.charCodeAt(35) !== 0x2d || text.charCodeAt(52) !== 0x2d) return false;
  if (text.startsWith('ff') || isZero(text, 3, 35) || isZero(text, 36, 52)) return false;
  return text.length === 55 || (!text.startsWith('00') && text.charCodeAt(55) === 0x2d);
}

function isHex(text: string, start: number, end: number): boolean {
  for (let index = start; index < end; index++) {
    const code = text.charCodeAt(index);
    if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) return false;
  }
  return true;
}

function isZero(text: string, start: number, end: number): boolean {
  for (let index = start; index < end; index++) if (text.charCodeAt(index) !== 0x30) return false;
  return true;
}
