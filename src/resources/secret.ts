/** Secret: of type kubernetes.io/tls, a certificate chain and its key; of other types, values by key; of any type, certificates of authorities. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { z } from 'zod';
import { Sensitive } from '../snapshot/sensitive.ts';
import { quote } from './fields.ts';
import { namespacedMetadata, unused } from './metadata.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';
import { readTrustAnchors, type TrustAnchors } from './trust-anchors.ts';

export interface TlsPair {
  /** PEM, leaf first, nothing but certificates. */
  readonly chain: string;
  readonly key: Sensitive;
  readonly keyType: 'RSA' | 'ECDSA' | 'Ed25519';
  /** When the leaf expires, in milliseconds since the epoch. */
  readonly notAfter: number;
  readonly notBefore: number;
  /** DNS names of the leaf, in lower case, wildcards among them. */
  readonly dnsNames: readonly string[];
  /** Which of the Secret's fields gave the chain. */
  readonly field: 'data' | 'stringData';
}

/** Either the pair, or what is wrong with it. */
type TlsReading = { readonly pair: TlsPair } | { readonly flaw: Flaw };

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** Go's decoder skips line breaks, so the values may have them; anything else must be strict base64. */
function base64Flaw(value: string): Flaw | undefined {
  const compact = value.replace(/[\r\n]/g, '');
  if (compact.length % 4 === 0 && BASE64.test(compact)) return undefined;
  return { message: 'the value is not base64', hint: 'encode it with base64, or put the plain text into stringData' };
}

const secretValues = z.record(z.string(), z.string());

export const secretSchema = strictObject({
  apiVersion: z.literal('v1'),
  kind: z.literal('Secret'),
  metadata: namespacedMetadata(),
  type: z.string().default('Opaque'),
  data: secretValues.default({}).superRefine(flaws((data) => Object.keys(data).flatMap((key) => at(base64Flaw(data[key] as string), key)))),
  stringData: secretValues.default({}),
  immutable: unused,
}).transform((secret, context) => {
  const { data, stringData } = secret;
  const trust = readTrustAnchors((key) => (Object.hasOwn(stringData, key) || Object.hasOwn(data, key) ? valueOf(key, data, stringData) : undefined));
  const object = {
    apiVersion: secret.apiVersion,
    kind: secret.kind,
    metadata: secret.metadata,
    type: secret.type,
    ...(Object.keys(trust).length === 0 ? {} : { trust }),
  };
  if (secret.type !== 'kubernetes.io/tls') {
    const keys = new Set([...Object.keys(data), ...Object.keys(stringData)]);
    if (keys.size === 0) return object;
    return { ...object, values: Object.fromEntries([...keys].map((key) => [key, new Sensitive(bytesOf(key, data, stringData))])) };
  }
  const reading = readPair(data, stringData);
  if ('pair' in reading) return { ...object, tls: reading.pair };
  flaws(() => reading.flaw)(undefined, context as z.core.$RefinementCtx<unknown>);
  return z.NEVER;
});

export type Secret = Omit<z.output<typeof secretSchema>, 'tls' | 'trust' | 'values'> & {
  readonly tls?: TlsPair;
  readonly trust?: TrustAnchors;
  /** By key: a character for each byte. Absent where there are none, and with type kubernetes.io/tls. */
  readonly values?: Readonly<Record<string, Sensitive>>;
};

function at(flaw: Flaw | undefined, key: string): Flaw[] {
  return flaw === undefined ? [] : [{ ...flaw, path: [key] }];
}

type Values = Readonly<Record<string, string>>;

/** stringData wins over data, as in the API server. */
function valueOf(key: string, data: Values, stringData: Values): string {
  return Object.hasOwn(stringData, key) ? (stringData[key] as string) : Buffer.from(data[key] as string, 'base64').toString('latin1');
}

/** As `valueOf`, in bytes: text is UTF-8, as the API server has it. */
function bytesOf(key: string, data: Values, stringData: Values): string {
  return Object.hasOwn(stringData, key) ? Buffer.from(stringData[key] as string).toString('latin1') : valueOf(key, data, stringData);
}

function readPair(data: Values, stringData: Values): TlsReading {
  for (const key of ['tls.crt', 'tls.key']) {
    if (!Object.hasOwn(stringData, key) && !Object.hasOwn(data, key)) {
      return {
        flaw: { message: `a Secret of type kubernetes.io/tls needs ${quote(key)}`, hint: 'put PEM into data (as base64) or stringData', path: ['data', key] },
      };
    }
  }
  const value = (key: string): string => valueOf(key, data, stringData);
  const fieldOf = (key: string): TlsPair['field'] => (Object.hasOwn(stringData, key) ? 'stringData' : 'data');
  const path = (key: string): readonly string[] => [fieldOf(key), key];

  const blocks = value('tls.crt').match(CERTIFICATE) ?? [];
  if (blocks.length === 0) {
    return { flaw: { message: 'tls.crt holds no PEM certificate', hint: 'it begins with -----BEGIN CERTIFICATE-----', path: path('tls.crt') } };
  }
  const certificates: X509Certificate[] = [];
  for (const [index, block] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      return { flaw: { message: `certificate ${index + 1} in tls.crt cannot be read`, hint: 'write whole PEM blocks, the leaf first', path: path('tls.crt') } };
    }
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(value('tls.key'));
  } catch {
    return {
      flaw: { message: 'tls.key holds no private key that can be read', hint: 'write PEM, not encrypted: -----BEGIN PRIVATE KEY-----', path: path('tls.key') },
    };
  }
  const keyType = KEY_TYPES[key.asymmetricKeyType ?? ''];
  if (keyType === undefined) {
    return {
      flaw: { message: `keys of type ${quote(key.asymmetricKeyType ?? 'unknown')} serve no TLS here`, hint: 'use RSA or ECDSA', path: path('tls.key') },
    };
  }
  const leaf = certificates[0] as X509Certificate;
  if (!leaf.checkPrivateKey(key)) {
    const fitsAnother = certificates.some((certificate) => certificate.checkPrivateKey(key));
    return {
      flaw: {
        message: 'tls.key does not match the certificate in tls.crt',
        hint: fitsAnother ? 'put the leaf certificate first in tls.crt' : 'use the key that the certificate was made with',
        path: path('tls.key'),
      },
    };
  }
  const chain = `${blocks.join('\n')}\n`;
  try {
    // What only the TLS library judges: keys that are too short, curves and signatures that are too weak or unknown.
    createSecureContext({ cert: chain, key: value('tls.key') });
  } catch (error) {
    const reason = (error as { reason?: string }).reason ?? (error as Error).message;
    return {
      flaw: {
        message: `no TLS with this certificate and key: ${reason}`,
        hint: 'use RSA of 2048 bits or more, or ECDSA on P-256 or P-384',
        path: path('tls.crt'),
      },
    };
  }
  return {
    pair: {
      chain,
      key: new Sensitive(value('tls.key')),
      keyType,
      notAfter: leaf.validToDate.getTime(),
      notBefore: leaf.validFromDate.getTime(),
      dnsNames: dnsNames(leaf),
      field: fieldOf('tls.crt'),
    },
  };
}

const KEY_TYPES: Readonly<Record<string, TlsPair['keyType']>> = { rsa: 'RSA', 'rsa-pss': 'RSA', ec: 'ECDSA', ed25519: 'Ed25519' };

function dnsNames(leaf: X509Certificate): string[] {
  const names = [...(leaf.subjectAltName ?? '').matchAll(/DNS:([^,\s"]+)/g)].map((match) => (match[1] as string).toLowerCase());
  return [...new Set(names)];
}
