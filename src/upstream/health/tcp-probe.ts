import { connect } from 'node:net';
import type { ActiveCheck } from '../../snapshot/snapshot.ts';
import { outcomeOf, type Probe } from './probe.ts';

/** Passes when a connection comes about. */
export const tcpProbe: Probe<ActiveCheck & { readonly type: 'TCP' }> = ({ address, port }, _check, signal) =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve({ passed: true, outcome: 'connected' });
    });
    socket.on('error', (error) => resolve({ passed: false, outcome: outcomeOf(error) }));
  });
