/** Addresses and CIDR ranges, IPv4 and IPv6. An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is the IPv4 address. */
import { hexDigit } from './hex.ts';

/** An address range as unsigned 32-bit words, one for IPv4, four for IPv6. */
export interface Cidr {
  readonly family: 4 | 6;
  readonly first: readonly number[];
  readonly last: readonly number[];
}

/**
 * @param text `address/length` or an address alone; bits beyond the length are ignored
 * @returns undefined when it is neither
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  let words: number[] | undefined;
  let family: 4 | 6 = 4;
  const ipv4 = parseIpv4(address);
  if (ipv4 >= 0) {
    words = [ipv4];
  } else if (parseIpv6(address, scratch)) {
    words = [...scratch];
    family = 6;
  }
  if (words === undefined) return undefined;
  const bits = words.length * 32;
  let length = bits;
  if (slash >= 0) {
    const lengthText = text.slice(slash + 1);
    if (!/^(?:0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined;
    length = Number(lengthText);
    if (length > bits) return undefined;
  }
  if (family === 6 && length >= 96 && isMapped(words)) {
    words = [words[3] as number];
    family = 4;
    length -= 96;
  }
  const first: number[] = [];
  const last: number[] = [];
  for (const [index, word] of words.entries()) {
    const kept = Math.min(32, Math.max(0, length - index * 32));
    // A shift by 32 is one by 0 in JavaScript.
    const mask = kept === 0 ? 0 : (0xffffffff << (32 - kept)) >>> 0;
    first.push((word & mask) >>> 0);
    last.push((word | ~mask) >>> 0);
  }
  return { family, first, last };
}

/** Ranges compiled for look-ups; the cost of one is logarithmic in their number, and it allocates nothing. */
export class CidrSet {
  /** Bounds in ascending order, first and last in turn, not overlapping. */
  readonly #ipv4: Uint32Array;
  /** The same, four words a bound. */
  readonly #ipv6: Uint32Array;
  // Requests of one connection ask about the same address again and again.
  #lastAddress = '';
  #lastResult = false;

  /** @param cidrs as `parseCidr` takes them; bad ones are left out, having been refused when the object was read */
  constructor(cidrs: readonly string[]) {
    const parsed = cidrs.map(parseCidr).filter((cidr) => cidr !== undefined);
    this.#ipv4 = bounds(parsed.filter((cidr) => cidr.family === 4));
    this.#ipv6 = bounds(parsed.filter((cidr) => cidr.family === 6));
  }

  /** @param address IPv4 or IPv6, a zone (`%eth0`) is ignored; anything else is in no set */
  has(address: string): boolean {
    if (address === this.#lastAddress) return this.#lastResult;
    const result = this.#find(address);
    this.#lastAddress = address;
    this.#lastResult = result;
    return result;
  }

  #find(address: string): boolean {
    const ipv4 = parseIpv4(address);
    if (ipv4 >= 0) return hasIpv4(this.#ipv4, ipv4);
    const zone = address.indexOf('%');
    if (!parseIpv6(zone < 0 ? address : address.slice(0, zone), scratch)) return false;
    if (isMapped(scratch)) return hasIpv4(this.#ipv4, scratch[3] as number);
    return hasIpv6(this.#ipv6, scratch);
  }
}

function hasIpv4(ranges: Uint32Array, address: number): boolean {
  let low = 0;
  let high = ranges.length / 2;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (address < (ranges[middle * 2] as number)) high = middle;
    else if (address > (ranges[middle * 2 + 1] as number)) low = middle + 1;
    else return true;
  }
  return false;
}

function hasIpv6(ranges: Uint32Array, address: Uint32Array): boolean {
  let low = 0;
  let high = ranges.length / 8;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareAt(address, ranges, middle * 8) < 0) high = middle;
    else if (compareAt(address, ranges, middle * 8 + 4) > 0) low = middle + 1;
    else return true;
  }
  return false;
}

function compareAt(address: Uint32Array, ranges: Uint32Array, offset: number): number {
  for (let index = 0; index < 4; index++) {
    const difference = (address[index] as number) - (ranges[offset + index] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** CIDR ranges either nest or lie apart, so sorted by their first address, a range inside another follows it. */
function bounds(cidrs: readonly Cidr[]): Uint32Array {
  const sorted = cidrs.toSorted((a, b) => compare(a.first, b.first) || compare(b.last, a.last));
  const words: number[] = [];
  let outer: Cidr | undefined;
  for (const cidr of sorted) {
    if (outer !== undefined && compare(cidr.last, outer.last) <= 0) continue;
    words.push(...cidr.first, ...cidr.last);
    outer = cidr;
  }
  return Uint32Array.from(words);
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [index, word] of a.entries()) {
    const difference = word - (b[index] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

function isMapped(words: ArrayLike<number>): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}

/** Dotted decimal without leading zeros, which some read as octal; -1 when it is none. */
function parseIpv4(text: string): number {
  return parseDotted(text, 0);
}

function parseDotted(text: string, start: number): number {
  const length = text.length;
  if (length - start > 15 || length - start < 7) return -1;
  let address = 0;
  let octet = -1;
  let dots = 0;
  for (let index = start; index < length; index++) {
    const digit = text.charCodeAt(index) - 0x30;
    if (digit >= 0 && digit <= 9) {
      if (octet === 0) return -1;
      octet = octet < 0 ? digit : octet * 10 + digit;
      if (octet > 255) return -1;
    } else {
      if (digit !== -2 || octet < 0 || dots === 3) return -1;
      address = address * 256 + octet;
      octet = -1;
      dots++;
    }
  }
  return dots === 3 && octet >= 0 ? address * 256 + octet : -1;
}

const scratch = new Uint32Array(4);
const groups = new Uint16Array(8);

/** RFC 4291 section 2.2, without a zone. Fills `words` and returns true, or returns false. */
function parseIpv6(text: string, words: Uint32Array): boolean {
  const length = text.length;
  if (length < 2 || length > 45) return false;
  let count = 0;
  let gap = -1;
  let index = 0;
  if (text.charCodeAt(0) === 0x3a) {
    if (text.charCodeAt(1) !== 0x3a) return false;
    gap = 0;
    index = 2;
  }
  while (index < length) {
    if (count === 8) return false;
    let group = 0;
    let digits = 0;
    const groupStart = index;
    for (; index < length; index++) {
      const digit = hexDigit(text.charCodeAt(index));
      if (digit < 0) break;
      if (++digits > 4) return false;
      group = group * 16 + digit;
    }
    if (digits > 0 && text.charCodeAt(index) === 0x2e) {
      // The last 32 bits may be written as an IPv4 address.
      const ipv4 = parseDotted(text, groupStart);
      if (ipv4 < 0 || count > 6) return false;
      groups[count++] = ipv4 >>> 16;
      groups[count++] = ipv4 & 0xffff;
      break;
    }
    if (digits === 0) return false;
    groups[count++] = group;
    if (index === length) break;
    if (text.charCodeAt(index) !== 0x3a) return false;
    index++;
    if (index === length) return false;
    if (text.charCodeAt(index) === 0x3a) {
      if (gap >= 0) return false;
      gap = count;
      index++;
    }
  }
  if (gap < 0 ? count !== 8 : count === 8) return false;
  if (gap >= 0) {
    groups.copyWithin(8 - (count - gap), gap, count);
    groups.fill(0, gap, 8 - (count - gap));
  }
  for (let word = 0; word < 4; word++) words[word] = (groups[word * 2] as number) * 65536 + (groups[word * 2 + 1] as number);
  return true;
}
