/** Servers of tests at addresses such as pods have. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:net';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';

/** @returns an address of the network that a run makes for pods; some pod may have it */
function podAddress(): string {
  return `10.244.${randomInt(0, 256)}.${randomInt(1, 255)}`;
}

/** Opens the server's port for as long as `lifetime`. @returns where; undefined where there are no such addresses on this machine, as on kind */
export async function listenAsPod(lifetime: Lifetime, server: Server, port: number): Promise<string | undefined> {
  for (;;) {
    const address = podAddress();
    server.listen(port, address);
    try {
      await once(server, 'listening');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EADDRNOTAVAIL') return undefined;
      // Some other pod's.
      if (code === 'EADDRINUSE') continue;
      throw error;
    }
    endWith(lifetime, () => void server.close());
    return address;
  }
}
