import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { createSelfSigned, makeSelfSigned } from './self-signed.ts';

describe('self-signed certificate', () => {
  for (const [keyType, expected] of [
    ['ECDSA', 'ec'],
    ['RSA', 'rsa'],
  ] as const) {
    it(`is one that OpenSSL reads and verifies, with an ${keyType} key`, () => {
      const notBefore = new Date('2026-01-02T03:04:05Z');
      const notAfter = new Date('2051-06-07T08:09:10Z');
      const made = createSelfSigned({ names: ['shop.example.com', '*.shop.example.com', '192.0.2.7'], keyType, notBefore, notAfter });
      const certificate = new X509Certificate(made.chain);
      assert.ok(certificate.verify(certificate.publicKey));
      assert.ok(certificate.checkPrivateKey(createPrivateKey(made.key)));
      assert.equal(certificate.publicKey.asymmetricKeyType, expected);
      assert.ok(certificate.checkIssued(certificate));
      assert.equal(certificate.ca, false);
      assert.equal(certificate.subject, 'CN=shop.example.com');
      assert.equal(certificate.checkHost('shop.example.com'), 'shop.example.com');
      assert.equal(certificate.checkHost('a.shop.example.com'), '*.shop.example.com');
      assert.equal(certificate.checkHost('other.example.com'), undefined);
      assert.equal(certificate.checkIP('192.0.2.7'), '192.0.2.7');
      assert.deepEqual([certificate.validFromDate, certificate.validToDate], [notBefore, notAfter]);
      assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1']);
    });
  }

  it('is trusted by who is told to trust it', async () => {
    const now = Date.now();
    const made = createSelfSigned({ names: ['shop.example.com'], keyType: 'ECDSA', notBefore: new Date(now - 60_000), notAfter: new Date(now + 60_000) });
    const server = tls.createServer({ cert: made.chain, key: made.key }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const socket = tls.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, servername: 'shop.example.com', ca: made.chain });
    await once(socket, 'secureConnect');
    assert.ok(socket.authorized);
    socket.destroy();
    server.close();
    await once(server, 'close');
  });

  it('is for no name that anybody has, valid now, and new each time', () => {
    const [one, other] = [makeSelfSigned(), makeSelfSigned()];
    const certificate = new X509Certificate(one.chain);
    assert.equal(certificate.checkHost('tidegate.invalid'), 'tidegate.invalid');
    assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
    assert.ok(certificate.validFromDate.getTime() < Date.now() && certificate.validToDate.getTime() > Date.now());
    assert.notEqual(certificate.serialNumber, new X509Certificate(other.chain).serialNumber);
    assert.notEqual(one.key, other.key);
  });
});
