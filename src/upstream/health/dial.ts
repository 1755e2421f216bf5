import { connect, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls } from 'node:tls';
import { writeProxyHeader } from '../../wire/proxy-header.ts';
import type { ProbeTarget } from './probe.ts';

/**
 * A connection for one check: behind a PROXY header where endpoints expect one, over TLS where the upstream has it, verified
 * as for requests.
 * @param alpnProtocols what is offered under TLS; undefined: no TLS in any case
 */
export function dial({ address, port, tls, proxyProtocol }: ProbeTarget, alpnProtocols: readonly string[] | undefined): Socket {
  const raw = connect({ host: address, port });
  // LOCAL, or UNKNOWN: the connection is nobody's but the gateway's own, as the specification has it for health checks.
  if (proxyProtocol !== undefined) raw.write(writeProxyHeader(proxyProtocol, undefined));
  if (tls === undefined || alpnProtocols === undefined) return raw;
  const { secureContext, serverName, verifyName } = tls;
  const secure = connectTls({
    socket: raw,
    secureContext,
    servername: serverName,
    ALPNProtocols: [...alpnProtocols],
    rejectUnauthorized: verifyName !== undefined,
    checkServerIdentity: (_, certificate) => (verifyName === undefined ? undefined : checkServerIdentity(verifyName, certificate)),
  });
  // A refused connection is told by the socket below alone.
  raw.once('error', (error) => secure.destroy(error));
  return secure;
}
