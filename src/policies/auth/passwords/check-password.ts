/** Passwords against the hashes of htpasswd files. It takes long, by intent: not for a thread that has traffic. */
import { hash as digest, timingSafeEqual } from 'node:crypto';
import { compareSync } from 'bcryptjs';

/** @param hash as `parseHtpasswd` lets it through @returns whether it is that of the password */
export function checkPassword(hash: string, password: string): boolean {
  if (hash.startsWith('$2')) return compareSync(password, hash);
  if (hash.startsWith('$apr1$')) return sameText(apr1(password, hash.split('$')[2] as string), hash);
  return sameText(`{SHA}${digest('sha1', password, 'base64')}`, hash);
}

function sameText(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}

const ROUNDS = 1000;
const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** The order in which the bytes of the last digest are written, three at a time. */
const ORDER = [
  [0, 6, 12],
  [1, 7, 13],
  [2, 8, 14],
  [3, 9, 15],
  [4, 10, 5],
] as const;

/** Apache's variant of the MD5 scheme of FreeBSD's crypt. */
function apr1(text: string, saltText: string): string {
  const md5 = (...parts: readonly Uint8Array[]): Buffer => digest('md5', Buffer.concat(parts), 'buffer');
  const password = Buffer.from(text);
  const salt = Buffer.from(saltText);
  const other = md5(password, salt, password);
  const parts: Uint8Array[] = [password, Buffer.from('$apr1$'), salt];
  for (let left = password.length; left > 0; left -= 16) parts.push(other.subarray(0, Math.min(16, left)));
  const zero = Buffer.alloc(1);
  for (let bits = password.length; bits > 0; bits >>= 1) parts.push((bits & 1) === 1 ? zero : password.subarray(0, 1));
  let last = md5(...parts);
  for (let round = 0; round < ROUNDS; round++) {
    const isOdd = round % 2 === 1;
    last = md5(isOdd ? password : last, round % 3 === 0 ? EMPTY : salt, round % 7 === 0 ? EMPTY : password, isOdd ? last : password);
  }
  const written = ORDER.map(([high, middle, low]) => base64((at(last, high) << 16) | (at(last, middle) << 8) | at(last, low), 4)).join('');
  return `$apr1$${saltText}$${written}${base64(at(last, 11), 2)}`;
}

const EMPTY = Buffer.alloc(0);

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}

/** Six bits a character, the lowest first. */
function base64(value: number, characters: number): string {
  let text = '';
  for (let index = 0; index < characters; index++) text += ALPHABET[(value >> (6 * index)) & 63];
  return text;
}
