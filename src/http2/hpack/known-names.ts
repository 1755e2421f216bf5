import { latin1Copy } from '../../exchange/latin1-copy.ts';
import { encodeInteger, encodeShortest } from './primitives.ts';
import { STATIC_NAMES } from './static-table.ts';

/**
 * Fields whose values are secrets, or may be. Whoever can make us send guesses beside them could find them out by the length
 * of what goes out, if they were indexed (RFC 7541 section 7.1).
 */
const SECRETS = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key']);

/** Names that are kept, and how long they may be: a client that makes up names must not fill our memory. */
const MAX_NAMES = 1024;
const MAX_LENGTH = 64;

/** A field's name as it is written, and how well it paid to index its values, over all connections of the thread. */
export interface KnownName {
  readonly lower: string;
  readonly isSecret: boolean;
  /** The beginning of a field of that name, up to its value, for each way to write it (RFC 7541 section 6.2). */
  readonly withIndexing: string;
  readonly withoutIndexing: string;
  readonly neverIndexed: string;
  /** Values in a row that were not in the table. */
  misses: number;
}

const names = new Map<string, KnownName>();

/** @param name in any case */
export function knownName(name: string): KnownName {
  return names.get(name) ?? learn(name);
}

function learn(name: string): KnownName {
  const lower = name.toLowerCase();
  const index = STATIC_NAMES.get(lower) ?? 0;
  const literal = index === 0 ? encodeShortest(lower) : '';
  const known: KnownName = {
    lower,
    isSecret: SECRETS.has(lower),
    withIndexing: encodeInteger(0x40, 0x3f, index) + literal,
    withoutIndexing: encodeInteger(0, 0x0f, index) + literal,
    neverIndexed: encodeInteger(0x10, 0x0f, index) + literal,
    misses: 0,
  };
  if (names.size < MAX_NAMES && name.length <= MAX_LENGTH) names.set(latin1Copy(name), known);
  return known;
}
