/** Ports for programs that are started by a run, a bench or a test. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below those that the system gives out itself, to connections and to whoever listens on port 0: so nobody is given one of them
 * between its choice and its use, which a program that starts takes a second for.
 */
const FIRST = 15_000;
const LAST = 32_000;

/** Ports of 127.0.0.1 that refuse every connection: none that was closed, which the system would give to somebody else meanwhile. */
export const REFUSING_PORTS = [1, 2] as const;

/** @returns a TCP port of 127.0.0.1 that was free a moment ago */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, LAST);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}
