/**
 * What the gateway tells a backend about the client: the forwarding fields, the request id and the trace context. What the
 * client sent of these is replaced unless its peer address is trusted (hardening: forwarding fields are an identity).
 */
import { isIP } from 'node:net';
import { CidrSet } from '../exchange/cidr.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { CLIENT_CERTIFICATE, FieldKind, FORWARDING, maskOf } from '../exchange/field-names.ts';
import { latin1Copy } from '../exchange/latin1-copy.ts';
import { isSaneRequestId, newRequestId, newTraceId, newTraceparent } from '../exchange/request-id.ts';
import { parseTraceparent } from '../exchange/trace-context.ts';
import type { Tracer } from '../telemetry/tracing/tracer.ts';

const REQUEST_ID = maskOf(FieldKind.XRequestId);
const TRACEPARENT = maskOf(FieldKind.Traceparent);
const REAL_IP = maskOf(FieldKind.XRealIp);

/** Any hop count above this is a loop or an attack; what lies further left is not looked at. */
const MAX_HOPS = 100;

export class ClientIdentity {
  readonly #trusted: CidrSet;
  readonly #trustsAnybody: boolean;

  readonly #tracer: Tracer | undefined;

  /**
   * @param trustedProxies CIDRs whose peers may set forwarding fields
   * @param tracer absent: no trace is recorded
   */
  constructor(trustedProxies: readonly string[], tracer?: Tracer) {
    this.#tracer = tracer;
    this.#trusted = new CidrSet(trustedProxies);
    this.#trustsAnybody = trustedProxies.length > 0;
  }

  /**
   * Finds the client's address, the scheme and the request id, and writes the fields for the backend into the exchange's
   * request fields.
   */
  stamp(exchange: Exchange): void {
    const fields = exchange.requestFields;
    fields.removeKinds(CLIENT_CERTIFICATE);

    let lines = '';
    const given = fields.single(FieldKind.XRequestId);
    if (given !== undefined && isSaneRequestId(given)) {
      exchange.requestId = given;
    } else {
      fields.removeKinds(REQUEST_ID);
      exchange.requestId = newRequestId();
      lines = `X-Request-Id: ${exchange.requestId}\r\n`;
    }
    const isTrusted = this.#trustsAnybody && this.#trusted.has(exchange.peerAddress);
    lines += this.#traceLine(exchange, isTrusted);

    let forwarding = '';
    if (isTrusted) {
      this.#extend(exchange);
      fields.removeKinds(REAL_IP);
      lines += `X-Real-IP: ${exchange.clientAddress}\r\n`;
    } else {
      fields.removeKinds(FORWARDING);
      forwarding = forwardingLines(exchange);
    }
    // RFC 9440 section 2.2. Who must not be served without a good one is refused later.
    const certificate = exchange.tls?.clientCertificate;
    if (certificate?.isGood(Date.now()) === true) {
      fields.appendLines(`Client-Cert: :${certificate.der}:\r\n`, CLIENT_CERTIFICATE);
    }
    if (lines !== '') fields.appendLines(lines, REQUEST_ID | TRACEPARENT | REAL_IP);
    // By themselves, for they are the same in each message of the connection.
    if (forwarding !== '') fields.appendLines(forwarding, FORWARDING);
  }

  /** Where the trace is recorded, each try tells its backend of its own span. @returns the field for backends, where the client's does not stay */
  #traceLine(exchange: Exchange, isTrusted: boolean): string {
    const fields = exchange.requestFields;
    const parent = fields.mayHave(TRACEPARENT) ? parseTraceparent(fields.single(FieldKind.Traceparent)) : undefined;
    exchange.traceId = parent?.traceId ?? newTraceId();
    if (this.#tracer !== undefined) exchange.span = this.#tracer.begin(exchange.traceId, parent, isTrusted);
    if (parent !== undefined) return '';
    if (fields.mayHave(TRACEPARENT)) {
      fields.removeKinds(TRACEPARENT);
      fields.remove('tracestate');
    }
    return exchange.span === undefined ? `traceparent: ${newTraceparent(exchange.traceId, this.#tracer === undefined)}\r\n` : '';
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
    if (!fields.has('x-forwarded-proto')) fields.set('X-Forwarded-Proto', exchange.scheme);
    if (!fields.has('x-forwarded-host') && exchange.authority !== '') fields.set('X-Forwarded-Host', exchange.authority);
    if (!fields.has('x-forwarded-port')) fields.set('X-Forwarded-Port', portOf(exchange));
  }
}

/** What a backend is told of a peer that is the client. Most requests of a connection have the same. */
function forwardingLines(exchange: Exchange): string {
  const { peer, authority, scheme } = exchange;
  const known = peer.forwarding;
  if (known === undefined || known.authority !== authority || known.scheme !== scheme) {
    const address = peer.remoteAddress;
    const host = authority === '' ? '' : `X-Forwarded-Host: ${authority}\r\n`;
    const lines = `X-Forwarded-For: ${address}\r\nX-Real-IP: ${address}\r\nX-Forwarded-Proto: ${scheme}\r\n${host}X-Forwarded-Port: ${portOf(exchange)}\r\n`;
    peer.forwarding = { authority, scheme, lines, isFlat: false };
    return lines;
  }
  if (!known.isFlat) {
    // Pieces would be put together anew in each head; for a connection with one request that would cost more than it saves.
    known.lines = latin1Copy(known.lines);
    known.isFlat = true;
  }
  return known.lines;
}

/** The port that the client used: that of its Host, else the scheme's own; the listener's is behind a Service's mapping. */
function portOf(exchange: Exchange): string {
  const colon = exchange.authority.lastIndexOf(':');
  const last = exchange.authority.length - 1;
  if (colon > 0 && colon < last && exchange.authority.charCodeAt(last) !== 0x5d) return exchange.authority.slice(colon + 1);
  return exchange.scheme === 'https' ? '443' : '80';
}

/** An address of X-Forwarded-For without its port or brackets; undefined when it is none. */
function bareAddress(hop: string): string | undefined {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d+)?$/.exec(hop);
  const text = bracketed?.[1] ?? (/^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop)?.[1] || hop);
  return isIP(text) === 0 ? undefined : text;
}
