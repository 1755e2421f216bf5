import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { before, describe, test } from 'node:test';
import tls from 'node:tls';
import fc from '../../../scripts/fast-check.ts';
import { type ClientHello, readClientHello } from './client-hello.ts';

const vector = (size: number, ...parts: readonly (Buffer | string)[]): Buffer => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const length = Buffer.alloc(size);
  length.writeUIntBE(body.length, 0, size);
  return Buffer.concat([length, body]);
};
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const extension = (type: number, body: Buffer): Buffer => Buffer.concat([u16(type), vector(2, body)]);
const sni = (...names: readonly string[]): Buffer => extension(0, vector(2, ...names.map((name) => Buffer.concat([Buffer.from([0]), vector(2, name)]))));
/** RFC 8701: what clients send so that nobody gets used to what they don't. */
const GREASE = extension(0x1a1a, Buffer.alloc(1));
/** Encrypted Client Hello (RFC 9849): its name is not for us, the outer one is. */
const ECH = extension(0xfe0d, Buffer.alloc(200, 0xa5));

const core = (sessionId = Buffer.alloc(32, 1), suites = u16(0x1301), compression = Buffer.from([0])): Buffer =>
  Buffer.concat([u16(0x0303), Buffer.alloc(32, 2), vector(1, sessionId), vector(2, suites), vector(1, compression)]);

function message(...extensions: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.from([1]), vector(3, core(), vector(2, ...extensions))]);
}

/** @param sizes of the records; the last one takes the rest */
function records(handshake: Buffer, sizes: readonly number[] = []): Buffer {
  const parts: Buffer[] = [];
  let position = 0;
  for (const size of [...sizes, handshake.length]) {
    const part = handshake.subarray(position, position + size);
    position += part.length;
    if (part.length > 0) parts.push(Buffer.from([0x16, 3, 1]), vector(2, part));
  }
  return Buffer.concat(parts);
}

const name = (bytes: Buffer): string | undefined => {
  const hello = readClientHello(bytes);
  return hello.type === 'hello' ? hello.serverName : undefined;
};

test('the server name, lower-case and without the dot of the root', () => {
  for (const [given, read] of [
    ['shop.example.com', 'shop.example.com'],
    ['Shop.EXAMPLE.com.', 'shop.example.com'],
    ['_acme.x-1.test', '_acme.x-1.test'],
    // No host names; TLS may judge them.
    ['a..b', ''],
    ['a\0b', ''],
    ['ä', ''],
    ['*.example.com', ''],
    ['a b', ''],
    [`${'a.'.repeat(130)}a`, ''],
  ] as const) {
    assert.equal(name(records(message(GREASE, sni(given), ECH))), read, JSON.stringify(given));
  }
});

test('none: without the extension, without any, with a name of another type only', () => {
  assert.equal(name(records(message(GREASE))), '');
  assert.equal(name(records(message())), '');
  assert.equal(name(records(Buffer.concat([Buffer.from([1]), vector(3, core())]))), '');
  assert.equal(name(records(message(extension(0, vector(2, Buffer.from([7]), vector(2, 'x')))))), '');
});

test('a message in any number of records, in any number of reads', () => {
  const handshake = message(GREASE, sni('shop.example.com'), ECH);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 100 }), { maxLength: 10 }), fc.uint8Array({ maxLength: 20 }), (sizes, rest) => {
      const whole = records(handshake, sizes);
      for (let length = 0; length < whole.length; length++) {
        const part = readClientHello(whole.subarray(0, length));
        assert.equal(part.type, 'more');
        const { need } = part as ClientHello & { readonly type: 'more' };
        assert.ok(need > length && need <= whole.length, `${need} of ${whole.length} after ${length}`);
      }
      assert.equal(name(Buffer.concat([whole, rest])), 'shop.example.com');
    }),
  );
});

test('looks that are worth it: few, however few bytes come at once', () => {
  const whole = records(message(sni('shop.example.com')), [50, 3, 100]);
  let looks = 0;
  for (let have = 0, need = 1; have < whole.length; ) {
    have++;
    if (have < need) continue;
    looks++;
    const hello = readClientHello(whole.subarray(0, have));
    if (hello.type === 'more') need = hello.need;
  }
  assert.ok(looks <= 10, `${looks}`);
});

describe('what is no good ClientHello is left to TLS', () => {
  for (const [what, bytes] of [
    ['a request', Buffer.from('GET / HTTP/1.1\r\n')],
    ['an alert', Buffer.from([0x15, 3, 1, 0, 2, 2, 40])],
    ['another major version', Buffer.from([0x16, 2, 1, 0, 5])],
    ['an empty record', Buffer.from([0x16, 3, 1, 0, 0])],
    ['a record beyond 16 KiB', Buffer.from([0x16, 3, 1, 0x40, 1])],
    ['another message', records(Buffer.concat([Buffer.from([2]), vector(3, core())]))],
    ['a message beyond 16 KiB', records(Buffer.from([1, 0, 0x40, 1, 3, 3]))],
    ['a record of another kind within the message', Buffer.concat([records(message(sni('a.test')).subarray(0, 50)), Buffer.from([0x17, 3, 3, 0, 1, 0])])],
    ['two server name extensions', records(message(sni('a.test'), sni('b.test')))],
    ['two names in one', records(message(sni('a.test', 'b.test')))],
    ['an empty name', records(message(sni('')))],
    ['an empty list', records(message(extension(0, vector(2))))],
    ['an empty extension', records(message(extension(0, Buffer.alloc(0))))],
    ['bytes after the list', records(message(extension(0, Buffer.concat([vector(2, Buffer.from([0]), vector(2, 'a.test')), Buffer.alloc(1)]))))],
    ['a list longer than its extension', records(message(extension(0, Buffer.concat([u16(20), Buffer.from([0]), vector(2, 'a.test')]))))],
    ['an extension longer than the message', records(Buffer.concat([Buffer.from([1]), vector(3, core(), u16(100), sni('a.test'))]))],
    ['bytes after the extensions', records(Buffer.concat([Buffer.from([1]), vector(3, core(), vector(2, sni('a.test')), Buffer.alloc(1))]))],
    ['a long session id', records(Buffer.concat([Buffer.from([1]), vector(3, core(Buffer.alloc(33)))]))],
    ['no suites', records(Buffer.concat([Buffer.from([1]), vector(3, core(undefined, Buffer.alloc(0)))]))],
    ['half a suite', records(Buffer.concat([Buffer.from([1]), vector(3, core(undefined, Buffer.alloc(3)))]))],
    ['no compression methods', records(Buffer.concat([Buffer.from([1]), vector(3, core(undefined, undefined, Buffer.alloc(0)))]))],
    ['a message that ends in the random', records(Buffer.concat([Buffer.from([1]), vector(3, Buffer.alloc(20))]))],
  ] as const) {
    test(what, () => assert.equal(readClientHello(bytes).type, 'bad'));
  }

  test('one that never ends', () => {
    const endless = records(Buffer.concat([Buffer.from([1, 0, 0x3f, 0xff]), Buffer.alloc(0x3fff)]), new Array<number>(4000).fill(1));
    assert.equal(readClientHello(endless.subarray(0, 16 * 1024)).type, 'bad');
  });
});

describe('of real clients', () => {
  const hellos: { bytes: Buffer; servername: string }[] = [];
  before(async () => {
    const server = net.createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as net.AddressInfo;
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      for (const servername of ['shop.example.com', '']) {
        const client = tls.connect({ port, host: '127.0.0.1', servername, maxVersion, ALPNProtocols: ['h2', 'http/1.1'] });
        client.on('error', () => {});
        const [socket] = (await once(server, 'connection')) as [net.Socket];
        const [bytes] = (await once(socket, 'data')) as [Buffer];
        hellos.push({ bytes, servername });
        socket.destroy();
        client.destroy();
      }
    }
    server.close();
  });

  test('the name that they ask for', () => {
    for (const { bytes, servername } of hellos) assert.equal(name(bytes), servername);
  });

  test('with any bytes changed: never a throw, never a name that is no host name', () => {
    fc.assert(
      fc.property(fc.nat(3), fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { minLength: 1, maxLength: 5 }), (which, changes) => {
        const bytes = Buffer.from(hellos[which]!.bytes);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        const hello = readClientHello(bytes);
        if (hello.type === 'hello') assert.match(hello.serverName, /^[a-z0-9_.-]*$/);
        if (hello.type === 'more') assert.ok(hello.need > bytes.length && hello.need <= 17 * 1024);
      }),
      { numRuns: 2000 },
    );
  });
});
