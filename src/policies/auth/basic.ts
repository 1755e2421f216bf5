/** Method basic (RFC 7617): user names and passwords of an htpasswd file. */
import { hash as digest } from 'node:crypto';
import type { Exchange } from '../../exchange/exchange.ts';
import type { AuthMethodSpec, AuthSpec } from '../../snapshot/auth.ts';
import { parseHtpasswd } from '../../snapshot/htpasswd.ts';
import type { PolicyContext } from '../policy.ts';
import type { SecretCell } from '../secrets.ts';
import type { Consumers } from './consumers.ts';
import { Credentials } from './credentials.ts';
import { type AuthMethod, badCredential, type Judgement, Pending, type Refusal, unavailable } from './method.ts';
import type { PasswordResult, Passwords } from './passwords/passwords.ts';

const NO_CLAIMS = Object.freeze({});
const NO_GROUPS: readonly string[] = [];
const NO_PASSWORDS = unavailable('passwords_missing');
const BUSY = unavailable('passwords_busy');
const FAILED = unavailable('passwords_failed');
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for (RFC 7617 section 2).
const CONTROL = /[\u0000-\u001f\u007f]/;

interface Users {
  readonly text: string;
  readonly hashes: ReadonlyMap<string, string>;
  /** The same by number. */
  readonly list: readonly string[];
}

export class BasicMethod implements AuthMethod {
  readonly name = 'basic';
  readonly challenge: string;
  readonly #policy: string;
  readonly #namespace: string;
  readonly #credentials = new Credentials([{ type: 'Header', name: 'authorization', prefix: 'Basic ' }]);
  readonly #secret: SecretCell;
  readonly #passwords: Passwords;
  readonly #consumers: Consumers;
  readonly #wrong: Refusal;
  readonly #malformed: Refusal;
  #users: Users | undefined;

  constructor({ secret, realm }: AuthMethodSpec & { readonly type: 'basic' }, { policy, namespace }: AuthSpec, { auth, secrets }: PolicyContext) {
    this.challenge = `Basic realm="${realm.replaceAll(/["\\]/g, '\\$&')}", charset="UTF-8"`;
    this.#policy = policy;
    this.#namespace = namespace;
    this.#secret = secrets.cell(secret);
    this.#passwords = auth.passwords;
    this.#consumers = auth.consumers;
    this.#wrong = badCredential('wrong_password', this.challenge);
    this.#malformed = badCredential('malformed_basic', this.challenge);
  }

  describe(): string {
    return 'basic';
  }

  authenticate(exchange: Exchange): Judgement | Pending<Judgement> | undefined {
    const found = this.#credentials.find(exchange);
    if (typeof found !== 'string') return found;
    const users = this.#read();
    if (users === undefined) return NO_PASSWORDS;
    const pair = readPair(found);
    if (pair === undefined) return this.#malformed;
    const { user, password } = pair;
    const known = users.hashes.get(user);
    // Somebody else's hash is asked about, always the same for one name: the answer takes as long as it does for users.
    const hash = known ?? (users.list[digest('sha256', user, 'buffer').readUInt32LE(0) % users.list.length] as string);
    const pending = new Pending<Judgement>();
    const result = this.#passwords.check(this.#policy, hash, password, (later) => pending.settle(this.#judge(user, known !== undefined, later)));
    return result === undefined ? pending : this.#judge(user, known !== undefined, result);
  }

  strip(exchange: Exchange): void {
    this.#credentials.strip(exchange);
  }

  #judge(user: string, isKnown: boolean, result: PasswordResult): Judgement {
    if (result === 'busy') return BUSY;
    if (result === 'failed') return FAILED;
    if (result === 'wrong' || !isKnown) return this.#wrong;
    const consumer = this.#consumers.byUser(this.#namespace, user);
    return { method: 'basic', subject: user, claims: NO_CLAIMS, consumer: consumer?.name, groups: consumer?.groups ?? NO_GROUPS };
  }

  /** The users as they are now; undefined: the Secret is not there, or holds nobody. */
  #read(): Users | undefined {
    const text = this.#secret.value;
    if (text === undefined) return undefined;
    if (this.#users?.text !== text) {
      const { users } = parseHtpasswd(text);
      this.#users = { text, hashes: users, list: [...users.values()] };
    }
    return this.#users.list.length === 0 ? undefined : this.#users;
  }
}

/** @param text characters are bytes */
function readPair(text: string): { readonly user: string; readonly password: string } | undefined {
  const bytes = Buffer.from(text, 'base64');
  // Node's decoder passes over what is not base64.
  if (bytes.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '')) return undefined;
  let pair: string;
  try {
    pair = utf8.decode(bytes);
  } catch {
    return undefined;
  }
  const colon = pair.indexOf(':');
  if (colon < 0 || CONTROL.test(pair)) return undefined;
  return { user: pair.slice(0, colon), password: pair.slice(colon + 1) };
}
