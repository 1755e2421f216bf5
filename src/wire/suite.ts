/** One suite for every implementation of sockets: what holds of one holds of all. */
import { after, describe } from 'node:test';
import { createWire, type WireMode } from './index.ts';
import { clientCertificatesSuite } from './suite/client-certificates.ts';
import { closingSuite } from './suite/closing.ts';
import { commotionSuite } from './suite/commotion.ts';
import { connectingSuite } from './suite/connecting.ts';
import { connectingTlsSuite } from './suite/connecting-tls.ts';
import { listeningSuite } from './suite/listening.ts';
import { finishAll } from './suite/peers.ts';
import { prefaceSuite } from './suite/preface.ts';
import { tlsSuite } from './suite/tls.ts';
import { transferSuite } from './suite/transfer.ts';

export function wireSuite(mode: WireMode): void {
  const make = () => createWire(mode);
  describe(`${mode} sockets`, () => {
    after(finishAll);
    describe('outgoing', () => connectingSuite(make));
    describe('outgoing TLS', () => connectingTlsSuite(make));
    for (const secure of [false, true]) {
      describe(secure ? 'TLS' : 'plain', () => {
        describe('listening', () => listeningSuite(make, mode, secure));
        describe('transfer', () => transferSuite(make, secure));
        describe('closing', () => closingSuite(make, secure));
        describe('commotion', () => commotionSuite(make, secure));
        describe('preface', () => prefaceSuite(make, secure));
      });
    }
    describe('handshakes', () => tlsSuite(make));
    describe('client certificates', () => clientCertificatesSuite(make));
  });
}
