/**
 * The PROXY protocol, versions 1 and 2: the header in which a proxy that passes a connection on says whose it is
 * (https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt). Pure, for both directions.
 */
import { addressBytes, addressText, canonicalAddress } from './address-bytes.ts';

/** Both ends of a client's connection. Addresses are IPv4 or IPv6 as `canonicalAddress` writes them. */
export interface ProxiedEnds {
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly destinationAddress: string;
  readonly destinationPort: number;
}

export interface ProxyHeader {
  /** Bytes that the header takes. */
  readonly length: number;
  /** Undefined: the connection is the sender's own (LOCAL), or it does not say whose it is (UNKNOWN, UNSPEC, a Unix socket's). */
  readonly ends: ProxiedEnds | undefined;
}

/** Section 2.1: of version 1, the CRLF included. */
const MAX_V1 = 107;
/** Of version 2, TLVs included: far more than any sender writes, and nginx's bound. */
const MAX_V2 = 4096;

const V1_BEGIN = Buffer.from('PROXY ', 'latin1');
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_HEAD = 16;
const LOCAL = 0x20;
const PROXY = 0x21;
const UNSPEC = 0x00;
const TCP4 = 0x11;
const TCP6 = 0x21;
/** Valid, and of no use here: UDP over IPv4 and IPv6, streams and datagrams of Unix sockets. They count as UNSPEC (section 2.2). */
const OTHERS: readonly (number | undefined)[] = [0x12, 0x22, 0x31, 0x32];

/**
 * Reads the header at the beginning of a connection.
 * @param bytes all that has come so far; what follows the header is not looked at
 * @returns 'more' when it is not complete yet, 'bad' when it is none, or is more than 107 (version 1) or 4,096 bytes long
 */
export function readProxyHeader(bytes: Uint8Array): ProxyHeader | 'more' | 'bad' {
  if (bytes.length === 0) return 'more';
  if (beginsLike(bytes, V1_BEGIN)) return bytes.length < V1_BEGIN.length ? 'more' : readV1(bytes);
  if (beginsLike(bytes, V2_SIGNATURE)) return bytes.length < V2_SIGNATURE.length ? 'more' : readV2(bytes);
  return 'bad';
}

/** As far as there are bytes. */
function beginsLike(bytes: Uint8Array, expected: Uint8Array): boolean {
  for (let index = Math.min(bytes.length, expected.length) - 1; index >= 0; index--) if (bytes[index] !== expected[index]) return false;
  return true;
}

/** Section 2.1. */
function readV1(bytes: Uint8Array): ProxyHeader | 'more' | 'bad' {
  const end = bytes.subarray(0, MAX_V1).indexOf(0x0a);
  if (end < 0) return bytes.length < MAX_V1 ? 'more' : 'bad';
  if (bytes[end - 1] !== 0x0d) return 'bad';
  const line = Buffer.from(bytes.subarray(0, end - 1)).toString('latin1');
  const length = end + 1;
  // What follows UNKNOWN is to be ignored up to the end of the line.
  if (line === 'PROXY UNKNOWN' || line.startsWith('PROXY UNKNOWN ')) return { length, ends: undefined };
  const parts = line.split(' ');
  const [, protocol, source = '', destination = '', sourcePort = '', destinationPort = ''] = parts;
  if (parts.length !== 6 || (protocol !== 'TCP4' && protocol !== 'TCP6')) return 'bad';
  const size = protocol === 'TCP4' ? 4 : 16;
  if (addressBytes(source)?.length !== size || addressBytes(destination)?.length !== size || !isPort(sourcePort) || !isPort(destinationPort)) return 'bad';
  return {
    length,
    ends: {
      sourceAddress: canonicalAddress(source) as string,
      sourcePort: Number(sourcePort),
      destinationAddress: canonicalAddress(destination) as string,
      destinationPort: Number(destinationPort),
    },
  };
}

/** Decimal without leading zeros. */
function isPort(text: string): boolean {
  return /^(0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535;
}

/** Section 2.2. */
function readV2(bytes: Uint8Array): ProxyHeader | 'more' | 'bad' {
  const command = bytes[12];
  if (command === undefined) return 'more';
  if (command !== LOCAL && command !== PROXY) return 'bad';
  const family = bytes[13];
  if (family === undefined) return 'more';
  // Of a connection of the sender's own the family means nothing.
  const isKnown = family === TCP4 || family === TCP6;
  if (command === PROXY && !isKnown && family !== UNSPEC && !OTHERS.includes(family)) return 'bad';
  if (bytes.length < V2_HEAD) return 'more';
  const addresses = ((bytes[14] as number) << 8) | (bytes[15] as number);
  const length = V2_HEAD + addresses;
  if (length > MAX_V2) return 'bad';
  const size = command === LOCAL || !isKnown ? 0 : family === TCP4 ? 4 : 16;
  if (size > 0 && addresses < 2 * size + 4) return 'bad';
  // What comes after the addresses (TLVs) is skipped: nothing in it is for us.
  if (bytes.length < length) return 'more';
  if (size === 0) return { length, ends: undefined };
  const ports = V2_HEAD + 2 * size;
  return {
    length,
    ends: {
      sourceAddress: addressText(bytes, V2_HEAD, size),
      sourcePort: ((bytes[ports] as number) << 8) | (bytes[ports + 1] as number),
      destinationAddress: addressText(bytes, V2_HEAD + size, size),
      destinationPort: ((bytes[ports + 2] as number) << 8) | (bytes[ports + 3] as number),
    },
  };
}

/**
 * A header that says whose connection it is. Where one end is IPv4 and the other IPv6, the IPv4 address goes as an IPv4-mapped one.
 * @param ends undefined, or with an address that is none: the sender's own connection (version 2: LOCAL, version 1: UNKNOWN)
 */
export function writeProxyHeader(version: 'V1' | 'V2', ends: ProxiedEnds | undefined): Buffer {
  let source = ends === undefined ? undefined : addressBytes(ends.sourceAddress);
  let destination = ends === undefined ? undefined : addressBytes(ends.destinationAddress);
  if (ends === undefined || source === undefined || destination === undefined) {
    return version === 'V1' ? Buffer.from('PROXY UNKNOWN\r\n') : Buffer.concat([V2_SIGNATURE, Buffer.from([LOCAL, UNSPEC, 0, 0])]);
  }
  if (source.length !== destination.length) {
    source = mapped(source);
    destination = mapped(destination);
  }
  const isIpv4 = source.length === 4;
  if (version === 'V1') {
    const [from, to] = [source, destination].map((bytes) => (isIpv4 ? bytes.join('.') : hexGroups(bytes)));
    return Buffer.from(`PROXY ${isIpv4 ? 'TCP4' : 'TCP6'} ${from} ${to} ${ends.sourcePort} ${ends.destinationPort}\r\n`, 'latin1');
  }
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(ends.sourcePort, 0);
  ports.writeUInt16BE(ends.destinationPort, 2);
  const length = 2 * source.length + 4;
  return Buffer.concat([V2_SIGNATURE, Buffer.from([PROXY, isIpv4 ? TCP4 : TCP6, 0, length]), source, destination, ports]);
}

function mapped(bytes: Buffer): Buffer {
  return bytes.length === 16 ? bytes : Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff]), bytes]);
}

/** Version 1 has no dotted form within IPv6. */
function hexGroups(bytes: Buffer): string {
  const text = addressText(bytes, 0, 16);
  if (text.includes(':')) return text;
  return `::ffff:${bytes.readUInt16BE(12).toString(16)}:${bytes.readUInt16BE(14).toString(16)}`;
}
