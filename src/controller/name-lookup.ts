/** How the names of ExternalName Services become addresses. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';

/**
 * @param name as a user wrote it
 * @returns its addresses, IPv4 and IPv6, in any order; it rejects where there is none
 */
export type NameLookup = (name: string) => Promise<readonly string[]>;

/** Discard (RFC 863). No packet is sent there. */
const ANY_PORT = 9;

/**
 * As the machine resolves names: by /etc/hosts and the search domains of the cluster too, which DNS alone knows nothing of.
 * Of a name with IPv4 and IPv6 addresses, those are left out that the machine has no route to.
 */
export const systemLookup: NameLookup = async (name) => withRoutes((await lookup(name, { all: true })).map(({ address }) => address));

/** @returns of IPv4 and IPv6 addresses those with a route, of one family or without any route all of them */
export async function withRoutes(addresses: readonly string[]): Promise<readonly string[]> {
  if (addresses.every(isIPv6) || !addresses.some(isIPv6)) return addresses;
  const hasRoutes = await Promise.all(addresses.map(hasRoute));
  const reachable = addresses.filter((_, index) => hasRoutes[index]);
  return reachable.length === 0 ? addresses : reachable;
}

/** Connecting a UDP socket sends nothing: the kernel only looks for a route. */
function hasRoute(address: string): Promise<boolean> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  return new Promise<boolean>((resolve) => {
    socket.once('error', () => resolve(false));
    socket.once('connect', () => resolve(true));
    socket.connect(ANY_PORT, address);
  }).finally(() => socket.close());
}
