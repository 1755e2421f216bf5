/** A token's three parts, read so strictly that no two texts are the same token (RFC 7515 sections 2 and 7.1, RFC 8725 section 3). */
import { type JsonObject, parseStrictObject } from '../tokens/strict-json.ts';

/** No head of a request is longer. */
export const MAX_TOKEN_LENGTH = 16 * 1024;
/** Key ids are names, not documents. */
const MAX_KID_LENGTH = 1024;

export interface CompactToken {
  readonly algorithm: string;
  /** Absent: any key may be meant. */
  readonly kid: string | undefined;
  readonly claims: JsonObject;
  /** What was signed, as it stands in the token. */
  readonly signed: Buffer;
  readonly signature: Buffer;
}

/** Why a text is no token that is taken. Fixed words, for the log. */
export type TokenFlaw = 'token_too_long' | 'token_malformed' | 'token_encrypted' | 'token_nested' | 'token_critical' | 'token_type' | 'token_algorithm';

/**
 * Reads what stands in a token; whether it is signed by anybody is not known then. Keys that it brings along (jwk, jku, x5u, x5c) are not
 * looked at: RFC 8725 section 3.10.
 * @param algorithms that it may be signed with; `none` is never among them
 */
export function readCompactToken(text: string, algorithms: ReadonlySet<string>): CompactToken | TokenFlaw {
  if (text.length > MAX_TOKEN_LENGTH) return 'token_too_long';
  const parts = text.split('.', 6);
  // RFC 7516 section 9: five parts are a JWE.
  if (parts.length === 5) return 'token_encrypted';
  if (parts.length !== 3) return 'token_malformed';
  const [head, payload, signature] = parts.map(decodeStrictly);
  if (head === undefined || payload === undefined || signature === undefined) return 'token_malformed';
  const header = parseStrictObject(head);
  if (header === undefined) return 'token_malformed';
  const { alg: algorithm, kid, typ, cty, crit, enc, zip, b64 } = header;
  if (typeof algorithm !== 'string') return 'token_malformed';
  if (enc !== undefined || zip !== undefined) return 'token_encrypted';
  // We understand no extension, so each that must be understood makes the token invalid (RFC 7515 section 4.1.11); b64 is one (RFC 7797).
  if (crit !== undefined || b64 !== undefined) return 'token_critical';
  if (!algorithms.has(algorithm)) return 'token_algorithm';
  if (signature.length === 0) return 'token_malformed';
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > MAX_KID_LENGTH)) return 'token_malformed';
  if (typ !== undefined && !isAccessType(typ)) return 'token_type';
  if (cty !== undefined) return 'token_nested';
  const claims = parseStrictObject(payload);
  if (claims === undefined) return 'token_malformed';
  const signed = Buffer.from(text.slice(0, text.lastIndexOf('.')), 'latin1');
  return { algorithm, kid, claims, signed, signature };
}

/** RFC 8725 section 3.11, RFC 9068 section 2.1: a token of another type, such as a logout token or a proof of possession, gives access to nothing. */
function isAccessType(typ: unknown): boolean {
  if (typeof typ !== 'string') return false;
  const type = typ.toLowerCase().replace(/^application\//, '');
  return type === 'jwt' || type === 'at+jwt';
}

/** RFC 4648 section 5, without padding, and with unused bits of zero: else other texts would be the same bytes. */
function decodeStrictly(text: string): Buffer | undefined {
  const rest = text.length % 4;
  if (rest === 1 || !/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  const unused = rest === 0 ? 0 : rest === 2 ? 0x0f : 0x03;
  if (unused !== 0 && (ALPHABET.indexOf(text.charAt(text.length - 1)) & unused) !== 0) return undefined;
  return Buffer.from(text, 'base64url');
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
