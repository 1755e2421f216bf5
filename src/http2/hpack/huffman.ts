/** The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B). */
import { latin1 } from '../../wire/latin1.ts';

/**
 * Bits of each byte's code, and last of EOS. The code is canonical: codes of one length follow each other in the order of
 * their bytes, so that the lengths tell all.
 */
// biome-ignore format: 32 to a line
const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];
const EOS = 256;
const CODES = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const codes = new Uint32Array(LENGTHS.length);
  const order = LENGTHS.map((_, symbol) => symbol).sort((a, b) => (LENGTHS[a] as number) - (LENGTHS[b] as number) || a - b);
  let code = 0;
  let length = 0;
  for (const symbol of order) {
    code <<= (LENGTHS[symbol] as number) - length;
    length = LENGTHS[symbol] as number;
    codes[symbol] = code++;
  }
  return codes;
}

/**
 * An automaton that takes four bits a step. Its states are the inner nodes of the code's tree; of each step the table holds
 * the next state (8 bits), the byte that ends within it (8 bits) and the flags below. A code has five bits at least, so that
 * no more than one byte ends in a step.
 */
const EMITS = 1 << 16;
/** The input may end here: what came since the last byte is padding, fewer than eight bits and all of them ones. */
const MAY_END = 1 << 17;
/** EOS, which must not be in a string. */
const FAILS = 1 << 18;
const STEPS = automaton();

function automaton(): Int32Array {
  // A child is an inner node, or a leaf as -1 - symbol.
  const children: number[] = [0, 0];
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    for (let bit = (LENGTHS[symbol] as number) - 1; bit >= 0; bit--) {
      const child = node * 2 + (((CODES[symbol] as number) >>> bit) & 1);
      if (bit === 0) {
        children[child] = -1 - symbol;
      } else {
        if (children[child] === 0) {
          children[child] = children.length / 2;
          children.push(0, 0);
        }
        node = children[child] as number;
      }
    }
  }
  const mayEnd = new Set<number>();
  for (let node = 0, ones = 0; ones < 8; ones++, node = children[node * 2 + 1] as number) mayEnd.add(node);

  const steps = new Int32Array((children.length / 2) * 16);
  for (let state = 0; state < children.length / 2; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let step = 0;
      for (let bit = 3; bit >= 0 && step !== FAILS; bit--) {
        const child = children[node * 2 + ((nibble >>> bit) & 1)] as number;
        if (child >= 0) node = child;
        else if (child === -1 - EOS) step = FAILS;
        else {
          step = EMITS | ((-1 - child) << 8);
          node = 0;
        }
      }
      if (step !== FAILS) step |= node | (mayEnd.has(node) ? MAY_END : 0);
      steps[state * 16 + nibble] = step;
    }
  }
  return steps;
}

/** The most bytes that a coded string of so many bytes can hold. */
export function decodedBound(length: number): number {
  return Math.floor((length * 8) / 5);
}

/**
 * Decodes `bytes[start..end)`.
 * @param target with room for decodedBound bytes from `at` on
 * @returns where in `target` the decoded bytes end; -1 for EOS or bad padding
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
  let position = at;
  let step = MAY_END;
  for (let index = start; index < end; index++) {
    const byte = bytes[index] as number;
    step = STEPS[((step & 0xff) << 4) | (byte >>> 4)] as number;
    if ((step & (EMITS | FAILS)) !== 0) {
      if ((step & FAILS) !== 0) return -1;
      target[position++] = (step >>> 8) & 0xff;
    }
    step = STEPS[((step & 0xff) << 4) | (byte & 15)] as number;
    if ((step & (EMITS | FAILS)) !== 0) {
      if ((step & FAILS) !== 0) return -1;
      target[position++] = (step >>> 8) & 0xff;
    }
  }
  return (step & MAY_END) === 0 ? -1 : position;
}

/** How many bytes the text has when it is coded. @param text whose characters are bytes */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let index = 0; index < text.length; index++) bits += LENGTHS[text.charCodeAt(index)] as number;
  return (bits + 7) >>> 3;
}

/** @param text whose characters are bytes @returns the same of its code */
export function huffmanEncode(text: string): string {
  const coded = Buffer.allocUnsafe(huffmanLength(text));
  let position = 0;
  let pending = 0;
  let pendingBits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index);
    let code = CODES[symbol] as number;
    let length = LENGTHS[symbol] as number;
    // In pieces, so that no more than 31 bits are at hand.
    while (length > 0) {
      const taken = Math.min(length, 8 - pendingBits);
      length -= taken;
      pending = (pending << taken) | (code >>> length);
      code &= (1 << length) - 1;
      pendingBits += taken;
      if (pendingBits === 8) {
        coded[position++] = pending;
        pending = 0;
        pendingBits = 0;
      }
    }
  }
  if (pendingBits > 0) coded[position++] = (pending << (8 - pendingBits)) | (0xff >>> pendingBits);
  return latin1(coded, 0, position);
}
