/** What the tests of HPACK stand on: blocks in hexadecimal, and what they decode to as pairs. */
import type { HpackDecoder } from './decoder.ts';
import { HeaderBlock } from './header-block.ts';

export type Pair = readonly [name: string, value: string];

export function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\s/g, ''), 'hex');
}

export function newBlock(change: Partial<ConstructorParameters<typeof HeaderBlock>[0]> = {}): HeaderBlock {
  return new HeaderBlock({ maxBytes: 16 * 1024, maxFields: 100, dropUnderscores: false, ...change });
}

/** The fields of a block, pseudo-header fields first; undefined where it is no HPACK. `:authority` shows as itself. */
export function decodePairs(decoder: HpackDecoder, bytes: Buffer, block = newBlock()): Pair[] | undefined {
  if (!decoder.decode(bytes, 0, bytes.length, block)) return undefined;
  const pairs: Pair[] = [];
  for (const name of ['method', 'scheme', 'path', 'status', 'authority', 'protocol'] as const) if (block[name] !== '') pairs.push([`:${name}`, block[name]]);
  let isAuthority = block.authority !== '';
  block.fields().forEach((name, value) => {
    if (isAuthority && name === 'host') isAuthority = false;
    else pairs.push([name, value]);
  });
  return pairs;
}
