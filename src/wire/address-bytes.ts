/** IP addresses as bytes in network order, and back. */
import { isIP } from 'node:net';
import { plainAddress } from './address.ts';

/**
 * @param address IPv4 or IPv6 without a zone
 * @returns 4 or 16 bytes; undefined when it is no such address
 */
export function addressBytes(address: string): Buffer | undefined {
  const family = isIP(address);
  if (family === 4) return Buffer.from(address.split('.').map(Number));
  if (family !== 6 || address.includes('%')) return undefined;
  const [head = '', tail] = address.split('::');
  const first = groups(head);
  const last = tail === undefined ? [] : groups(tail);
  return Buffer.from([...first, ...new Array<number>(16 - first.length - last.length).fill(0), ...last]);
}

/** Of a part of a valid IPv6 address. */
function groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/**
 * The text of an address as RFC 5952 section 4 has it, so that one address has one text; an IPv4-mapped one as plain IPv4.
 * @param bytes 4 or 16 of them from `start` on
 */
export function addressText(bytes: Uint8Array, start: number, length: 4 | 16): string {
  if (length === 4) return bytes.subarray(start, start + 4).join('.');
  const words = Array.from({ length: 8 }, (_, index) => ((bytes[start + index * 2] as number) << 8) | (bytes[start + index * 2 + 1] as number));
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) return addressText(bytes, start + 12, 4);
  // The first of the longest runs of two zeros or more.
  let from = -1;
  let count = 1;
  for (let index = 0; index < 8; ) {
    let end = index;
    while (end < 8 && words[end] === 0) end++;
    if (end - index > count) {
      from = index;
      count = end - index;
    }
    index = end + 1;
  }
  const text = (some: readonly number[]): string => some.map((word) => word.toString(16)).join(':');
  return from < 0 ? text(words) : `${text(words.slice(0, from))}::${text(words.slice(from + count))}`;
}

/** An address as it is shown and logged: one text for one address; undefined when it is none. */
export function canonicalAddress(address: string): string | undefined {
  const bytes = addressBytes(address);
  return bytes === undefined ? undefined : plainAddress(addressText(bytes, 0, bytes.length as 4 | 16));
}
