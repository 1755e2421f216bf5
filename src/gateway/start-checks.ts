/** What is looked at before anything is started, so that a start that can't succeed ends in one line. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { currentPassword, type RedisSettings } from '../redis/redis-settings.ts';
import { closeSink, openSink, type StandardOutput, unblockStandardOutput } from '../telemetry/log-sink.ts';
import type { Address } from '../workers/messages.ts';

/** Serving can't begin, and it is the user's to mend; the message is one line. */
export class StartError extends Error {}

/** Fewer bytes are no secret; what people make keys with gives at least 32. */
const LEAST_AFFINITY_KEY = 16;

/** @throws StartError when the file can't be read, or holds no key */
export function readAffinityKey(file: string | undefined): Uint8Array | undefined {
  if (file === undefined) return undefined;
  let key: Buffer;
  try {
    key = readFileSync(file);
  } catch (error) {
    throw new StartError(`--affinity-key-file ${file}: ${(error as Error).message}`);
  }
  if (key.length < LEAST_AFFINITY_KEY) {
    throw new StartError(
      `--affinity-key-file ${file}: has ${key.length} bytes; write at least ${LEAST_AFFINITY_KEY} random ones, such as openssl rand -hex 32 gives`,
    );
  }
  return key;
}

/** @throws StartError when the password can't be read: that it is wrong, only Redis can tell */
export function checkRedisPassword(redis: RedisSettings | undefined): void {
  if (redis === undefined) return;
  try {
    currentPassword(redis);
  } catch (error) {
    throw new StartError(`--redis-password-file ${redis.passwordFile}: ${(error as Error).message}`);
  }
}

/**
 * @returns what is to be known of standard output, where the log goes there
 * @throws StartError when the log can't be opened, before any worker finds out
 */
export function prepareAccessLog(target: string): StandardOutput | undefined {
  if (target === 'off') return undefined;
  if (target === 'stdout') return unblockStandardOutput();
  try {
    closeSink(openSink(target));
  } catch (error) {
    // Opened as a sink is, a named pipe waits for no reader.
    const { code, message } = error as NodeJS.ErrnoException;
    throw new StartError(`--access-log ${target}: ${code === 'ENXIO' ? 'nobody reads this named pipe; start its reader first' : message}`);
  }
  return undefined;
}

/**
 * Workers share their ports, and so would two gateways without a word. So the port is taken alone first; that also finds
 * the port where 0 was asked for.
 * @throws (rejects) StartError
 */
export async function claim(name: string, address: Address): Promise<Address> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new StartError(listenMessage(name, address, error))));
    server.listen({ host: address.host, port: address.port, exclusive: true }, () => {
      const bound = server.address();
      const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
      server.close(() => resolve({ host: address.host, port }));
    });
  });
}

export function listenMessage(name: string, { host, port }: Address, error: NodeJS.ErrnoException): string {
  const where = `${name} ${host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `${where}: the port is in use by another process; stop it or choose another port`;
    case 'EACCES':
      return `${where}: not permitted; ports below 1024 need a privilege, choose a higher one`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${where}: ${host} is not an address of this machine`;
    default:
      return `${where}: ${error.message}`;
  }
}
