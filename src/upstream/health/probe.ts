/** One check of one endpoint, as it is carried out, and what its kinds have in common. */
import type { ActiveCheck, Upstream } from '../../snapshot/snapshot.ts';

export interface ProbeTarget {
  readonly address: string;
  /** Where it is asked, which need not be where it serves. */
  readonly port: number;
  readonly upstream: Upstream;
}

export interface ProbeResult {
  readonly passed: boolean;
  /** What there was, for the log: a status, a code of the system, or a few words. */
  readonly outcome: string;
}

/** Never rejects. Once the signal is aborted, nothing of it is left. */
export type Probe<Check = ActiveCheck> = (target: ProbeTarget, check: Check, signal: AbortSignal) => Promise<ProbeResult>;

/** What endpoints are called, as the cluster names them: they are asked by address, and may serve by name. */
export function authorityOf({ upstream: { service, namespace }, port }: ProbeTarget): string {
  return `${service}.${namespace}${port === 80 ? '' : `:${port}`}`;
}

/** What an error is called in the log. */
export function outcomeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

export const USER_AGENT = 'tidegate-health-check';
