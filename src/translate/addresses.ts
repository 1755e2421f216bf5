/** Addresses that no endpoint may have: they would let whoever writes a manifest reach into the gateway's own machine or network. */
import { isIP } from 'node:net';
import { parseCidr } from '../exchange/cidr.ts';
import { dotted, forbiddenAddress, translatedAddress } from '../exchange/forbidden-address.ts';

/** The same for names, as far as a name tells without asking DNS. @param name of an ExternalName Service */
export function isForbiddenName(name: string, allowLoopback: boolean): boolean {
  const plain = name.toLowerCase().replace(/\.$/, '');
  if (isIP(plain) !== 0) return forbiddenAddress(plain, allowLoopback) !== undefined;
  // To resolvers of the inet_aton kind, `127.1` and `0x7f000001` are addresses.
  if (/(^|\.)([0-9]+|0x[0-9a-f]*)$/.test(plain)) return true;
  // RFC 6761 section 6.3.
  return !allowLoopback && (plain === 'localhost' || plain.endsWith('.localhost'));
}

/** Equal for addresses that are the same however they are written, an IPv4-mapped one and its IPv4 address included; a zone is ignored. */
export function addressKey(address: string): string {
  if (!address.includes(':')) return address;
  const cidr = parseCidr(address.replace(/%.*$/, ''));
  if (cidr === undefined) return address;
  if (cidr.family === 6) return cidr.first.join('.');
  return dotted(cidr.first[0] as number);
}

const apiServers = new WeakMap<readonly string[], ReadonlySet<string>>();

/** @param apiServer as `ResourceSet.apiServer` has it */
export function isApiServer(apiServer: readonly string[], address: string, port: number): boolean {
  if (apiServer.length === 0) return false;
  let known = apiServers.get(apiServer);
  if (known === undefined) {
    known = new Set(apiServer.map((entry) => apiServerKey(...(entry.split(' ') as [string, string]))));
    apiServers.set(apiServer, known);
  }
  return known.has(apiServerKey(address, String(port))) || known.has(apiServerKey(translatedAddress(address) ?? address, String(port)));
}

/** The same for a name, whatever the port: an ExternalName has none of its own. */
export function isApiServerName(apiServer: readonly string[], name: string): boolean {
  const plain = name.toLowerCase().replace(/\.$/, '');
  if (apiServer.length === 0) return false;
  const names = new Set([addressKey(plain), addressKey(translatedAddress(plain) ?? plain)]);
  return /^kubernetes(\.default(\.svc(\..*)?)?)?$/.test(plain) || apiServer.some((entry) => names.has(addressKey(entry.split(' ')[0] as string)));
}

function apiServerKey(host: string, port: string): string {
  return `${addressKey(host)} ${port}`;
}
