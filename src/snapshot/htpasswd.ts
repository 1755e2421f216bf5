/** Files of user names and hashed passwords, as Apache's htpasswd writes them. */

export interface Htpasswd {
  /** The hash as it stands in the file, by user; of a user who is there twice the first line counts, as for Apache. */
  readonly users: ReadonlyMap<string, string>;
  readonly flaws: readonly HtpasswdFlaw[];
}

export interface HtpasswdFlaw {
  /** 1-based. */
  readonly line: number;
  /** What is wrong, without anything of what stands there. */
  readonly what: string;
}

/** Each step more doubles the time, and this one takes seconds. */
const MAX_BCRYPT_COST = 14;
const MAX_LINES = 100_000;

const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
const APR1 = /^\$apr1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}$/;
const SHA1 = /^\{SHA\}[A-Za-z0-9+/]{27}=$/;

/** @param text characters are bytes; names of users are UTF-8 */
export function parseHtpasswd(text: string): Htpasswd {
  const users = new Map<string, string>();
  const flaws: HtpasswdFlaw[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replace(/\r$/, '').trim();
    if (line === '' || line.startsWith('#')) continue;
    if (index >= MAX_LINES) {
      flaws.push({ line: index + 1, what: `comes after ${MAX_LINES} others` });
      break;
    }
    const colon = line.indexOf(':');
    // What comes behind another colon is a remark in some files.
    const hash = colon < 0 ? '' : (line.slice(colon + 1).split(':')[0] as string);
    const flaw = colon < 1 ? 'is not user:hash' : hashFlaw(hash);
    if (flaw !== undefined) {
      flaws.push({ line: index + 1, what: flaw });
      continue;
    }
    const user = Buffer.from(line.slice(0, colon), 'latin1').toString('utf8');
    if (!users.has(user)) users.set(user, hash);
  }
  return { users, flaws };
}

function hashFlaw(hash: string): string | undefined {
  const bcrypt = BCRYPT.exec(hash);
  if (bcrypt !== null) {
    const cost = Number(bcrypt[1]);
    return cost >= 4 && cost <= MAX_BCRYPT_COST ? undefined : `has bcrypt with cost ${cost}, and 4 to ${MAX_BCRYPT_COST} are taken`;
  }
  return APR1.test(hash) || SHA1.test(hash) ? undefined : 'has a password that is neither bcrypt, SHA-1 nor apr1, maybe in plain text';
}
