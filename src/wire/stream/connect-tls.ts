/** Outgoing TLS, for both implementations: on public sockets, whose verification of the server is Node's own. */
import { connect } from 'node:net';
import { checkServerIdentity, connect as connectSecure } from 'node:tls';
import { notNumeric } from '../address.ts';
import { isWithoutDescriptor } from '../descriptors.ts';
import { TlsError } from '../tls-error.ts';
import type { ClientTls, Connection, ConnectOptions } from '../wire.ts';
import { StreamConnection } from './stream-connection.ts';

/** As `Wire.connect`. @param taken hears which descriptor the connection has, as far as Node shows it; infinite: there was none left */
export function connectTls({ host, port, handler, preamble }: Omit<ConnectOptions, 'tls'>, tls: ClientTls, taken?: (fd: number) => void): Connection {
  const { serverName, verifyName, sessions } = tls;
  const raw = connect({
    host,
    port,
    noDelay: true,
    allowHalfOpen: true,
    // Asked for names alone.
    lookup: (name, _, answer) => answer(notNumeric(name), ''),
  });
  if (preamble !== undefined) raw.write(preamble);
  if (sessions.session !== undefined && Date.now() >= sessions.until) sessions.session = undefined;
  const socket = connectSecure({
    socket: raw,
    secureContext: tls.secureContext,
    servername: serverName,
    ALPNProtocols: tls.alpnProtocols as string[],
    rejectUnauthorized: verifyName !== undefined,
    checkServerIdentity: (_, certificate) => (verifyName === undefined ? undefined : checkServerIdentity(verifyName, certificate)),
    ...(sessions.session === undefined ? {} : { session: sessions.session }),
  });
  const connection = new StreamConnection(socket, raw, handler, { address: host, port, localAddress: undefined, localPort: 0 }, 0, undefined, false);
  // A refused connection is told by the socket below alone.
  raw.once('error', (error: NodeJS.ErrnoException) => {
    if (isWithoutDescriptor(error.errno)) taken?.(Number.POSITIVE_INFINITY);
    connection.fail(error);
  });
  if (taken !== undefined) raw.once('connect', () => taken((raw as unknown as { readonly _handle?: { readonly fd?: number } })._handle?.fd ?? 0));
  socket.once('secureConnect', () => {
    const alpn = socket.alpnProtocol || '';
    if (alpn === '' && tls.requireAlpn) {
      const wanted = tls.alpnProtocols.join(' or ');
      connection.fail(new TlsError('alpn', 'ERR_TLS_NO_APPLICATION_PROTOCOL', `the server does not agree on ${wanted} by ALPN`));
      return;
    }
    connection.tls = { version: socket.getProtocol() ?? '', serverName, resumed: socket.isSessionReused(), alpn };
    connection.connected();
  });
  // With TLS 1.3 several may come, after the handshake; with 1.2 one, before it is done.
  socket.on('session', (session) => {
    sessions.session = session;
    sessions.until = socket.getPeerX509Certificate()?.validToDate.getTime() ?? 0;
  });
  socket.on('data', (bytes: Buffer) => connection.received(bytes, 0, bytes.length));
  return connection;
}
