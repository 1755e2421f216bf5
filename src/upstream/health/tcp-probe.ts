import type { ActiveCheck } from '../../snapshot/upstream.ts';
import { dial } from './dial.ts';
import { outcomeOf, type Probe } from './probe.ts';

/** Passes when a connection comes about. */
export const tcpProbe: Probe<ActiveCheck & { readonly type: 'TCP' }> = (target, _check, signal) =>
  new Promise((resolve) => {
    const socket = dial(target, undefined);
    const abort = (): void => void socket.destroy(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    socket.once('connect', () => {
      socket.destroy();
      resolve({ passed: true, outcome: 'connected' });
    });
    socket.on('error', (error) => resolve({ passed: false, outcome: outcomeOf(error) }));
  });
