/** Handshakes in which the client is asked for a certificate. */
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { before, it } from 'node:test';
import tls from 'node:tls';
import { Authority, type IssuedCertificate, selfSigned } from '../../../test/certificates/authority.ts';
import type { ClientCertificate } from '../client-certificate.ts';
import { secureContextOptions, sessionIdContextOf } from '../secure-context.ts';
import type { HandshakeStart, Preface, Wire } from '../wire.ts';
import { finish, type Make, Recorder, readAll, type Served, serve, serverTls, until } from './peers.ts';

const DAY = 86_400_000;

class Greeter extends Recorder {
  override onData(): void {
    this.connection.writeLatin1('hello');
    this.connection.end();
  }
}

/** Begins every handshake as `start` says. */
function starting(start: () => HandshakeStart | undefined): Preface {
  return { timeout: 10_000, begin: () => ({ read: () => ({ skip: 0, handshake: start() }), abandoned() {} }) };
}

export function clientCertificatesSuite(make: Make): void {
  let wire: Wire;
  const authority = new Authority('Client Root');
  const server = authority.issue({ names: ['server.test'] });
  const good = authority.issue({ names: ['client.test'], subject: 'client' });

  before(async () => {
    wire = await make();
  });

  function startOf(id: string, authorities: readonly string[], revocationLists: readonly string[] = []): HandshakeStart {
    const secureContext = tls.createSecureContext({
      ...secureContextOptions,
      cert: server.cert,
      key: server.key,
      ca: [...authorities],
      ...(revocationLists.length === 0 ? {} : { crl: [...revocationLists] }),
      sessionIdContext: sessionIdContextOf(id),
    });
    return { id, secureContext };
  }

  function serving(start: () => HandshakeStart | undefined, ticketKeys = Buffer.alloc(48, 7)): Promise<Served> {
    return serve(wire, serverTls({ ticketKeys }), () => new Greeter(), { preface: starting(start) });
  }

  interface Visit {
    readonly session: Buffer | undefined;
    readonly resumed: boolean;
    readonly certificate: ClientCertificate | undefined;
  }

  async function visit(served: Served, certificate: IssuedCertificate | undefined, options: tls.ConnectionOptions = {}): Promise<Visit> {
    const count = served.accepted.length;
    let session: Buffer | undefined;
    const socket = tls.connect({
      host: '127.0.0.1',
      port: served.listener.port,
      servername: 'server.test',
      ca: authority.cert,
      rejectUnauthorized: false,
      ...(certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key }),
      ...options,
    });
    socket.on('session', (ticket) => {
      session = ticket;
    });
    await once(socket, 'secureConnect');
    const resumed = socket.isSessionReused();
    socket.write('x');
    assert.equal(String(await readAll(socket)), 'hello');
    socket.destroy();
    await until(() => served.accepted.length > count, 'accepted');
    const { tls: info } = served.accepted[count]!.connection;
    assert.equal(info?.resumed, resumed);
    return { session, resumed, certificate: info?.clientCertificate };
  }

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`tells whose certificate it is, with ${maxVersion}`, async () => {
      const served = await serving(() => startOf('one', [authority.cert]));
      const { certificate } = await visit(served, good, { maxVersion });
      const expected = new X509Certificate(good.cert);
      assert.equal(certificate?.validation, 'one');
      assert.equal(certificate.failure, undefined);
      assert.equal(certificate.isShown, true);
      assert.equal(certificate.subject, 'CN=client');
      assert.equal(certificate.subjectAltName, 'DNS:client.test');
      assert.equal(certificate.fingerprint, createHash('sha256').update(expected.raw).digest('hex'));
      assert.equal(certificate.der, expected.raw.toString('base64'));
      assert.equal(certificate.isGood(Date.now()), true);
      assert.equal(certificate.isGood(expected.validToDate.getTime()), false);
      await finish(served);
    });

    it(`tells what is wrong with it, and lets it connect, with ${maxVersion}`, async () => {
      const intermediate = new Authority('Intermediate', authority);
      const served = await serving(() => startOf('one', [authority.cert]));
      const past = { notBefore: new Date(Date.now() - 9 * DAY), notAfter: new Date(Date.now() - DAY) };
      const cases: readonly (readonly [certificate: IssuedCertificate | undefined, failure: RegExp | undefined])[] = [
        [undefined, /^NO_CERTIFICATE$/],
        [authority.issue({ subject: 'late', ...past }), /^CERT_HAS_EXPIRED$/],
        [new Authority('Unknown Root').issue({ subject: 'stranger' }), /^UNABLE_TO_/],
        [selfSigned('self.test'), /SELF_SIGNED|UNABLE_TO_/],
        [intermediate.issue({ subject: 'deep' }), undefined],
      ];
      for (const [certificate, failure] of cases) {
        const { certificate: told } = await visit(served, certificate, { maxVersion });
        if (failure === undefined) assert.equal(told?.failure, undefined);
        else assert.match(told?.failure ?? '', failure);
        assert.equal(told?.isGood(Date.now()), failure === undefined);
        assert.equal(told?.isShown, certificate !== undefined);
      }
      await finish(served);
    });

    it(`knows what has been revoked, with ${maxVersion}`, async () => {
      const revoked = authority.issue({ subject: 'revoked' });
      const served = await serving(() => startOf('one', [authority.cert], [authority.revocationList([revoked])]));
      assert.equal((await visit(served, revoked, { maxVersion })).certificate?.failure, 'CERT_REVOKED');
      assert.equal((await visit(served, good, { maxVersion })).certificate?.failure, undefined);
      await finish(served);
    });

    it(`resumes a session with its identity, under the same trust alone, with ${maxVersion}`, async () => {
      let start: HandshakeStart | undefined = startOf('one', [authority.cert]);
      const keys = Buffer.alloc(48, 'k');
      const served = await serving(() => start, keys);
      const first = await visit(served, good, { maxVersion });
      assert.ok(first.session !== undefined);
      // Another context of the same trust, as another worker has it.
      start = startOf('one', [authority.cert]);
      const second = await visit(served, good, { maxVersion, session: first.session });
      assert.equal(second.resumed, true);
      assert.equal(second.certificate?.subject, 'CN=client');
      assert.equal(second.certificate?.failure, undefined);
      const session = second.session ?? first.session;
      // Another trust, and none at all: a full handshake.
      start = startOf('two', [new Authority('Another').cert]);
      const other = await visit(served, good, { maxVersion, session });
      assert.equal(other.resumed, false);
      assert.notEqual(other.certificate?.failure, undefined);
      start = undefined;
      const without = await visit(served, good, { maxVersion, session });
      assert.equal(without.resumed, false);
      assert.equal(without.certificate, undefined);
      // Nor the other way round.
      assert.ok(without.session !== undefined);
      start = startOf('one', [authority.cert]);
      const back = await visit(served, undefined, { maxVersion, session: without.session });
      assert.equal(back.resumed, false);
      assert.equal(back.certificate?.isShown, false);
      // Who had shown none stays without one.
      const nameless = await visit(served, undefined, { maxVersion, ...(back.session === undefined ? {} : { session: back.session }) });
      assert.equal(nameless.certificate?.isShown, false);
      assert.equal(nameless.certificate?.isGood(Date.now()), false);
      served.listener.setTicketKeys(Buffer.alloc(48, 'n'));
      assert.equal((await visit(served, good, { maxVersion, session })).resumed, false);
      await finish(served);
    });
  }
}
