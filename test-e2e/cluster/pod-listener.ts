/** Servers of tests at addresses such as pods have. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:net';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';

/** @returns an address of the network that a run makes for pods */
export function podAddress(): string {
  return `10.244.${randomInt(0, 256)}.${randomInt(1, 255)}`;
}

/** Opens the server's port for as long as `lifetime`. @returns where; undefined where there are no such addresses on this machine, as on kind */
export async function listenAsPod(lifetime: Lifetime, server: Server, port: number): Promise<string | undefined> {
  const address = podAddress();
  server.listen(port, address);
  try {
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRNOTAVAIL') return undefined;
    throw error;
  }
  endWith(lifetime, () => void server.close());
  return address;
}
