/** What an ext_authz server of Envoy's API, version 3, is asked (envoy.service.auth.v3.CheckRequest). */
import { isUtf8 } from 'node:buffer';
import type { Exchange } from '../../../exchange/exchange.ts';
import { UNKNOWN_LENGTH } from '../../../exchange/streams.ts';
import { MessageWriter } from './protobuf.ts';

/** Method of the service, as gRPC calls it. */
export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';

/** AttributeContext. */
const SOURCE = 1;
const DESTINATION = 2;
const REQUEST = 4;
/** AttributeContext.Peer. */
const ADDRESS = 1;
const PRINCIPAL = 4;
const CERTIFICATE = 5;
/** AttributeContext.Request. */
const TIME = 1;
const HTTP = 2;
/** AttributeContext.HttpRequest. */
const Http = { id: 1, method: 2, headers: 3, path: 4, host: 5, scheme: 6, size: 9, protocol: 10 } as const;

/**
 * A CheckRequest.
 * @param headers of the client that the server is told of, by lower-case name; those of one name are joined already
 * @param now milliseconds since the epoch
 */
export function checkRequest(exchange: Exchange, headers: ReadonlyMap<string, string>, now: number): Buffer {
  const seconds = Math.floor(now / 1000);
  const request = new MessageWriter()
    .message(TIME, new MessageWriter().integer(1, seconds).integer(2, Math.floor((now - seconds * 1000) * 1e6)))
    .message(HTTP, httpRequest(exchange, headers));
  const attributes = new MessageWriter().message(SOURCE, source(exchange)).message(DESTINATION, destination(exchange)).message(REQUEST, request);
  return new MessageWriter().message(1, attributes).finish();
}

function source({ clientAddress, peerAddress, peerPort, identity, tls }: Exchange): MessageWriter {
  // Of a client that a trusted proxy tells of, the port is not known.
  const peer = new MessageWriter().message(ADDRESS, address(clientAddress, clientAddress === peerAddress ? peerPort : 0));
  if (identity !== undefined) peer.text(PRINCIPAL, identity.subject);
  const certificate = tls?.clientCertificate;
  if (certificate?.isGood(Date.now()) === true) peer.text(CERTIFICATE, encodeURIComponent(pem(certificate.der)));
  return peer;
}

function destination({ peer, localPort }: Exchange): MessageWriter {
  return new MessageWriter().message(ADDRESS, address(peer.localAddress ?? '', localPort));
}

/** envoy.config.core.v3.Address with a SocketAddress. */
function address(text: string, port: number): MessageWriter {
  return new MessageWriter().message(1, new MessageWriter().text(2, text).integer(3, port));
}

function httpRequest(exchange: Exchange, headers: ReadonlyMap<string, string>): MessageWriter {
  const { method, scheme, authority, stream } = exchange;
  const path = exchange.path + exchange.query;
  const request = new MessageWriter().text(Http.id, exchange.requestId).text(Http.method, method);
  // Envoy has them among the headers, and servers look for them there.
  for (const [name, value] of [
    [':method', method],
    [':path', path],
    [':authority', authority],
    [':scheme', scheme],
  ] as const) {
    request.message(Http.headers, entry(name, value));
  }
  for (const [name, value] of headers) request.message(Http.headers, entry(name, value));
  request.bytes(Http.path, utf8(path)).text(Http.host, authority).text(Http.scheme, scheme);
  request.integer(Http.size, stream.requestBody === UNKNOWN_LENGTH ? -1 : Math.max(0, stream.requestBody));
  return request.text(Http.protocol, PROTOCOLS[exchange.protocol] ?? exchange.protocol);
}

function entry(name: string, value: string): MessageWriter {
  return new MessageWriter().text(1, name).bytes(2, utf8(value));
}

/** The names that Envoy has for them. */
const PROTOCOLS: Readonly<Record<string, string>> = { 'HTTP/2.0': 'HTTP/2' };

/** A field's value, whose characters are bytes, as text that protobuf can carry: what is no UTF-8 loses its bytes above ASCII, as at Envoy. */
function utf8(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant.
  return isUtf8(bytes) ? bytes : Buffer.from(value.replace(/[^\x00-\x7f]/g, '!'), 'latin1');
}

function pem(der: string): string {
  return `-----BEGIN CERTIFICATE-----\n${der.replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`;
}
