/** What is looked at before anything is started, so that a start that can't succeed ends in one line. */
import { readFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
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

export interface ClaimedAddresses {
  /** With the ports that were found. */
  readonly addresses: readonly Address[];
  /** The workers have the ports by now, or will not have them. */
  release(): void;
}

/**
 * Workers share their ports, and so would two gateways, or two listeners of one, without a word. So all ports are taken alone
 * first; that also finds those where 0 was asked for. These are held until workers have them: the system would give a port that is free
 * again to the next one who asks for any, and connections would be dealt out between the two.
 * @param listeners each with its flag
 * @throws (rejects) StartError
 */
export async function claim(listeners: readonly (readonly [flag: string, address: Address])[]): Promise<ClaimedAddresses> {
  const servers: Server[] = [];
  const addresses: Address[] = [];
  const held: Socket[] = [];
  try {
    for (const [flag, address] of listeners) {
      const server = createServer();
      servers.push(server);
      const rival = addresses.findIndex((other) => overlaps(other, address));
      const taken = await listenAlone(server, address, (error) => listenMessage(flag, address, error, listeners[rival]?.[0]));
      addresses.push(taken);
      if (address.port === 0) held.push(...(await hold(server, taken)));
    }
  } catch (error) {
    for (const socket of held) socket.destroy();
    throw error;
  } finally {
    // The port is free at once. That the server has closed is told only when the connections that hold it have.
    for (const server of servers) server.close();
  }
  return {
    addresses,
    release: () => {
      // Not closed in order: that would leave the port behind for a minute.
      for (const socket of held) socket.resetAndDestroy();
    },
  };
}

/**
 * A connection to a port keeps it from being given to anybody who asks for any, and stands in nobody's way who asks for it by number.
 * @returns both ends; none where the address can't be reached from here
 */
function hold(server: Server, { host, port }: Address): Promise<readonly Socket[]> {
  return new Promise((resolve) => {
    const client = connect({ host: host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host, port });
    client.on('error', () => resolve([]));
    server.once('connection', (accepted) => {
      // Once they are known here, the server need not wait for them to end.
      for (const socket of [client, accepted]) socket.on('error', () => {}).unref();
      resolve([client, accepted]);
    });
  });
}

function listenAlone(server: Server, { host, port }: Address, describe: (error: NodeJS.ErrnoException) => string): Promise<Address> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new StartError(describe(error))));
    server.listen({ host, port, exclusive: true }, () => {
      const bound = server.address();
      resolve({ host, port: typeof bound === 'object' && bound !== null ? bound.port : port });
    });
  });
}

const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

function overlaps(one: Address, other: Address): boolean {
  return one.port === other.port && (one.host === other.host || EVERY_ADDRESS.has(one.host) || EVERY_ADDRESS.has(other.host));
}

/** @param rival flag of a listener of ours that has the port */
export function listenMessage(name: string, { host, port }: Address, error: NodeJS.ErrnoException, rival?: string): string {
  const where = `${name} ${host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return rival === undefined
        ? `${where}: the port is in use by another process; stop it or choose another port`
        : `${where}: ${rival} has that port; give each a port of its own`;
    case 'EACCES':
      return `${where}: not permitted; ports below 1024 need a privilege, choose a higher one`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${where}: ${host} is not an address of this machine`;
    default:
      return `${where}: ${error.message}`;
  }
}
