/** What an ext_authz server of Envoy's API, version 3, is asked (envoy.service.auth.v3.CheckRequest). */
import { isUtf8 } from 'node:buffer';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Exchange } from '../../../exchange/exchange.ts';
import { UNKNOWN_LENGTH } from '../../../exchange/streams.ts';

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
  const writer = new BinaryWriter();
  message(writer, 1, () => {
    message(writer, SOURCE, () => writeSource(writer, exchange));
    message(writer, DESTINATION, () => message(writer, ADDRESS, () => writeAddress(writer, exchange.peer.localAddress ?? '', exchange.localPort)));
    message(writer, REQUEST, () => {
      const seconds = Math.floor(now / 1000);
      message(writer, TIME, () => {
        integer(writer, 1, seconds);
        integer(writer, 2, Math.floor((now - seconds * 1000) * 1e6));
      });
      message(writer, HTTP, () => writeHttpRequest(writer, exchange, headers));
    });
  });
  const { buffer, byteOffset, length } = writer.finish();
  return Buffer.from(buffer, byteOffset, length);
}

/** Is written though it is empty: its presence says something, too. */
function message(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write();
  writer.join();
}

/** Fields with the value that they have anyway are left out, as proto3 does. */
function text(writer: BinaryWriter, field: number, value: string): void {
  if (value !== '') writer.tag(field, WireType.LengthDelimited).string(value);
}

function bytes(writer: BinaryWriter, field: number, value: Uint8Array): void {
  if (value.length > 0) writer.tag(field, WireType.LengthDelimited).bytes(value);
}

function integer(writer: BinaryWriter, field: number, value: number): void {
  if (value !== 0) writer.tag(field, WireType.Varint).int64(value);
}

function writeSource(writer: BinaryWriter, { clientAddress, peerAddress, peerPort, identity, tls }: Exchange): void {
  // Of a client that a trusted proxy tells of, the port is not known.
  message(writer, ADDRESS, () => writeAddress(writer, clientAddress, clientAddress === peerAddress ? peerPort : 0));
  if (identity !== undefined) text(writer, PRINCIPAL, identity.subject);
  const certificate = tls?.clientCertificate;
  if (certificate?.isGood(Date.now()) === true) text(writer, CERTIFICATE, encodeURIComponent(pem(certificate.der)));
}

/** envoy.config.core.v3.Address with a SocketAddress. */
function writeAddress(writer: BinaryWriter, address: string, port: number): void {
  message(writer, 1, () => {
    text(writer, 2, address);
    integer(writer, 3, port);
  });
}

function writeHttpRequest(writer: BinaryWriter, exchange: Exchange, headers: ReadonlyMap<string, string>): void {
  const { method, scheme, authority, stream } = exchange;
  const path = exchange.path + exchange.query;
  text(writer, Http.id, exchange.requestId);
  text(writer, Http.method, method);
  const header = (name: string, value: string): void =>
    message(writer, Http.headers, () => {
      text(writer, 1, name);
      bytes(writer, 2, utf8(value));
    });
  // Envoy has them among the headers, and servers look for them there.
  header(':method', method);
  header(':path', path);
  header(':authority', authority);
  header(':scheme', scheme);
  for (const [name, value] of headers) header(name, value);
  bytes(writer, Http.path, utf8(path));
  text(writer, Http.host, authority);
  text(writer, Http.scheme, scheme);
  integer(writer, Http.size, stream.requestBody === UNKNOWN_LENGTH ? -1 : Math.max(0, stream.requestBody));
  text(writer, Http.protocol, PROTOCOLS[exchange.protocol] ?? exchange.protocol);
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
