import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import type { HostPattern } from '../../snapshot/match.ts';
import { type Connection, createWire, type WireListener } from '../../wire/index.ts';
import type { KeyPair } from './certificate-material.ts';
import { CertificateStore, type CertificatesSnapshot } from './certificate-store.ts';
import { createSelfSigned, makeSelfSigned } from './self-signed.ts';

function pair(id: string, keyType: 'ECDSA' | 'RSA' = 'ECDSA'): KeyPair {
  const now = Date.now();
  const { chain, key } = createSelfSigned({ names: [id], keyType, notBefore: new Date(now - 60_000), notAfter: new Date(now + 3_600_000) });
  return { id, chain, key };
}

const exact = (value: string): HostPattern => ({ type: 'Exact', value });
const suffix = (value: string): HostPattern => ({ type: 'Suffix', value });
const oneLabel = (value: string): HostPattern => ({ type: 'OneLabel', value });

/** Those that this Node offers; whether it should is for the wire's own tests. */
const wires: ('stream' | 'handle')[] = ['stream'];
await createWire('handle').then(
  () => wires.push('handle'),
  () => {},
);

const selfSigned = makeSelfSigned();
const a = pair('a');
const b = pair('b');
const rsa = pair('rsa', 'RSA');
/** A key that is not the certificate's. */
const mismatched: KeyPair = { id: 'a', chain: a.chain, key: b.key };

function make() {
  const logged: Readonly<Record<string, unknown>>[] = [];
  const store = new CertificateStore(selfSigned, (level, message, fields) => logged.push({ level, message, ...fields }));
  const apply = (certificates: readonly KeyPair[], names: readonly (readonly [HostPattern, ...string[]])[], defaultCertificate?: string) => {
    const snapshot: CertificatesSnapshot = {
      certificates,
      serverNames: names.map(([host, ...ids]) => ({ host, certificates: ids })),
      defaultCertificate,
    };
    store.apply(structuredClone(snapshot));
  };
  return { store, apply, logged };
}

/** A listener that serves a store's contexts; what it answers is one byte. */
async function serve(mode: 'stream' | 'handle', store: CertificateStore, ticketKeys: Buffer): Promise<WireListener> {
  const wire = await createWire(mode);
  return wire.listen(
    {
      host: '127.0.0.1',
      port: 0,
      reusePort: false,
      maxConnections: 100,
      tls: { secureContext: (name, offer) => store.secureContext(name, offer), ticketKeys, handshakeTimeout: 10_000, alpnProtocols: ['http/1.1'] },
    },
    (connection: Connection) => {
      connection.handler = {
        onData: () => connection.writeLatin1('!'),
        onEnd: () => connection.end(),
        onDrain: () => {},
        onClose: () => {},
      };
    },
  );
}

/** One handshake and one byte each way; the certificate's common name is its id. */
async function meet(port: number, servername: string, options: tls.ConnectionOptions = {}) {
  let session: Buffer | undefined;
  const socket = tls.connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false, ...options });
  socket.on('session', (ticket) => {
    session = ticket;
  });
  await once(socket, 'secureConnect');
  socket.write('?');
  await once(socket, 'data');
  const met = {
    id: String(socket.getPeerCertificate().subject?.CN),
    reused: socket.isSessionReused(),
    protocol: socket.getProtocol(),
    cipher: socket.getCipher().name,
  };
  socket.destroy();
  await once(socket, 'close');
  return { ...met, session };
}

describe('certificate store', () => {
  describe('chooses the context', () => {
    const { store, apply } = make();
    apply(
      [a, b, rsa],
      [
        [exact('shop.example.com'), 'a'],
        [suffix('example.com'), 'b'],
        [oneLabel('deep.example.com'), 'rsa'],
        [suffix('deep.example.com'), 'a'],
      ],
    );
    const at = (name: string) => store.secureContext(name);
    const [ofA, ofB, ofRsa, ofNobody] = [at('shop.example.com'), at('x.example.com'), at('x.deep.example.com'), at('')];

    it('by the exact name, without regard to case or a dot at the end', () => {
      assert.equal(new Set([ofA, ofB, ofRsa, ofNobody]).size, 4);
      for (const name of ['shop.example.com', 'SHOP.Example.COM', 'shop.example.com.']) assert.equal(at(name), ofA);
    });

    it('by the longest wildcard, of one label or of any number', () => {
      assert.equal(at('x.y.example.com'), ofB);
      assert.equal(at('x.shop.example.com'), ofB);
      assert.equal(at('deep.example.com'), ofB);
      assert.equal(at('x.y.deep.example.com'), ofA);
    });

    it('by default, for names that no wildcard covers and for none', () => {
      for (const name of ['example.com', 'com', 'xexample.com', 'example.org', '', '.', '..', 'example.com.evil', '__proto__'])
        assert.equal(at(name), ofNobody, name);
    });

    it('of a host without name for every name, if there is one', () => {
      const all = make();
      all.apply(
        [a, b],
        [
          [{ type: 'Any' }, 'a'],
          [exact('b.test'), 'b'],
        ],
        'b',
      );
      assert.equal(all.store.secureContext('whatever.test'), all.store.secureContext('else.test'));
      assert.notEqual(all.store.secureContext('whatever.test'), all.store.secureContext('b.test'));
    });
  });

  it('shares one context between names with the same certificates', () => {
    const { store, apply } = make();
    apply(
      [a],
      [
        [exact('one.test'), 'a'],
        [exact('two.test'), 'a'],
      ],
      'a',
    );
    assert.equal(store.secureContext('one.test'), store.secureContext('two.test'));
    assert.equal(store.secureContext('one.test'), store.secureContext('unknown.test'));
  });

  it('keeps the contexts of unchanged certificates through a reload', () => {
    const { store, apply } = make();
    apply(
      [a, b],
      [
        [exact('a.test'), 'a'],
        [exact('b.test'), 'b'],
      ],
    );
    const [ofA, ofB] = [store.secureContext('a.test'), store.secureContext('b.test')];
    apply(
      [{ ...pair('new'), id: 'a' }, b],
      [
        [exact('a.test'), 'a'],
        [suffix('b.test'), 'b'],
        [exact('b.test'), 'b'],
      ],
    );
    assert.notEqual(store.secureContext('a.test'), ofA);
    assert.equal(store.secureContext('b.test'), ofB);
    assert.equal(store.secureContext('x.b.test'), ofB);
  });

  it('forgets names that are gone', () => {
    const { store, apply } = make();
    apply([a], [[exact('a.test'), 'a']], 'a');
    apply([a], []);
    assert.equal(store.secureContext('a.test'), store.secureContext(''));
    apply([a, b], [[exact('b.test'), 'b']]);
    assert.notEqual(store.secureContext('b.test'), store.secureContext('a.test'));
  });

  describe('with a certificate that can not be used', () => {
    it('keeps the last good one, and reports once', () => {
      const { store, apply, logged } = make();
      apply(
        [a],
        [
          [exact('a.test'), 'a'],
          [suffix('a.test'), 'a'],
        ],
      );
      const good = store.secureContext('a.test');
      for (let reload = 0; reload < 3; reload++)
        apply(
          [mismatched, b],
          [
            [exact('a.test'), 'a'],
            [suffix('a.test'), 'a'],
          ],
        );
      assert.equal(store.secureContext('a.test'), good);
      assert.equal(store.secureContext('x.a.test'), good);
      assert.equal(logged.length, 1);
      assert.deepEqual([logged[0]?.level, logged[0]?.message, logged[0]?.certificates], ['warn', 'certificate can not be used', 'a']);
      assert.match(String(logged[0]?.error), /key values mismatch/);
    });

    it('keeps the last good one that nobody has asked for yet, through several bad ones', () => {
      const { store, apply, logged } = make();
      apply([a], [[exact('a.test'), 'a']]);
      apply([mismatched], [[exact('a.test'), 'a']]);
      apply([{ id: 'a', chain: 'no PEM', key: a.key }], [[exact('a.test'), 'a']]);
      apply([], [[exact('a.test'), 'a']]);
      assert.notEqual(store.secureContext('a.test'), store.secureContext(''));
      assert.equal(logged.length, 2);
      apply([b], [[exact('a.test'), 'b']]);
      apply(
        [b],
        [
          [exact('a.test'), 'b'],
          [exact('b.test'), 'b'],
        ],
      );
      assert.equal(store.secureContext('a.test'), store.secureContext('b.test'));
    });

    it('serves the default one where there never was a good one', () => {
      const { store, apply, logged } = make();
      apply(
        [mismatched, b],
        [
          [exact('a.test'), 'a'],
          [exact('b.test'), 'b'],
          [exact('c.test'), 'missing'],
        ],
        'b',
      );
      assert.equal(store.secureContext('a.test'), store.secureContext('b.test'));
      assert.equal(store.secureContext('c.test'), store.secureContext('b.test'));
      store.secureContext('a.test');
      assert.equal(logged.length, 1);
    });

    it('serves the self-signed one where the default one is bad, the last good default one where there was one', () => {
      const { store, apply } = make();
      const own = store.secureContext('');
      apply([mismatched], [], 'a');
      assert.equal(store.secureContext(''), own);
      apply([b], [], 'b');
      const good = store.secureContext('');
      assert.notEqual(good, own);
      apply([mismatched], [], 'a');
      assert.equal(store.secureContext(''), good);
      apply([], []);
      assert.equal(store.secureContext(''), own);
    });
  });

  it('refuses a self-signed certificate that is none', () => {
    assert.throws(() => new CertificateStore({ id: 'x', chain: a.chain, key: b.key }, () => {}), /key values mismatch/);
  });

  for (const mode of wires)
    describe(`on a listener of the ${mode} wire`, () => {
      const ticketKeys = randomBytes(48);
      const { store, apply } = make();
      const other = make();
      let listener: WireListener;
      let otherListener: WireListener;
      before(async () => {
        const names = [
          [exact('a.test'), 'a'],
          [exact('both.test'), 'rsa', 'b'],
          [suffix('rsa.test'), 'rsa'],
        ] as const;
        apply([a, b, rsa], names);
        other.apply([a, b, rsa], names);
        listener = await serve(mode, store, ticketKeys);
        otherListener = await serve(mode, other.store, ticketKeys);
      });
      after(async () => {
        await listener.close();
        await otherListener.close();
      });

      it('serves by server name', async () => {
        assert.equal((await meet(listener.port, 'a.test')).id, 'a');
        assert.equal((await meet(listener.port, 'x.y.rsa.test')).id, 'rsa');
        assert.equal((await meet(listener.port, 'unknown.test')).id, 'tidegate.invalid');
        assert.equal((await meet(listener.port, '')).id, 'tidegate.invalid');
      });

      it('serves ECDSA to who takes nothing else and RSA to who takes nothing else, by one name', async () => {
        for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
          assert.equal((await meet(listener.port, 'both.test', { maxVersion, sigalgs: 'ecdsa_secp256r1_sha256' })).id, 'b');
          assert.equal((await meet(listener.port, 'both.test', { maxVersion, sigalgs: 'rsa_pss_rsae_sha256' })).id, 'rsa');
        }
      });

      it('prefers ECDSA with TLS 1.3, and RSA with TLS 1.2, whose suites could rule ECDSA out', async () => {
        assert.equal((await meet(listener.port, 'both.test')).id, 'b');
        assert.equal((await meet(listener.port, 'both.test', { sigalgs: 'rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256' })).id, 'b');
        assert.equal((await meet(listener.port, 'both.test', { maxVersion: 'TLSv1.2' })).id, 'rsa');
        assert.equal((await meet(listener.port, 'both.test', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES256-GCM-SHA384' })).id, 'rsa');
      });

      it('has the certificate for a client that sends no name, too', async () => {
        const dual = make();
        dual.apply([rsa, b], [[{ type: 'Any' }, 'rsa', 'b']]);
        const nameless = await serve(mode, dual.store, ticketKeys);
        assert.equal((await meet(nameless.port, '')).id, 'b');
        assert.equal((await meet(nameless.port, '', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES256-GCM-SHA384' })).id, 'rsa');
        assert.equal((await meet(nameless.port, '', { sigalgs: 'rsa_pss_rsae_sha256' })).id, 'rsa');
        await nameless.close();
      });

      it('takes TLS 1.2 with ECDHE and AEAD, and TLS 1.3, nothing else', async () => {
        const old = await meet(listener.port, 'a.test', { maxVersion: 'TLSv1.2' });
        assert.deepEqual([old.protocol, old.cipher], ['TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256']);
        assert.equal((await meet(listener.port, 'a.test')).protocol, 'TLSv1.3');
        for (const options of [
          { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' },
          { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256' },
          { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
        ] as const) {
          await assert.rejects(meet(listener.port, 'both.test', options), /alert|EPROTO|reset/i);
        }
      });

      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        it(`resumes a ${maxVersion} session in another worker, also after a reload that made all contexts new`, async () => {
          const first = await meet(listener.port, 'a.test', { maxVersion });
          assert.deepEqual([first.id, first.reused], ['a', false]);
          const session = first.session as Buffer;
          const second = await meet(otherListener.port, 'a.test', { maxVersion, session });
          assert.equal(second.reused, true);
          other.apply([{ ...pair('renewed'), id: 'a' }, b, rsa], [[exact('a.test'), 'a']]);
          const third = await meet(otherListener.port, 'a.test', { maxVersion, session: second.session ?? session });
          assert.equal(third.reused, true);
          assert.equal((await meet(otherListener.port, 'a.test', { maxVersion })).id, 'renewed');
        });
      }

      it('keeps open connections through a rotation, and serves the new certificate from then on', async () => {
        const socket = tls.connect({ host: '127.0.0.1', port: listener.port, servername: 'a.test', rejectUnauthorized: false });
        await once(socket, 'secureConnect');
        apply([{ ...pair('rotated'), id: 'a' }, b, rsa], [[exact('a.test'), 'a']]);
        assert.equal((await meet(listener.port, 'a.test')).id, 'rotated');
        socket.write('?');
        assert.equal(String((await once(socket, 'data'))[0]), '!');
        socket.destroy();
        await once(socket, 'close');
      });
    });
});
