/** Text that a browser keeps for the gateway, and can neither read nor change. */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const SALT_BYTES = 16;
const TAG_BYTES = 16;
const BASE64URL = /^[A-Za-z0-9_-]+$/;

/**
 * Seals with AES-256-GCM. Each text has a key and a nonce of its own, made of 128 random bits, so that no number of texts under
 * one secret comes near the bound that 96 random bits would set (NIST SP 800-38D section 8.3).
 */
export class Seal {
  readonly #key: Buffer;

  /**
   * @param secret the same on every worker and replica that is to open what another has sealed
   * @param purpose what was sealed for one is nothing for another
   */
  constructor(secret: string | Uint8Array, purpose: string) {
    this.#key = Buffer.from(hkdfSync('sha256', secret, '', `tidegate ${purpose}`, 64));
  }

  /** @returns text that a cookie can have as it is (RFC 6265 section 4.1.1) */
  close(text: string): string {
    const salt = randomBytes(SALT_BYTES);
    const { key, nonce } = this.#derive(salt);
    const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    return Buffer.concat([salt, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64url');
  }

  /** @returns undefined for what was not sealed so */
  open(sealed: string): string | undefined {
    // Buffer.from passes over characters that are none, so that many texts would open to one.
    if (!BASE64URL.test(sealed)) return undefined;
    const bytes = Buffer.from(sealed, 'base64url');
    if (bytes.length < SALT_BYTES + TAG_BYTES) return undefined;
    const { key, nonce } = this.#derive(bytes.subarray(0, SALT_BYTES));
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(SALT_BYTES, bytes.length - TAG_BYTES)), decipher.final()]).toString('utf8');
    } catch {
      return undefined;
    }
  }

  #derive(salt: Buffer): { readonly key: Buffer; readonly nonce: Buffer } {
    const derived = createHmac('sha512', this.#key).update(salt).digest();
    return { key: derived.subarray(0, KEY_BYTES), nonce: derived.subarray(KEY_BYTES, KEY_BYTES + NONCE_BYTES) };
  }
}
