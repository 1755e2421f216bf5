/**
 * As much of the Distinguished Encoding Rules (ITU-T X.690) as writing a certificate takes. Each function gives the whole
 * encoding: tag, length and contents.
 */

function encode(tag: number, contents: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag]), lengthOf(contents.length), contents]);
}

/** Short form below 128, else the number of length bytes and those bytes (section 8.1.3). */
function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}

export function sequence(...parts: readonly Buffer[]): Buffer {
  return encode(0x30, Buffer.concat(parts));
}

/** For a single element, which needs no order. */
export function setOf(element: Buffer): Buffer {
  return encode(0x31, element);
}

/** A number that is not negative, big-endian. */
export function unsignedInteger(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = bytes.subarray(start);
  // A first bit of 1 would make it negative.
  return encode(0x02, (digits[0] as number) >= 0x80 ? Buffer.concat([Buffer.from([0]), digits]) : digits);
}

export function bool(value: boolean): Buffer {
  return encode(0x01, Buffer.from([value ? 0xff : 0]));
}

export function octetString(contents: Buffer): Buffer {
  return encode(0x04, contents);
}

/** Of whole bytes. */
export function bitString(contents: Buffer): Buffer {
  return encode(0x03, Buffer.concat([Buffer.from([0]), contents]));
}

export function utf8String(text: string): Buffer {
  return encode(0x0c, Buffer.from(text, 'utf8'));
}

/** @param dotted as `2.5.4.3` */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...others]) {
    const digits = [arc % 128];
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift(0x80 | (rest % 128));
    bytes.push(...digits);
  }
  return encode(0x06, Buffer.from(bytes));
}

/** Seconds are the finest. Up to 2049 as UTCTime, later as GeneralizedTime (RFC 5280 section 4.1.2.5). */
export function time(date: Date): Buffer {
  const text = `${date.toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
  return date.getUTCFullYear() < 2050 ? encode(0x17, Buffer.from(text.slice(2), 'latin1')) : encode(0x18, Buffer.from(text, 'latin1'));
}

/** Context-specific tag around whole elements. */
export function explicit(tag: number, ...parts: readonly Buffer[]): Buffer {
  return encode(0xa0 | tag, Buffer.concat(parts));
}

/** Context-specific tag in place of the element's own. */
export function implicit(tag: number, contents: Buffer): Buffer {
  return encode(0x80 | tag, contents);
}
