import { connect, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls } from 'node:tls';
import type { ProbeTarget } from './probe.ts';

/**
 * A connection for one check, over TLS where the upstream has it, verified as for requests.
 * @param alpnProtocols what is offered under TLS
 */
export function dial({ address, port, tls }: ProbeTarget, alpnProtocols: readonly string[]): Socket {
  if (tls === undefined) return connect({ host: address, port });
  const { secureContext, serverName, verifyName } = tls;
  return connectTls({
    host: address,
    port,
    secureContext,
    servername: serverName,
    ALPNProtocols: [...alpnProtocols],
    rejectUnauthorized: verifyName !== undefined,
    checkServerIdentity: (_, certificate) => (verifyName === undefined ? undefined : checkServerIdentity(verifyName, certificate)),
  });
}
