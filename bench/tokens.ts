/** Bearer tokens for the cases with JWT: ES256, all good, signed with a key of the run's own. */
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const ISSUER = 'https://id.example.com';
const KEY_ID = 'bench';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const publicKey = createPublicKey(privateKey);

/** One line each; wrk/tokens.lua reads it. */
const file = join(import.meta.dirname, '../.cache/bench/tokens');

export const publicKeyPem = publicKey.export({ type: 'spki', format: 'pem' }) as string;
export const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: KEY_ID, alg: 'ES256', use: 'sig' }] });

const header = encode({ alg: 'ES256', typ: 'JWT', kid: KEY_ID });
let made = 0;

/** Puts so many tokens that nobody has seen where the load takes them from. */
export function writeTokens(count: number): void {
  const expires = Math.floor(Date.now() / 1000) + 3600;
  const tokens = Array.from({ length: count }, () => {
    const signed = `${header}.${encode({ iss: ISSUER, sub: `user-${made++}`, aud: 'bench', exp: expires, scope: 'orders.read' })}`;
    return `${signed}.${sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  });
  writeFileSync(file, `${tokens.join('\n')}\n`);
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
