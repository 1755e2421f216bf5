/** Certificate authorities for tests: certificates that are good, or bad in one respect, and revocation lists (RFC 5280). */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';
import * as der from '../../src/proxy/tls/der.ts';

export interface IssuedCertificate {
  /** PEM, leaf first, with the intermediates that lead to the root, without the root. */
  readonly cert: string;
  /** PEM, PKCS #8. */
  readonly key: string;
  /** For `revoke`. */
  readonly serial: Buffer;
}

export interface Wish {
  /** DNS names and IPv4 addresses that it is for. */
  readonly names?: readonly string[];
  /** Common name; absent: the first of `names`. */
  readonly subject?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

const DAY = 86_400_000;
const ALGORITHM = der.sequence(der.objectIdentifier('1.2.840.10045.4.3.2'));

function commonName(text: string): Buffer {
  return der.sequence(der.setOf(der.sequence(der.objectIdentifier('2.5.4.3'), der.utf8String(text))));
}

function extension(identifier: string, critical: boolean, value: Buffer): Buffer {
  return der.sequence(der.objectIdentifier(identifier), ...(critical ? [der.bool(true)] : []), der.octetString(value));
}

function pem(label: string, bytes: Buffer): string {
  return `-----BEGIN ${label}-----\n${(bytes.toString('base64').match(/.{1,64}/g) ?? []).join('\n')}\n-----END ${label}-----\n`;
}

function keyIdentifier(publicInfo: Buffer): Buffer {
  return createHash('sha1').update(publicInfo).digest();
}

interface Issuer {
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly publicInfo: Buffer;
  /** Above it, up to the root, which is not in it. */
  readonly chain: string;
}

export class Authority {
  /** PEM. */
  readonly cert: string;
  readonly #self: Issuer;

  /** A root, signed by itself, or an intermediate one of `parent`. */
  constructor(name: string, parent?: Authority, wish: Pick<Wish, 'notBefore' | 'notAfter'> = {}) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const publicInfo = publicKey.export({ type: 'spki', format: 'der' });
    const self = { name, privateKey, publicInfo, chain: '' };
    const issuer = parent === undefined ? self : parent.#self;
    const extensions = [
      extension('2.5.29.19', true, der.sequence(der.bool(true))),
      // keyCertSign and cRLSign
      extension('2.5.29.15', true, Buffer.from([0x03, 0x02, 0x01, 0x06])),
      extension('2.5.29.14', false, der.octetString(keyIdentifier(publicInfo))),
      extension('2.5.29.35', false, der.sequence(der.implicit(0, keyIdentifier(issuer.publicInfo)))),
    ];
    this.cert = pem('CERTIFICATE', makeCertificate(issuer, name, publicInfo, randomBytes(16), extensions, wish));
    this.#self = { ...self, chain: parent === undefined ? '' : this.cert + parent.#self.chain };
  }

  /** A certificate for servers and clients alike. */
  issue(wish: Wish): IssuedCertificate {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const publicInfo = publicKey.export({ type: 'spki', format: 'der' });
    const names = wish.names ?? [];
    const serial = randomBytes(16);
    serial[0] = 0x40;
    const extensions = [
      extension('2.5.29.19', true, der.sequence()),
      extension('2.5.29.37', false, der.sequence(der.objectIdentifier('1.3.6.1.5.5.7.3.1'), der.objectIdentifier('1.3.6.1.5.5.7.3.2'))),
      extension('2.5.29.35', false, der.sequence(der.implicit(0, keyIdentifier(this.#self.publicInfo)))),
      ...(names.length === 0 ? [] : [extension('2.5.29.17', false, der.sequence(...names.map(generalName)))]),
    ];
    const certificate = makeCertificate(this.#self, wish.subject ?? names[0] ?? 'nobody', publicInfo, serial, extensions, wish);
    return { cert: pem('CERTIFICATE', certificate) + this.#self.chain, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, serial };
  }

  /** A revocation list, PEM. */
  revocationList(revoked: readonly IssuedCertificate[], nextUpdate = new Date(Date.now() + DAY)): string {
    const now = new Date(Date.now() - 3_600_000);
    const entries = revoked.map(({ serial }) => der.sequence(der.unsignedInteger(serial), der.time(now)));
    const list = der.sequence(
      der.unsignedInteger(Buffer.from([1])),
      ALGORITHM,
      commonName(this.#self.name),
      der.time(now),
      der.time(nextUpdate),
      ...(entries.length === 0 ? [] : [der.sequence(...entries)]),
      der.explicit(
        0,
        der.sequence(
          extension('2.5.29.35', false, der.sequence(der.implicit(0, keyIdentifier(this.#self.publicInfo)))),
          extension('2.5.29.20', false, der.unsignedInteger(Buffer.from([1]))),
        ),
      ),
    );
    return pem('X509 CRL', der.sequence(list, ALGORITHM, der.bitString(sign('sha256', list, this.#self.privateKey))));
  }
}

/** A certificate that its own key has signed. */
export function selfSigned(name: string): IssuedCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicInfo = publicKey.export({ type: 'spki', format: 'der' });
  const serial = randomBytes(16);
  const issuer = { name, privateKey, publicInfo, chain: '' };
  const certificate = makeCertificate(issuer, name, publicInfo, serial, [extension('2.5.29.17', false, der.sequence(generalName(name)))], {});
  return { cert: pem('CERTIFICATE', certificate), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, serial };
}

function makeCertificate(
  issuer: Pick<Issuer, 'name' | 'privateKey'>,
  subject: string,
  publicInfo: Buffer,
  serial: Buffer,
  extensions: readonly Buffer[],
  { notBefore = new Date(Date.now() - DAY), notAfter = new Date(Date.now() + 30 * DAY) }: Pick<Wish, 'notBefore' | 'notAfter'>,
): Buffer {
  const toBeSigned = der.sequence(
    der.explicit(0, der.unsignedInteger(Buffer.from([2]))),
    der.unsignedInteger(serial),
    ALGORITHM,
    commonName(issuer.name),
    der.sequence(der.time(notBefore), der.time(notAfter)),
    commonName(subject),
    publicInfo,
    der.explicit(3, der.sequence(...extensions)),
  );
  return der.sequence(toBeSigned, ALGORITHM, der.bitString(sign('sha256', toBeSigned, issuer.privateKey)));
}

function generalName(name: string): Buffer {
  return isIP(name) === 4 ? der.implicit(7, Buffer.from(name.split('.').map(Number))) : der.implicit(2, Buffer.from(name, 'latin1'));
}
