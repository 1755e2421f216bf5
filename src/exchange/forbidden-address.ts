/** Addresses that nobody who writes a manifest may have the gateway connect to: they lead into its own machine or network. */
import { CidrSet, parseCidr } from './cidr.ts';

const LOOPBACK = new CidrSet(['127.0.0.0/8', '::1/128']);
/** Link-local (cloud metadata lives there), "this host", multicast, broadcast. */
const NEVER = new CidrSet(['0.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '255.255.255.255/32', '::/128', 'fe80::/10', 'ff00::/8']);
/**
 * Where clouds hand out the credentials of a machine, and that are not link-local: AWS and Google by IPv6, Oracle, Azure.
 * Alibaba's 100.100.100.200 is not among them: it may be a pod's, where those have addresses of RFC 6598.
 */
const METADATA = new CidrSet(['fd00:ec2::254/128', 'fd20:ce::254/128', '192.0.0.192/32', '168.63.129.16/32']);

/**
 * @param address IPv4 or IPv6
 * @returns what kind of address it is when it is refused
 */
export function forbiddenAddress(address: string, allowLoopback: boolean): string | undefined {
  const inner = translatedAddress(address);
  if (inner !== undefined) return forbiddenAddress(inner, allowLoopback);
  if (!allowLoopback && LOOPBACK.has(address)) return 'a loopback address';
  if (NEVER.has(address)) return 'a link-local, multicast or unspecified address';
  if (METADATA.has(address)) return "a cloud's metadata address";
  return undefined;
}

/**
 * The IPv4 address that a network makes of an IPv6 one: NAT64 (RFC 6052, 8215), 6to4 (RFC 3056), and the form of RFC 4291
 * section 2.5.5.1. An IPv4-mapped one never leaves the machine as IPv6, and `CidrSet` knows it.
 */
export function translatedAddress(address: string): string | undefined {
  if (!address.includes(':')) return undefined;
  const cidr = parseCidr(address.replace(/%.*$/, ''));
  if (cidr === undefined || cidr.family === 4) return undefined;
  const [one = 0, two = 0, three = 0, four = 0] = cidr.first;
  if (one >>> 16 === 0x2002) return dotted((((one & 0xffff) << 16) | (two >>> 16)) >>> 0);
  if (one === 0x64ff9b && ((two === 0 && three === 0) || two >>> 16 === 1)) return dotted(four);
  // `::` and `::1` are addresses of IPv6.
  return one === 0 && two === 0 && three === 0 && four > 1 ? dotted(four) : undefined;
}

/** An IPv4 address of its 32 bits. */
export function dotted(word: number): string {
  return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
}
