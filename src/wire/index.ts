import { HandleWire } from './handle/handle-wire.ts';
import { selfCheck } from './handle/self-check.ts';
import { StreamWire } from './stream/stream-wire.ts';
import type { Wire } from './wire.ts';

export { contextOptionsOf, parametersFlaw, SUITES, secureContextOptions, TICKET_KEYS_LENGTH, TLS_PARAMETERS, type TlsParameters } from './secure-context.ts';
export { TlsError, type TlsFailure } from './tls-error.ts';
export type * from './wire.ts';

export type WireMode = 'auto' | 'stream' | 'handle';

export type WireLog = (message: string, fields: Record<string, unknown>) => void;

/**
 * Makes the sockets of this thread. `auto` takes the handle implementation where its self-check passes on this Node, else
 * the one on public sockets; `log` is told which, and why.
 * @throws (rejects) an Error for `handle` where the self-check does not pass
 */
export async function createWire(mode: WireMode, log: WireLog = () => {}): Promise<Wire> {
  if (mode === 'stream') return new StreamWire();
  try {
    const wire = new HandleWire();
    await selfCheck(wire);
    return wire;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    if (mode === 'handle') throw new Error(`sockets on handles do not work on Node ${process.versions.node}: ${reason}; use --wire auto or stream`, { cause });
    log('sockets on handles do not work on this Node; public sockets are used, which are slower', { node: process.versions.node, reason });
    return new StreamWire();
  }
}
