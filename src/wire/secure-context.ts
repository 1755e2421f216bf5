/** What every TLS context of the gateway has in common: protocol versions, suites, and the ticket keys that the workers share. */
import { createHash, createHmac } from 'node:crypto';
import type { SecureContext, SecureContextOptions } from 'node:tls';

/**
 * Cipher suites that are offered, by the names of OpenSSL: with forward secrecy (ECDHE) and AEAD (RFC 9325 section 4.2). Those
 * with AES-128 come first, which hardware makes fastest.
 */
export const SUITES: readonly string[] = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
];

export const VERSIONS = ['1.2', '1.3'] as const;
export type TlsVersion = (typeof VERSIONS)[number];

export interface TlsParameters {
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** Of `SUITES`, in order of preference. A version of which none is there is not offered. */
  readonly suites: readonly string[];
}

export const TLS_PARAMETERS: TlsParameters = { minVersion: '1.2', maxVersion: '1.3', suites: SUITES };

/** Why nobody could connect with these; undefined when all is well. Suites are those of `SUITES`. */
export function parametersFlaw({ minVersion, maxVersion, suites }: TlsParameters): string | undefined {
  if (minVersion > maxVersion) return `TLS ${minVersion} at least and TLS ${maxVersion} at most leave no version`;
  const served = VERSIONS.filter((version) => version >= minVersion && version <= maxVersion);
  if (served.some((version) => suites.some((suite) => versionOf(suite) === version))) return undefined;
  return `none of the cipher suites is for TLS ${served.join(' or ')}; those are ${SUITES.filter((suite) => served.includes(versionOf(suite))).join(', ')}`;
}

function versionOf(suite: string): TlsVersion {
  return suite.startsWith('TLS_') ? '1.3' : '1.2';
}

/** Options for `tls.createSecureContext`, to which key and certificate are added. */
export function contextOptionsOf({ minVersion, maxVersion, suites }: TlsParameters): Readonly<SecureContextOptions> {
  return { minVersion: `TLSv${minVersion}`, maxVersion: `TLSv${maxVersion}`, ciphers: suites.join(':'), honorCipherOrder: true };
}

/** Those of `TLS_PARAMETERS`. */
export const secureContextOptions = contextOptionsOf(TLS_PARAMETERS);

/** Bytes of a set of ticket keys: name, HMAC key and AES key of 16 each. */
export const TICKET_KEYS_LENGTH = 48;

/** Throws a RangeError unless `keys` has 48 bytes. */
export function checkTicketKeys(keys: Buffer): Buffer {
  if (keys.length !== TICKET_KEYS_LENGTH) throw new RangeError(`TLS ticket keys have ${keys.length} bytes, must have ${TICKET_KEYS_LENGTH}`);
  return Buffer.from(keys);
}

/** As `SecureContextOptions.sessionIdContext`, of which OpenSSL takes 32 bytes at most; it resumes no session of another one. */
export function sessionIdContextOf(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 32);
}

/** The same in all workers. */
function derivedKeys(keys: Buffer, id: string): Buffer {
  return createHmac('sha512', keys).update(id).digest().subarray(0, TICKET_KEYS_LENGTH);
}

interface TicketKeyHolder {
  setTicketKeys?(keys: Buffer): void;
}

/**
 * The ticket keys of one listener, given to each context when it is first used and again after they have changed.
 * `SecureContext.context` is the object behind a context; where it does not take keys, resumption works within one
 * context only.
 */
export class TicketKeys {
  private keys: Buffer;
  private readonly applied = new WeakMap<SecureContext, Buffer>();

  constructor(keys: Buffer) {
    this.keys = checkTicketKeys(keys);
  }

  set(keys: Buffer): void {
    this.keys = checkTicketKeys(keys);
  }

  /** @param id of a `HandshakeStart`, whose tickets nobody else takes */
  apply(context: SecureContext, id = ''): void {
    if (this.applied.get(context) === this.keys) return;
    const holder = context.context as TicketKeyHolder;
    holder.setTicketKeys?.(id === '' ? this.keys : derivedKeys(this.keys, id));
    this.applied.set(context, this.keys);
  }
}
