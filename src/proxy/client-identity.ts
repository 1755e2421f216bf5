/**
 * What the gateway tells a backend about the client: the forwarding fields, the request id and the trace context. What the
 * client sent of these is replaced unless its peer address is trusted (hardening: forwarding fields are an identity).
 */
import { isIP } from 'node:net';
import { CidrSet } from '../exchange/cidr.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { isSaneRequestId, isTraceparent, newRequestId, newTraceparent } from '../exchange/request-id.ts';

/** Fields by which proxies hand on an identity that they verified; nobody outside may set them. */
const IDENTITY_FIELDS = ['ssl-client-cert', 'ssl-client-verify', 'ssl-client-subject-dn', 'ssl-client-issuer-dn', 'x-forwarded-client-cert', 'client-cert', 'client-cert-chain'];

/** Fields that a trusted peer may pass on and nobody else, besides X-Forwarded-For and Forwarded, which get a treatment of their own. */
const FORWARDED_FIELDS = ['x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port'];

/** Others of the same family that backends are known to believe. */
const UNKNOWN_FORWARDED_FIELDS = ['x-forwarded-by', 'x-forwarded-prefix', 'x-forwarded-scheme', 'x-forwarded-server', 'x-forwarded-ssl', 'x-forwarded-user', 'x-forwarded-uri', 'x-forwarded-method', 'x-forwarded-path', 'x-forwarded-email', 'x-forwarded-groups', 'x-forwarded-preferred-username', 'x-forwarded-access-token'];

/** Any hop count above this is a loop or an attack; what lies further left is not looked at. */
const MAX_HOPS = 100;

export class ClientIdentity {
  readonly #trusted: CidrSet;
  readonly #trustsAnybody: boolean;

  /** @param trustedProxies CIDRs whose peers may set forwarding fields */
  constructor(trustedProxies: readonly string[]) {
    this.#trusted = new CidrSet(trustedProxies);
    this.#trustsAnybody = trustedProxies.length > 0;
  }

  /**
   * Finds the client's address, the scheme and the request id, and writes the fields for the backend into the exchange's
   * request fields.
   */
  stamp(exchange: Exchange): void {
    const fields = exchange.requestFields;
    for (const name of IDENTITY_FIELDS) if (fields.has(name)) fields.remove(name);

    const given = fields.get('x-request-id');
    if (given !== undefined && isSaneRequestId(given)) {
      exchange.requestId = given;
    } else {
      exchange.requestId = newRequestId();
      fields.set('X-Request-Id', exchange.requestId);
    }
    const trace = fields.get('traceparent');
    if (trace !== undefined && isTraceparent(trace)) {
      exchange.traceId = trace.slice(3, 35);
    } else {
      const made = newTraceparent();
      exchange.traceId = made.slice(3, 35);
      if (trace !== undefined) fields.remove('tracestate');
      fields.set('traceparent', made);
    }

    const peer = exchange.peerAddress;
    if (this.#trustsAnybody && this.#trusted.has(peer)) {
      this.#extend(exchange);
    } else {
      for (const name of UNKNOWN_FORWARDED_FIELDS) if (fields.has(name)) fields.remove(name);
      if (fields.has('forwarded')) fields.remove('forwarded');
      fields.set('X-Forwarded-For', peer);
      fields.set('X-Forwarded-Proto', exchange.scheme);
      fields.set('X-Forwarded-Host', exchange.authority);
      fields.set('X-Forwarded-Port', portOf(exchange));
    }
    fields.set('X-Real-IP', exchange.clientAddress);
  }

  /** From a trusted peer: its word is kept, its address is added, and the client is the rightmost untrusted address. */
  #extend(exchange: Exchange): void {
    const fields = exchange.requestFields;
    const hops = fields
      .getAll('x-forwarded-for')
      .join(',')
      .split(',')
      .map((hop) => hop.trim())
      .filter((hop) => hop !== '');
    for (let index = hops.length - 1; index >= Math.max(0, hops.length - MAX_HOPS); index--) {
      const address = bareAddress(hops[index] as string);
      // What is not an address was not written by a proxy that we trust: the hop to its right stays the client.
      if (address === undefined) break;
      exchange.clientAddress = address;
      if (!this.#trusted.has(address)) break;
    }
    fields.set('X-Forwarded-For', [...hops, exchange.peerAddress].join(', '));
    const proto = fields.get('x-forwarded-proto')?.toLowerCase();
    if (proto === 'http' || proto === 'https') exchange.scheme = proto;
    const own = [exchange.scheme, exchange.authority, portOf(exchange)];
    FORWARDED_FIELDS.forEach((name, index) => {
      if (!fields.has(name)) fields.set(['X-Forwarded-Proto', 'X-Forwarded-Host', 'X-Forwarded-Port'][index] as string, own[index] as string);
    });
  }
}

/** The port that the client used: that of its Host, else the scheme's own; the listener's is behind a Service's mapping. */
function portOf(exchange: Exchange): string {
  const colon = exchange.authority.lastIndexOf(':');
  if (colon > 0 && exchange.authority.charCodeAt(exchange.authority.length - 1) !== 0x5d) return exchange.authority.slice(colon + 1);
  return exchange.scheme === 'https' ? '443' : '80';
}

/** An address of X-Forwarded-For without its port or brackets; undefined when it is none. */
function bareAddress(hop: string): string | undefined {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d+)?$/.exec(hop);
  const text = bracketed?.[1] ?? (/^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop)?.[1] || hop);
  return isIP(text) === 0 ? undefined : text;
}

