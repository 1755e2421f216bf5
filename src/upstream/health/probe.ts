/** One check of one endpoint, as it is carried out, and what its kinds have in common. */
import type { ActiveCheck, Upstream } from '../../snapshot/upstream.ts';
import type { ClientTls } from '../../wire/wire.ts';

export interface ProbeTarget {
  readonly address: string;
  /** Where it is asked, which need not be where it serves. */
  readonly port: number;
  readonly upstream: Upstream;
  /** Absent: the upstream has none. */
  readonly tls?: Pick<ClientTls, 'secureContext' | 'serverName' | 'verifyName'>;
  /** Version of the PROXY header that a connection begins with; absent: none. */
  readonly proxyProtocol?: 'V1' | 'V2';
}

export interface ProbeResult {
  readonly passed: boolean;
  /** What there was, for the log: a status, a code of the system, or a few words. */
  readonly outcome: string;
}

/** Never rejects. Once the signal is aborted, nothing of it is left. */
export type Probe<Check = ActiveCheck> = (target: ProbeTarget, check: Check, signal: AbortSignal) => Promise<ProbeResult>;

/** What endpoints are called: by the name in their certificates, or as the cluster names them. They are asked by address, and may serve by name. */
export function authorityOf({ upstream: { service, namespace }, port, tls }: ProbeTarget): string {
  const name = tls?.serverName || `${service}.${namespace}`;
  return port === (tls === undefined ? 80 : 443) ? name : `${name}:${port}`;
}

/** What an error is called in the log. */
export function outcomeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

export const USER_AGENT = 'tidegate-health-check';
