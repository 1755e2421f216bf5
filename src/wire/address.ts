const MAPPED = '::ffff:';

/** An address as it is shown and logged: an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) as plain IPv4, all else unchanged. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith(MAPPED) && address.indexOf('.') > 0 ? address.slice(MAPPED.length) : address;
}

/** Why a connection is refused to a host that is a name: whoever resolves a name must also judge where it leads. */
export function notNumeric(host: string): Error {
  return Object.assign(new Error(`${JSON.stringify(host)} is no IP address`), { code: 'ERR_INVALID_IP_ADDRESS' });
}
