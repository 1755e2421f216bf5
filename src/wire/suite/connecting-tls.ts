import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, it } from 'node:test';
import tls from 'node:tls';
import { Authority, type IssuedCertificate, selfSigned } from '../../../test/certificates/authority.ts';
import { secureContextOptions } from '../secure-context.ts';
import { TlsError } from '../tls-error.ts';
import type { ClientTls, SessionSlot, Wire } from '../wire.ts';
import { type Make, Recorder, until } from './peers.ts';

const MIB = 1024 * 1024;
const DAY = 86_400_000;

/** Outgoing connections with TLS. */
export function connectingTlsSuite(make: Make): void {
  let wire: Wire;
  let authority: Authority;
  let good: IssuedCertificate;
  let roots: tls.SecureContext;
  const servers: net.Server[] = [];
  const sockets = new Set<net.Socket>();

  before(async () => {
    wire = await make();
    authority = new Authority('Test Root');
    good = authority.issue({ names: ['backend.test', '127.0.0.1'] });
    roots = tls.createSecureContext({ ...secureContextOptions, ca: authority.cert });
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers) await new Promise((resolve) => server.close(resolve));
  });

  function kept<T extends net.Socket>(socket: T): T {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    return socket;
  }

  /** A TLS server that echoes. */
  async function echo(
    certificate: IssuedCertificate,
    options: tls.TlsOptions = {},
    onSecure: (socket: tls.TLSSocket) => void = () => {},
  ): Promise<{ port: number; seen: tls.TLSSocket[]; bytes: () => number }> {
    const seen: tls.TLSSocket[] = [];
    let bytes = 0;
    const server = tls.createServer({ cert: certificate.cert, key: certificate.key, allowHalfOpen: true, ...options }, (socket) => {
      seen.push(socket);
      onSecure(socket);
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        socket.write(chunk);
      });
      socket.on('end', () => socket.end());
    });
    server.on('connection', kept);
    server.on('secureConnection', kept);
    servers.push(server);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return { port: (server.address() as net.AddressInfo).port, seen, bytes: () => bytes };
  }

  function slot(): SessionSlot {
    return { session: undefined, until: 0 };
  }

  function dialed(port: number, changes: Partial<ClientTls> = {}): Recorder {
    const recorder = new Recorder();
    const client: ClientTls = {
      secureContext: roots,
      serverName: 'backend.test',
      verifyName: 'backend.test',
      alpnProtocols: [],
      requireAlpn: false,
      sessions: slot(),
      ...changes,
    };
    recorder.connection = wire.connect({ host: '127.0.0.1', port, handler: recorder, tls: client });
    assert.deepEqual(recorder.events, [], 'reported from within connect');
    return recorder;
  }

  /** Expects that no connection comes about, and that no byte of what was to be sent has left. */
  async function refused(port: number, failure: string, changes: Partial<ClientTls> = {}): Promise<TlsError> {
    const recorder = dialed(port, changes);
    recorder.connection.writeLatin1('secret');
    await until(() => recorder.closed, 'closed');
    assert.deepEqual(recorder.events, ['close']);
    assert.ok(recorder.error instanceof TlsError, String(recorder.error));
    assert.equal(recorder.error.failure, failure, recorder.error.code);
    return recorder.error;
  }

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`connects by ${version}, tells the server name, exchanges bytes and ends`, async () => {
      const server = await echo(good, { minVersion: version, maxVersion: version });
      const recorder = dialed(server.port);
      await until(() => recorder.events.length > 0, 'connected');
      assert.deepEqual(recorder.events, ['connect']);
      const { connection } = recorder;
      assert.deepEqual(connection.tls, { version, serverName: 'backend.test', resumed: false, alpn: '' });
      await until(() => server.seen.length === 1, 'accepted');
      assert.equal(server.seen[0]?.servername, 'backend.test');
      assert.equal(connection.remoteAddress, '127.0.0.1');
      assert.equal(connection.remotePort, server.port);
      assert.ok(connection.localPort > 0);
      assert.equal(connection.writeHeadAndBytes('he', Buffer.from('--llo--'), 2, 5, false), true);
      await until(() => recorder.length === 5, 'echo');
      assert.equal(recorder.text, 'hello');
      connection.end();
      await until(() => recorder.closed, 'closed');
      assert.deepEqual(recorder.events, ['connect', 'end', 'close']);
      assert.equal(recorder.error, undefined);
    });

    it(`resumes a ${version} session with the same endpoint, and does not once its certificate has expired`, async () => {
      const server = await echo(good, { minVersion: version, maxVersion: version });
      const sessions = slot();
      const visit = async (): Promise<boolean> => {
        const recorder = dialed(server.port, { sessions });
        recorder.connection.writeLatin1('x');
        await until(() => recorder.length === 1 && sessions.session !== undefined, 'echo and a session');
        recorder.connection.end();
        await until(() => recorder.closed, 'closed');
        return recorder.connection.tls?.resumed ?? false;
      };
      assert.equal(await visit(), false);
      assert.ok(sessions.until > Date.now() + 20 * DAY && sessions.until < Date.now() + 40 * DAY);
      assert.equal(await visit(), true);
      assert.equal(await visit(), true);
      sessions.until = Date.now() - 1;
      assert.equal(await visit(), false);
    });
  }

  it('sends no server name where there is none, and verifies an address', async () => {
    const server = await echo(good);
    const recorder = dialed(server.port, { serverName: '', verifyName: '127.0.0.1' });
    await until(() => recorder.events.length > 0, 'connected');
    assert.deepEqual(recorder.events, ['connect']);
    await until(() => server.seen.length === 1, 'accepted');
    assert.ok(!server.seen[0]?.servername);
    recorder.connection.destroy();
    await until(() => recorder.closed, 'closed');
    await refused(server.port, 'name', { serverName: '', verifyName: '127.0.0.2' });
  });

  it('sends in order what was written before the handshake was done, and reports the drain', async () => {
    const server = await echo(good);
    const recorder = dialed(server.port);
    const { connection } = recorder;
    const bytes = Buffer.from('cd');
    assert.equal(connection.writeLatin1('ab'), false);
    assert.equal(connection.write(bytes, 0, 2, false), false);
    bytes.fill('-');
    assert.equal(connection.writeHeadAndBytes('e', Buffer.from('fg'), 0, 2, true), false);
    await until(() => recorder.length === 7 && recorder.drains > 0, 'echo and drain');
    assert.equal(recorder.text, 'abcdefg');
    assert.equal(recorder.events[0], 'connect');
    connection.destroy();
    await until(() => recorder.closed, 'closed');
    assert.equal(recorder.error, undefined);
  });

  for (const way of ['end', 'finish'] as const) {
    it(`closes by ${way} after what was written before the handshake was done`, async () => {
      const server = await echo(good);
      const recorder = dialed(server.port);
      recorder.connection.writeLatin1('all of it');
      recorder.connection[way]();
      await until(() => recorder.closed && server.bytes() === 9, 'closed');
      assert.equal(recorder.events[0], 'connect');
      assert.equal(recorder.error, undefined);
      if (way === 'end') assert.equal(recorder.text, 'all of it');
    });
  }

  for (const way of ['destroy', 'reset'] as const) {
    for (const when of ['at once', 'within the handshake', 'when it is up'] as const) {
      it(`closes without an error on ${way}, ${when}`, async () => {
        let port: number;
        let arrived = () => false;
        if (when === 'within the handshake') {
          const silent: net.Socket[] = [];
          const server = net.createServer((socket) => silent.push(kept(socket)));
          servers.push(server);
          await once(server.listen(0, '127.0.0.1'), 'listening');
          port = (server.address() as net.AddressInfo).port;
          arrived = () => silent.length === 1;
        } else {
          port = (await echo(good)).port;
        }
        const recorder = dialed(port);
        if (when === 'within the handshake') await until(arrived, 'arrived');
        if (when === 'when it is up') await until(() => recorder.events.length > 0, 'connected');
        recorder.connection[way]();
        await until(() => recorder.closed, 'closed');
        assert.deepEqual(recorder.events, when === 'when it is up' ? ['connect', 'close'] : ['close']);
        assert.equal(recorder.error, undefined);
      });
    }
  }

  it('carries megabytes both ways with backpressure', async () => {
    const server = await echo(good);
    const recorder = dialed(server.port);
    await until(() => recorder.events.length > 0, 'connected');
    const bytes = Buffer.alloc(MIB, 'tide');
    recorder.connection.setBulk(true);
    for (let round = 0; round < 4; round++) {
      const drains = recorder.drains;
      if (!recorder.connection.write(bytes, 0, MIB, true)) await until(() => recorder.drains > drains, 'drained');
    }
    await until(() => recorder.length === 4 * MIB, 'echo');
    assert.ok(Buffer.concat(recorder.chunks).equals(Buffer.concat([bytes, bytes, bytes, bytes])));
    recorder.connection.pauseReading();
    recorder.connection.writeLatin1('later');
    await until(() => server.bytes() === 4 * MIB + 5, 'sent');
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(recorder.length, 4 * MIB);
    recorder.connection.resumeReading();
    await until(() => recorder.length === 4 * MIB + 5, 'read');
    recorder.connection.destroy();
    await until(() => recorder.closed, 'closed');
  });

  it('agrees on a protocol by ALPN, and goes without where none is required', async () => {
    const both = await echo(good, { ALPNProtocols: ['h2', 'http/1.1'] });
    const chosen = dialed(both.port, { alpnProtocols: ['h2', 'http/1.1'], requireAlpn: true });
    await until(() => chosen.events.length > 0, 'connected');
    assert.equal(chosen.connection.tls?.alpn, 'h2');
    chosen.connection.destroy();
    const none = await echo(good);
    const without = dialed(none.port, { alpnProtocols: ['http/1.1'] });
    await until(() => without.events.length > 0, 'connected');
    assert.equal(without.connection.tls?.alpn, '');
    without.connection.destroy();
    await until(() => chosen.closed && without.closed, 'closed');
    await refused(none.port, 'alpn', { alpnProtocols: ['h2'], requireAlpn: true });
    await refused(both.port, 'alpn', { alpnProtocols: ['spdy'] });
    assert.equal(none.bytes(), 0);
  });

  const past = { notBefore: new Date(Date.now() - 20 * DAY), notAfter: new Date(Date.now() - DAY) };
  const future = { notBefore: new Date(Date.now() + DAY), notAfter: new Date(Date.now() + 20 * DAY) };
  const bad: readonly (readonly [what: string, failure: string, make: () => IssuedCertificate])[] = [
    ['an expired certificate', 'expired', () => authority.issue({ names: ['backend.test'], ...past })],
    ['one that is not valid yet', 'not_yet_valid', () => authority.issue({ names: ['backend.test'], ...future })],
    ['one for another name', 'name', () => authority.issue({ names: ['other.test'] })],
    ['one that signed itself', 'self_signed', () => selfSigned('backend.test')],
    ['one of an unknown authority', 'untrusted', () => new Authority('Other Root').issue({ names: ['backend.test'] })],
    [
      'one of an intermediate authority that has expired',
      'expired',
      () => new Authority('Old Intermediate', authority, past).issue({ names: ['backend.test'] }),
    ],
  ];
  for (const [what, failure, certificate] of bad) {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      it(`refuses ${what} with ${version}, and sends nothing; takes it where nothing is verified`, async () => {
        const server = await echo(certificate(), { minVersion: version, maxVersion: version });
        await refused(server.port, failure);
        assert.equal(server.bytes(), 0);
        const trusting = dialed(server.port, { verifyName: undefined });
        trusting.connection.writeLatin1('x');
        await until(() => trusting.length === 1, 'echo');
        trusting.connection.destroy();
        await until(() => trusting.closed, 'closed');
      });
    }
  }

  it('takes a certificate of an intermediate authority', async () => {
    const server = await echo(new Authority('Intermediate', authority).issue({ names: ['*.backend.test'] }));
    const recorder = dialed(server.port, { verifyName: 'one.backend.test' });
    await until(() => recorder.events.length > 0, 'connected');
    assert.deepEqual(recorder.events, ['connect']);
    recorder.connection.destroy();
    await until(() => recorder.closed, 'closed');
  });

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`shows its own certificate with ${version}, and says when the server wants one or another one`, async () => {
      const server = await echo(good, { minVersion: version, maxVersion: version, requestCert: true, rejectUnauthorized: true, ca: authority.cert });
      const own = authority.issue({ subject: 'gateway' });
      const withCertificate = tls.createSecureContext({ ...secureContextOptions, ca: authority.cert, cert: own.cert, key: own.key });
      const recorder = dialed(server.port, { secureContext: withCertificate });
      recorder.connection.writeLatin1('x');
      await until(() => recorder.length === 1, 'echo');
      assert.equal(server.seen[0]?.getPeerCertificate().subject.CN, 'gateway');
      recorder.connection.destroy();
      await until(() => recorder.closed, 'closed');
      const foreign = new Authority('Other Root').issue({ subject: 'stranger' });
      const withForeign = tls.createSecureContext({ ...secureContextOptions, ca: authority.cert, cert: foreign.cert, key: foreign.key });
      for (const secureContext of [roots, withForeign]) {
        const refusedOne = dialed(server.port, { secureContext });
        // With TLS 1.3 the server's refusal comes after the client's handshake is done (RFC 8446 section 4.4.2.4).
        await until(() => refusedOne.closed || refusedOne.ended, 'over');
        refusedOne.connection.end();
        await until(() => refusedOne.closed, 'closed');
        // OpenSSL sends an alert where there is none, TLS 1.2 a general one (RFC 5246 section 7.4.6); where it is not to its liking, Node closes by itself.
        const { failure } = (refusedOne.error ?? {}) as Partial<TlsError>;
        if (secureContext === roots) assert.equal(failure, version === 'TLSv1.3' ? 'client_certificate' : 'handshake', String(refusedOne.error));
        assert.equal(refusedOne.length, 0);
      }
      assert.equal(server.bytes(), 1);
    });
  }

  for (const [what, answer, failure] of [
    ['plain HTTP', 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n', /^protocol$/],
    ['zeros', '\0'.repeat(2000), /^protocol$/],
    ['a greeting of another protocol', '220 mail.test ESMTP\r\n', /^protocol$/],
    ['a close', '', /^handshake$/],
  ] as const) {
    it(`says so when the answer to its hello is ${what}`, async () => {
      const server = net.createServer((socket) => {
        kept(socket).once('data', () => socket.end(answer, 'latin1'));
      });
      servers.push(server);
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const recorder = dialed((server.address() as net.AddressInfo).port);
      recorder.connection.writeLatin1('secret');
      await until(() => recorder.closed, 'closed');
      assert.deepEqual(recorder.events, ['close']);
      assert.ok(recorder.error instanceof TlsError, String(recorder.error));
      assert.match(recorder.error.failure, failure, recorder.error.code);
    });
  }

  it('refuses a server with no version in common', async () => {
    const server = await echo(good, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
    await refused(server.port, 'version');
  });

  it('reports what fails below TLS as the system does', async () => {
    const free = net.createServer();
    await once(free.listen(0, '127.0.0.1'), 'listening');
    const { port } = free.address() as net.AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const recorder = dialed(port);
    await until(() => recorder.closed, 'closed');
    assert.deepEqual(recorder.events, ['close']);
    assert.equal(recorder.error?.code, 'ECONNREFUSED');
    const named = new Recorder();
    named.connection = wire.connect({
      host: 'localhost',
      port,
      handler: named,
      tls: { secureContext: roots, serverName: '', verifyName: 'localhost', alpnProtocols: [], requireAlpn: false, sessions: slot() },
    });
    await until(() => named.closed, 'closed');
    assert.equal(named.error?.code, 'ERR_INVALID_IP_ADDRESS');
  });
}
