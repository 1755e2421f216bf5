import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';
import * as der from './der.ts';

export interface SelfSigned {
  readonly id: string;
  /** PEM. */
  readonly chain: string;
  /** PEM, PKCS #8. */
  readonly key: string;
}

export interface SelfSignedOptions {
  /** Names and IPv4 addresses that it is for; the first is also its common name. At least one. */
  readonly names: readonly string[];
  readonly keyType: 'ECDSA' | 'RSA';
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** A name that can't exist (RFC 6761 section 6.4): nobody shall take this certificate for somebody's. */
const NO_NAME = 'tidegate.invalid';
const DAY = 86_400_000;
/** Long enough for any process; nobody trusts it anyway, and some clients refuse to go on where it has expired. */
const LIFETIME = 3650 * DAY;

/**
 * The certificate for unknown names where no Secret is meant for them. Made once, by the main thread, so that all workers
 * show the same one.
 */
export function makeSelfSigned(): SelfSigned {
  const now = Date.now();
  // A client whose clock is slow shall not find it not yet valid.
  return createSelfSigned({ names: [NO_NAME], keyType: 'ECDSA', notBefore: new Date(now - DAY), notAfter: new Date(now + LIFETIME) });
}

/** A certificate (RFC 5280) signed by its own key: ECDSA on P-256, or RSA with 2048 bits. */
export function createSelfSigned({ names, keyType, notBefore, notAfter }: SelfSignedOptions): SelfSigned {
  const { publicKey, privateKey } =
    keyType === 'ECDSA' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 });
  const publicInfo = publicKey.export({ type: 'spki', format: 'der' });
  const algorithm = keyType === 'ECDSA' ? ECDSA_WITH_SHA256 : RSA_WITH_SHA256;
  const name = der.sequence(der.setOf(der.sequence(der.objectIdentifier('2.5.4.3'), der.utf8String(names[0] ?? NO_NAME))));
  const toBeSigned = der.sequence(
    der.explicit(0, der.unsignedInteger(Buffer.from([2]))),
    der.unsignedInteger(randomBytes(16)),
    algorithm,
    name,
    der.sequence(der.time(notBefore), der.time(notAfter)),
    name,
    publicInfo,
    der.explicit(3, der.sequence(...extensions(names, publicInfo))),
  );
  const certificate = der.sequence(toBeSigned, algorithm, der.bitString(sign('sha256', toBeSigned, privateKey)));
  return { id: 'self-signed', chain: pem(certificate), key: exportKey(privateKey) };
}

/** RFC 5758 section 3.2: without parameters. */
const ECDSA_WITH_SHA256 = der.sequence(der.objectIdentifier('1.2.840.10045.4.3.2'));
/** RFC 4055 section 5: with NULL as parameters. */
const RSA_WITH_SHA256 = der.sequence(der.objectIdentifier('1.2.840.113549.1.1.11'), Buffer.from([0x05, 0x00]));

function extensions(names: readonly string[], publicInfo: Buffer): Buffer[] {
  return [
    extension('2.5.29.17', false, der.sequence(...names.map(generalName))),
    extension('2.5.29.37', false, der.sequence(der.objectIdentifier('1.3.6.1.5.5.7.3.1'))),
    // No certificate authority: an empty sequence stands for the default.
    extension('2.5.29.19', true, der.sequence()),
    extension('2.5.29.14', false, der.octetString(createHash('sha256').update(publicInfo).digest().subarray(0, 20))),
  ];
}

function extension(identifier: string, critical: boolean, value: Buffer): Buffer {
  const parts = critical ? [der.objectIdentifier(identifier), der.bool(true)] : [der.objectIdentifier(identifier)];
  return der.sequence(...parts, der.octetString(value));
}

/** RFC 5280 section 4.2.1.6: dNSName or iPAddress. */
function generalName(name: string): Buffer {
  return isIP(name) === 4 ? der.implicit(7, Buffer.from(name.split('.').map(Number))) : der.implicit(2, Buffer.from(name, 'latin1'));
}

function pem(certificate: Buffer): string {
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function exportKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string;
}
