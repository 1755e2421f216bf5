/** Client certificates on the built program: who is served, what the backend is told, and that no connection or session passes by. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { before, describe, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { Authority, type IssuedCertificate, selfSigned } from '../certificates/authority.ts';
import { answering, Backend } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

const DAY = 86_400_000;
const authority = new Authority('Client Root');
const good = authority.issue({ names: ['client.test'], subject: 'client' });
const revoked = authority.issue({ subject: 'revoked' });
const expired = authority.issue({ subject: 'late', notBefore: new Date(Date.now() - 9 * DAY), notAfter: new Date(Date.now() - DAY) });
const stranger = new Authority('Unknown Root').issue({ subject: 'stranger' });

function configMap(name: string, data: Readonly<Record<string, string>>): string {
  const lines = Object.entries(data).map(([key, text]) => `  ${key}: |\n${text.trim().replace(/^/gm, '    ')}\n`);
  return `---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name} }\ndata:\n${lines.join('')}`;
}

function secret(name: string, text: string): string {
  return `---\napiVersion: v1\nkind: Secret\nmetadata: { name: ${name} }\nstringData:\n  ca.crt: |\n${text.trim().replace(/^/gm, '    ')}\n`;
}

function route(name: string, hosts: string, validation: string | undefined, path = '/', redirect = false): string {
  const tls = validation === undefined ? '' : `  tls: { redirect: ${redirect}, clientValidation: ${validation} }\n`;
  return apiRoute(name, `  hostnames: [${hosts}]\n${tls}  rules: [{ matches: [{ path: { value: ${path} } }], backendRefs: [{ name: web, port: 80 }] }]`);
}

/** Trust of one host alone, with those who are revoked there. */
function ending(gone: readonly IssuedCertificate[]): string {
  return configMap('ending', { 'ca.crt': authority.cert, 'ca.crl': authority.revocationList([...gone]) });
}

let backend: Backend;
let gateway: GatewayUnderTest;

before(async () => {
  backend = await Backend.start(wholeFile, answering('ok'));
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'a-service.yaml': service('web', [backend.port]),
      'b-trust.yaml':
        configMap('ca', { 'ca.crt': authority.cert, 'ca.crl': authority.revocationList([revoked]) }) +
        secret('ca-secret', authority.cert) +
        configMap('none', { 'ca.crt': 'no certificate' }) +
        configMap('stale', { 'ca.crt': authority.cert, 'ca.crl': authority.revocationList([revoked], new Date(Date.now() - 60_000)) }),
      'c-rotating.yaml': configMap('rotating', { 'ca.crt': authority.cert }),
      'c-ending.yaml': ending([]),
      'd-routes.yaml':
        route('strict', 'strict.test', '{ caCertificateRefs: [{ name: ca }], crlRefs: [{ name: ca }] }') +
        route('lenient', 'lenient.test', '{ caCertificateRefs: [{ kind: Secret, name: ca-secret }], mode: Request }') +
        route('redirected', 'redirected.test', '{ caCertificateRefs: [{ name: ca }] }', '/', true) +
        route('rotating', 'rotating.test', '{ caCertificateRefs: [{ name: rotating }] }') +
        route('ending', 'ending.test', '{ caCertificateRefs: [{ name: ending }], crlRefs: [{ name: ending }] }') +
        route('wild', '"*.wild.test"', '{ caCertificateRefs: [{ name: ca }] }') +
        route('open', 'open.wild.test', undefined, '/open') +
        route('plain', 'plain.test', undefined) +
        route('empty', 'empty.test', '{ caCertificateRefs: [{ name: none }] }') +
        route('stale', 'stale.test', '{ caCertificateRefs: [{ name: stale }], crlRefs: [{ name: stale }] }') +
        route('missing', 'missing.test', '{ caCertificateRefs: [{ name: ca }], crlRefs: [{ name: nowhere }] }') +
        route('younger', 'strict.test', '{ caCertificateRefs: [{ name: ca }], mode: Request }', '/younger'),
    },
    ['--workers', '2'],
  );
});

interface Options {
  readonly sni?: string;
  readonly session?: Buffer | undefined;
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3';
}

async function open(sni: string, certificate: IssuedCertificate | undefined, options: Options = {}): Promise<TLSSocket> {
  const socket = connect({
    ...{ host: '127.0.0.1', port: gateway.https, servername: sni, rejectUnauthorized: false },
    ...(certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key }),
    ...(options.session === undefined ? {} : { session: options.session }),
    ...(options.maxVersion === undefined ? {} : { maxVersion: options.maxVersion }),
  });
  endWith(wholeFile, () => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

/** One request on an open connection. @returns its status */
async function ask(socket: TLSSocket, host: string, path: string, fields = ''): Promise<number> {
  let text = '';
  const answered = new Promise<number>((resolve, reject) => {
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      const head = text.indexOf('\r\n\r\n');
      const length = Number(/content-length: *(\d+)/i.exec(text)?.[1] ?? Number.NaN);
      if (head < 0 || text.length < head + 4 + length) return;
      socket.off('data', onData);
      resolve(Number(text.slice(9, 12)));
    };
    socket.on('data', onData);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed without an answer')));
    if (socket.closed) reject(new Error('closed before'));
  });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`);
  return answered;
}

let count = 0;

/** A request on a connection of its own. @returns status and the log's reason */
async function visit(host: string, certificate: IssuedCertificate | undefined, options: Options & { path?: string; fields?: string } = {}): Promise<string> {
  const path = `${options.path ?? ''}/visit-${++count}`;
  const socket = await open(options.sni ?? host, certificate, options);
  const status = await ask(socket, host, path, options.fields);
  socket.destroy();
  const line = await gateway.untilAccess((entry) => entry.path === path);
  assert.equal(line.status, status);
  return `${status} ${line.reason ?? ''}`.trim();
}

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  describe(maxVersion, () => {
    test('Require: a good certificate is served, no other and none', async () => {
      assert.equal(await visit('strict.test', good, { maxVersion }), '200');
      assert.equal(await visit('strict.test', undefined, { maxVersion }), '403 client_certificate_required');
      assert.equal(await visit('strict.test', revoked, { maxVersion }), '403 client_certificate_revoked');
      assert.match(await visit('strict.test', expired, { maxVersion }), /^403 client_certificate_(expired|no_revocation_list)$/);
      assert.match(await visit('strict.test', stranger, { maxVersion }), /^403 client_certificate_(untrusted|no_revocation_list)$/);
      assert.match(await visit('strict.test', selfSigned('self.test'), { maxVersion }), /^403 client_certificate_/);
      assert.equal(await visit('a.wild.test', expired, { maxVersion }), '403 client_certificate_expired');
      assert.equal(await visit('a.wild.test', stranger, { maxVersion }), '403 client_certificate_untrusted');
    });

    test('Request: everybody is served', async () => {
      for (const certificate of [good, expired, stranger, undefined]) assert.equal(await visit('lenient.test', certificate, { maxVersion }), '200');
    });
  });
}

test('the backend is told of a good certificate, and never what a client says of itself', async () => {
  const forged = 'Client-Cert: :Zm9yZ2Vk:\r\nssl-client-verify: SUCCESS\r\nX-Forwarded-Client-Cert: forged\r\nProxy: forged\r\n';
  await visit('strict.test', good, { fields: forged });
  const head = backend.requests.at(-1)?.head ?? '';
  assert.deepEqual(head.match(/^client-cert:.*$/gim), [`Client-Cert: :${new X509Certificate(good.cert).raw.toString('base64')}:`]);
  assert.doesNotMatch(head, /forged|ssl-client|Zm9yZ2Vk/);
  for (const certificate of [stranger, undefined]) {
    await visit('lenient.test', certificate, { fields: forged });
    assert.doesNotMatch(backend.requests.at(-1)?.head ?? '', /client-cert|ssl-client|forged/i);
  }
});

test('hosts beside are asked for nothing', async () => {
  assert.equal(await visit('plain.test', good), '200');
  assert.equal(await visit('plain.test', undefined), '200');
  assert.equal(await visit('open.wild.test', undefined, { path: '/open' }), '200');
});

test('what only the wildcard around it serves is not served on a host that asks for nothing', async () => {
  assert.equal(await visit('open.wild.test', good), '403 client_certificate_other_host');
});

test('plain HTTP redirects where it is told to, and refuses otherwise', async () => {
  const before = backend.requests.length;
  assert.equal((await get(gateway.http, '/', { host: 'redirected.test' })).status, 308);
  assert.equal((await get(gateway.http, '/', { host: 'strict.test' })).status, 403);
  assert.equal((await get(gateway.http, '/', { host: 'lenient.test' })).status, 403);
  assert.equal((await get(gateway.http, '/', { host: 'a.wild.test' })).status, 403);
  assert.equal((await get(gateway.http, '/', { host: 'plain.test' })).status, 200);
  assert.equal(backend.requests.length, before + 1);
});

test('421 where server name and Host disagree, either way', async () => {
  assert.equal(await visit('strict.test', good, { sni: 'plain.test' }), '421 misdirected_request');
  assert.equal(await visit('strict.test', good, { sni: 'lenient.test' }), '421 misdirected_request');
  assert.equal(await visit('plain.test', good, { sni: 'strict.test' }), '421 misdirected_request');
  assert.equal(await visit('strict.test', good, { sni: '' }), '421 misdirected_request');
  // One that is asked for the same serves both.
  assert.equal(await visit('b.wild.test', good, { sni: 'a.wild.test' }), '200');
  assert.equal(await visit('plain.test', undefined, { sni: 'unknown.test' }), '200');
});

test('names are compared as hosts are: letters of either case, the dot of the root', async () => {
  for (const [sni, host] of [
    ['STRICT.test', 'strict.test'],
    ['strict.test.', 'strict.test'],
    ['strict.test', 'Strict.Test'],
    ['strict.test', 'strict.test.'],
    ['strict.test', 'strict.test:8443'],
    ['A.Wild.Test.', 'b.WILD.test'],
  ] as const) {
    assert.equal(await visit(host, good, { sni }), '200', `${sni} and ${host}`);
    assert.match(await visit(host, undefined, { sni }), /^403 client_certificate_required$/, `${sni} and ${host}`);
  }
  for (const sni of ['strict.test..', 'xstrict.test', '127.0.0.1.strict.test']) {
    assert.equal(await visit('strict.test', good, { sni }), '421 misdirected_request', sni);
  }
});

test('without authorities or a revocation list that is up to date nobody is good', async () => {
  for (const certificate of [good, revoked]) assert.equal(await visit('stale.test', certificate), '403 client_certificate_no_revocation_list');
  assert.match(await visit('empty.test', good), /^403 client_certificate_/);
  assert.match(await visit('missing.test', good), /^403 client_certificate_/);
});

test('of two routes that ask otherwise on one host the older counts, and the younger is closed', async () => {
  assert.equal(await visit('strict.test', undefined, { path: '/younger' }), '403 client_certificate_required');
  assert.equal(await visit('strict.test', good, { path: '/younger' }), '403 client_certificate_other_host');
});

/** The session of a connection that was served. */
async function sessionOf(host: string, certificate: IssuedCertificate | undefined): Promise<Buffer> {
  const socket = await open(host, certificate);
  const session = once(socket, 'session') as Promise<[Buffer]>;
  await ask(socket, host, '/session');
  const [ticket] = await session;
  socket.destroy();
  return ticket;
}

test('sessions are resumed on the same host by any worker, and never carry anybody to another one', async () => {
  const own = await sessionOf('strict.test', good);
  for (let round = 0; round < 6; round++) {
    const socket = await open('strict.test', good, { session: own });
    assert.equal(socket.isSessionReused(), true);
    assert.equal(await ask(socket, 'strict.test', '/'), 200);
    socket.destroy();
  }
  for (const foreign of [await sessionOf('plain.test', undefined), await sessionOf('lenient.test', good), await sessionOf('lenient.test', undefined)]) {
    assert.equal(await visit('strict.test', undefined, { session: foreign }), '403 client_certificate_required');
  }
});

test('a changed authority holds at once: for sessions and for connections that are open', async () => {
  const session = await sessionOf('rotating.test', good);
  const kept = await open('rotating.test', good);
  assert.equal(await ask(kept, 'rotating.test', '/'), 200);
  await gateway.write('c-rotating.yaml', configMap('rotating', { 'ca.crt': new Authority('Next Root').cert }));
  for (let reason = ''; reason !== '403 client_certificate_untrusted'; ) {
    // The change may also come between a handshake and its request: closed, or told so, never served by the old one's word.
    reason = await visit('rotating.test', good, { session }).catch(() => 'closed');
    assert.match(reason, /^(200|403 client_certificate_untrusted|421 misdirected_request|closed)$/);
  }
  await gateway.untilAllWorkers();
  // Closed, or told that it is no longer right: never served.
  const status = await ask(kept, 'rotating.test', '/').catch(() => 0);
  assert.ok(status === 421 || status === 0, String(status));
  await gateway.write('c-rotating.yaml', configMap('rotating', { 'ca.crt': 'no certificate at all' }));
  await gateway.write('e-marker.yaml', route('marker', 'marker.test', undefined));
  await gateway.until('/', (answer) => answer === 200, { host: 'marker.test' });
  assert.equal(await visit('rotating.test', good), '403 client_certificate_untrusted');
});

test('a change ends the connections of its hosts: idle ones at once, others after what is under way, HTTP/2 by GOAWAY', async () => {
  const [idle, busy, other] = [await open('ending.test', good), await open('ending.test', good), await open('plain.test', undefined)];
  for (const socket of [idle, busy]) assert.equal(await ask(socket, 'ending.test', '/'), 200);
  const session = connectHttp2(`https://127.0.0.1:${gateway.https}`, { servername: 'ending.test', cert: good.cert, key: good.key, rejectUnauthorized: false });
  endWith(wholeFile, () => session.destroy());
  const request = session.request({ ':path': '/', ':authority': 'ending.test' });
  assert.equal(((await once(request.resume(), 'response')) as [{ ':status': number }])[0][':status'], 200);
  let held: Socket | undefined;
  const { respond } = backend;
  backend.respond = (one, socket) => {
    if (!one.head.startsWith('GET /held ')) return respond(one, socket);
    held = socket;
    return undefined;
  };
  let text = '';
  busy.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  busy.write('GET /held HTTP/1.1\r\nHost: ending.test\r\n\r\n');
  await backend.until(() => held !== undefined);
  const [ended, left] = [once(idle.resume(), 'close'), once(session, 'goaway')];
  await gateway.write('c-ending.yaml', ending([good]));
  await Promise.all([ended, left]);
  await gateway.untilAllWorkers();
  held?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast');
  await once(busy, 'end');
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*^Connection: close\r\n[\s\S]*\r\n\r\nlast$/im);
  backend.respond = respond;
  // Others are left in peace.
  assert.equal(await ask(other, 'plain.test', '/'), 200);
  assert.equal(await visit('ending.test', good), '403 client_certificate_revoked');
});

/** A client whose handshake comes to its end when it is let. @returns once the gateway has read its ClientHello */
async function holdHandshake(port: number, alpn: string): Promise<{ socket: TLSSocket; closed: Promise<unknown>; letGo: () => void }> {
  const raw = connectTcp(port, '127.0.0.1');
  endWith(wholeFile, () => raw.destroy());
  let isFirst = true;
  let isLetGo = false;
  const held: (() => void)[] = [];
  const between = new Duplex({
    read: () => {},
    write: (chunk: Buffer, _encoding, done) => {
      if (isFirst || isLetGo) raw.write(chunk, done);
      else held.push(() => raw.write(chunk, done));
      isFirst = false;
    },
    final: (done) => void raw.end(done),
  });
  raw.on('data', (chunk: Buffer) => between.push(chunk));
  raw.on('end', () => between.push(null));
  raw.on('error', () => between.destroy());
  const socket = connect({ socket: between, servername: 'late.test', ALPNProtocols: [alpn], rejectUnauthorized: false });
  const closed = new Promise((resolve) => void raw.once('close', resolve));
  await once(raw, 'data');
  return {
    socket,
    closed,
    letGo: () => {
      isLetGo = true;
      for (const send of held.splice(0)) send();
    },
  };
}

test('a handshake that was under way while a host came to ask is told so once, and its connection ends', async (t) => {
  const trust = configMap('late', { 'ca.crt': authority.cert });
  const files = { 'a.yaml': service('web', [backend.port]) + trust, 'b.yaml': route('late', 'late.test', undefined) };
  const own = await GatewayUnderTest.start(t, files, ['--workers', '1']);
  // Plain HTTP is served as long as nobody is asked.
  const change = async (validation: string | undefined, plain: number): Promise<void> => {
    await own.write('b.yaml', route('late', 'late.test', validation));
    await own.until('/', (status) => status === plain, { host: 'late.test' });
  };
  for (let isTold = false; !isTold; ) {
    await change(undefined, 200);
    const [http1, http2] = await Promise.all([holdHandshake(own.https, 'http/1.1'), holdHandshake(own.https, 'h2')]);
    await change('{ caCertificateRefs: [{ name: late }] }', 403);

    let text = '';
    http1.socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    http1.socket.on('error', () => {});
    http1.socket.write('GET / HTTP/1.1\r\nHost: late.test\r\n\r\n');
    const session = connectHttp2('https://late.test', { createConnection: () => http2.socket });
    endWith(t, () => session.destroy());
    session.on('error', () => {});
    let [status, isLeft] = [0, false];
    session.on('goaway', () => {
      isLeft = true;
    });
    const request = session.request({ ':path': '/' }).resume();
    request.on('error', () => {});
    request.on('response', (head) => {
      status = Number(head[':status']);
    });
    http1.letGo();
    http2.letGo();
    await Promise.all([http1.closed, http2.closed]);
    // A handshake that took longer than it may was ended without a word: then once more.
    isTold = text !== '' && status !== 0;
    if (!isTold) continue;
    assert.match(text, /^HTTP\/1\.1 421 [\s\S]*^Connection: close\r\n/im);
    assert.deepEqual([status, isLeft], [421, true]);
  }
});

test('statuses tell what is wrong', async () => {
  const problems = gateway.log.filter(({ level }) => level === 'warn' || level === 'error').map((line) => JSON.stringify(line));
  for (const expected of [/default\/none, ca\.crt holds no PEM certificate/, /ConfigMap default\/nowhere does not exist/, /older and says otherwise/]) {
    assert.ok(
      problems.some((line) => expected.test(line)),
      `${expected}\n${problems.join('\n')}`,
    );
  }
});
