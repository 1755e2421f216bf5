/** Integers and strings of HPACK (RFC 7541 section 5), written as text whose characters are bytes. */
import { huffmanEncode, huffmanLength } from './huffman.ts';

const HUFFMAN = 0x80;

/** @param first what the byte holds above its prefix @param mask of the prefix's bits @param value 0 to 2^31 - 1 */
export function encodeInteger(first: number, mask: number, value: number): string {
  if (value < mask) return String.fromCharCode(first | value);
  let text = String.fromCharCode(first | mask);
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) text += String.fromCharCode((rest & 0x7f) | 0x80);
  return text + String.fromCharCode(rest);
}

/** As it is: for what is sent once, where the work of coding would not pay. @param text whose characters are bytes */
export function encodeString(text: string): string {
  return encodeInteger(0, 0x7f, text.length) + text;
}

/** In the shorter of both ways. @param text whose characters are bytes */
export function encodeShortest(text: string): string {
  const length = huffmanLength(text);
  return length < text.length ? encodeInteger(HUFFMAN, 0x7f, length) + huffmanEncode(text) : encodeString(text);
}
