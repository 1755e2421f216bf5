/**
 * A worker's one connection to Redis, or to Valkey: to a server, to the primary that sentinels name, or to a cluster. What the
 * addresses are, the first of them that answers says. A lost connection is looked for anew from the beginning, so a primary
 * that has become a replica is left, and a password that has changed is read again.
 *
 * Nothing is kept for later: a call that can't be sent now fails now. Requests never wait for a reconnection, and none of
 * their calls come down on a server that has just returned.
 */
import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis';
import { currentPassword, type RedisAddress, type RedisSettings } from './redis-settings.ts';
import type { Script, ScriptConnection } from './script-connection.ts';

/** Per address; it may be gone without a word (ms). */
const CONNECT_TIMEOUT = 1000;
/** Between tries to connect: doubled from the first to the last, and any time from half of it on (ms). */
const FIRST_DELAY = 100;
const LAST_DELAY = 3000;
/** How often a cluster is asked who has which slots, when nobody complains (ms). */
const SLOTS_INTERVAL = 5000;

type Client = Redis | Cluster;
/** Loaded where there is a store alone: it takes memory of every worker, and slows what has nothing to do with it. */
type Library = Pick<typeof import('ioredis'), 'Redis' | 'Cluster'>;
/** Answers as RESP2 has them. */
type Options = RedisOptions & { readonly replyMapping: 'legacy' };

export class RedisConnection implements ScriptConnection {
  isReady = false;
  isCluster = false;
  onChange: (detail: string) => void = () => {};
  readonly #settings: RedisSettings;
  readonly #random: () => number;
  #client: Client | undefined = undefined;
  #library: Library | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #delay = FIRST_DELAY;
  #isClosed = false;

  /** @param random chance, at least 0 and less than 1 */
  constructor(settings: RedisSettings, random: () => number = Math.random) {
    this.#settings = settings;
    this.#random = random;
  }

  /** Begins to look for the server; goes on until `close`. */
  open(): void {
    void this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#drop();
  }

  async run(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const client = this.#client;
    if (client === undefined || !this.isReady) throw new Error('not connected');
    try {
      return await client.evalsha(script.digest, keys.length, ...keys, ...args);
    } catch (error) {
      // A server forgets scripts when it restarts, fails over or is told to.
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
      return await client.eval(script.source, keys.length, ...keys, ...args);
    }
  }

  renew(reason: string): void {
    if (this.#library !== undefined && this.#client instanceof this.#library.Cluster && this.isReady) {
      // The others are well; what is asked is who has taken the slots of the one that is not.
      this.#client.refreshSlotsCache();
      return;
    }
    this.#lose(reason);
  }

  async #connect(): Promise<void> {
    let client: Client | undefined;
    let library: Library;
    try {
      library = await this.#load();
      client = await this.#find(library);
    } catch (error) {
      this.#retry(reasonOf(error));
      return;
    }
    if (this.#isClosed) {
      client.disconnect();
      return;
    }
    const found = client;
    this.#client = found;
    this.isCluster = found instanceof library.Cluster;
    found.once('end', () => {
      if (this.#client === found) this.#lose('connection lost');
    });
    if (found.status !== 'ready') {
      this.#lose('connection lost');
      return;
    }
    this.#delay = FIRST_DELAY;
    this.isReady = true;
    this.onChange('');
  }

  async #load(): Promise<Library> {
    this.#library ??= await import('ioredis');
    return this.#library;
  }

  #lose(reason: string): void {
    this.#drop();
    this.#retry(reason);
  }

  #drop(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.disconnect();
  }

  #retry(reason: string): void {
    if (this.#isClosed) return;
    this.isReady = false;
    clearTimeout(this.#timer);
    // Replicas that lost the same server do not come back all at once.
    this.#timer = setTimeout(() => void this.#connect(), this.#delay * (0.5 + this.#random() / 2));
    this.#timer.unref();
    this.#delay = Math.min(LAST_DELAY, this.#delay * 2);
    this.onChange(reason);
  }

  /** @throws (rejects) when none of the addresses leads to a server that takes writes */
  async #find(library: Library): Promise<Client> {
    let reason = '';
    for (const address of this.#settings.addresses) {
      try {
        const client = await opened(new library.Redis({ ...this.#options(), ...address }));
        const found = await this.#follow(client, library);
        if (found !== undefined) return found;
        reason = `${textOf(address)} is a replica`;
      } catch (error) {
        reason = `${textOf(address)}: ${reasonOf(error)}`;
      }
    }
    throw new Error(reason);
  }

  /** From a server that answers to the one that takes writes. @returns undefined when it is a replica */
  async #follow(client: Redis, library: Library): Promise<Client | undefined> {
    let isKept = false;
    try {
      const info = await client.info();
      const mode = /^redis_mode:(\w+)/m.exec(info)?.[1];
      if (mode === 'cluster') return await opened(new library.Cluster([...this.#settings.addresses], this.#clusterOptions()));
      if (mode === 'sentinel') return await this.#primaryOf(client, library);
      isKept = !/^role:slave/m.test(info);
      return isKept ? client : undefined;
    } finally {
      if (!isKept) client.disconnect();
    }
  }

  async #primaryOf(sentinel: Redis, { Redis }: Library): Promise<Redis> {
    const { addresses, master, tls } = this.#settings;
    const names = master === undefined ? masterNames(await sentinel.call('SENTINEL', 'MASTERS')) : [master];
    const [name] = names;
    if (name === undefined) throw new Error('the sentinel knows no primary');
    if (names.length > 1) throw new Error(`the sentinel knows several primaries (${names.join(', ')}); add ?master=NAME to the URL`);
    const { username, password, ...options } = this.#options();
    return opened(
      new Redis({
        ...options,
        ...(username !== undefined && { username, sentinelUsername: username }),
        ...(password !== undefined && { password, sentinelPassword: password }),
        sentinels: [...addresses],
        name,
        sentinelRetryStrategy: () => null,
        ...(tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
      }),
    );
  }

  #options(): Options {
    const { username, tls } = this.#settings;
    const password = currentPassword(this.#settings);
    return {
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(tls && { tls: {} }),
      protocol: 2,
      replyMapping: 'legacy',
      lazyConnect: true,
      connectTimeout: CONNECT_TIMEOUT,
      disconnectTimeout: CONNECT_TIMEOUT,
      connectionName: 'tidegate',
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    };
  }

  #clusterOptions(): ClusterOptions & { readonly redisOptions: Options } {
    const settings = this.#settings;
    const { lazyConnect: _lazy, ...options } = this.#options();
    const redisOptions: Options = {
      ...options,
      // Copied for each node that is connected to.
      get password() {
        return currentPassword(settings) ?? '';
      },
    };
    return {
      redisOptions,
      lazyConnect: true,
      enableOfflineQueue: false,
      clusterRetryStrategy: () => null,
      slotsRefreshTimeout: CONNECT_TIMEOUT,
      slotsRefreshInterval: SLOTS_INTERVAL,
      maxRedirections: 3,
    };
  }
}

/** @throws (rejects) when it can't be connected to */
async function opened<T extends Client>(client: T): Promise<T> {
  let first: Error | undefined;
  // Of several errors the first tells why; without a listener they would be thrown.
  client.on('error', (error: Error) => {
    first ??= error;
  });
  try {
    await client.connect();
    return client;
  } catch (error) {
    client.disconnect();
    throw first ?? error;
  }
}

/** SENTINEL MASTERS: for each a list of names and values. */
function masterNames(answer: unknown): string[] {
  if (!Array.isArray(answer)) return [];
  return answer.flatMap((fields: unknown) => {
    if (!Array.isArray(fields)) return [];
    const at = fields.indexOf('name');
    return at < 0 ? [] : [String(fields[at + 1])];
  });
}

function textOf({ host, port }: RedisAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function reasonOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || code || 'unknown';
}
