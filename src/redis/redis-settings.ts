/** Where the Redis is that replicas share, as `--redis` says it. */
import { readFileSync } from 'node:fs';

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

export interface RedisSettings {
  /** Of one server, of the nodes of a cluster, or of sentinels: which of them they are, they say themselves. */
  readonly addresses: readonly RedisAddress[];
  readonly tls: boolean;
  /** Absent: the default user. */
  readonly username?: string;
  readonly password?: string;
  /** Read anew for each connection; instead of `password`. */
  readonly passwordFile?: string;
  /** What sentinels call the primary; absent: the only one that they know. */
  readonly master?: string;
  /** How long a request waits for an answer at most (ms). */
  readonly timeout: number;
}

/** A `--redis` that can't be meant so. The message says what is wrong and never has the password in it. */
export class RedisUrlError extends Error {}

const EXPECTED = 'expected redis[s]://[USER:PASSWORD@]HOST[:PORT][,HOST:PORT...], such as redis://redis.shop.svc:6379';
const DEFAULT_PORT = 6379;
/** Within the 10 ms that a store may add, with what timers need. */
const DEFAULT_TIMEOUT = 8;
const MAX_TIMEOUT = 10_000;

/** @throws RedisUrlError */
export function parseRedisUrl(text: string, passwordFile?: string): RedisSettings {
  // The last @ ends the password: what follows has none, and a password may have one by mistake.
  const match = /^(redis|rediss):\/\/(?:(.*)@)?([^@/?#]*)\/?(?:\?([^#]*))?$/s.exec(text);
  if (match === null) throw new RedisUrlError(/^rediss?:\/\//.test(text) ? `no path and no fragment may follow the addresses; ${EXPECTED}` : EXPECTED);
  const [, scheme, credentials, hosts = '', query] = match;
  const { username, password } = readCredentials(credentials);
  if (password !== undefined && passwordFile !== undefined) {
    throw new RedisUrlError('the password is in the URL and --redis-password-file is given as well; leave one of them out');
  }
  return {
    addresses: hosts.split(',').map((text, index) => readAddress(text, index + 1)),
    tls: scheme === 'rediss',
    ...(username && { username }),
    ...(password !== undefined && { password }),
    ...(passwordFile !== undefined && { passwordFile }),
    ...readParameters(query),
  };
}

function readCredentials(text: string | undefined): { readonly username?: string; readonly password?: string } {
  if (text === undefined) return {};
  const colon = text.indexOf(':');
  try {
    const username = decodeURIComponent(colon < 0 ? text : text.slice(0, colon));
    return { username, ...(colon >= 0 && { password: decodeURIComponent(text.slice(colon + 1)) }) };
  } catch {
    throw new RedisUrlError('user or password is not percent-encoded as it should be; write %25 for a percent sign');
  }
}

/** What is wrong is told without the text, which may be a password before a missing @. @param place counted from 1 */
function readAddress(text: string, place: number): RedisAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (host === undefined || port < 1 || port > 65_535) throw new RedisUrlError(`address ${place} is no HOST:PORT; ${EXPECTED}`);
  return { host, port };
}

function readParameters(query: string | undefined): Pick<RedisSettings, 'master' | 'timeout'> {
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (name !== 'master' && name !== 'timeout') {
      throw new RedisUrlError(`${JSON.stringify(name)} is no parameter; there are master=NAME (of sentinels) and timeout=MILLISECONDS`);
    }
    if (parameters.getAll(name).length > 1) throw new RedisUrlError(`the parameter ${name} is there twice`);
  }
  const master = parameters.get('master') ?? undefined;
  if (master === '') throw new RedisUrlError('master is empty; write the name that sentinels have for the primary');
  const given = parameters.get('timeout');
  const timeout = given === null ? DEFAULT_TIMEOUT : Number(given);
  if (given !== null && !(/^\d+$/.test(given) && timeout >= 1 && timeout <= MAX_TIMEOUT)) {
    throw new RedisUrlError(`timeout is ${JSON.stringify(given)}; write whole milliseconds from 1 to ${MAX_TIMEOUT}`);
  }
  return { ...(master !== undefined && { master }), timeout };
}

/** The password for a new connection. @throws when the file can't be read */
export function currentPassword({ password, passwordFile }: RedisSettings): string | undefined {
  if (passwordFile === undefined) return password;
  // Editors and `echo` end a file with a newline, which no one means.
  return readFileSync(passwordFile, 'utf8').replace(/\r?\n$/, '');
}
