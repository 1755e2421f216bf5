/**
 * WebSocket cases in the manner of the Autobahn test suite, through a real server (npm `ws`): framing, pings, reserved bits and
 * opcodes, fragments, UTF-8, closing, large messages, compression. The gateway judges nothing of it, so each case is sent to
 * the server directly, too, and must come out the same, byte for byte; and what the server has got must be what was sent. By
 * HTTP/1.1 on both wires, in clear and over TLS, and with HTTP/2 on either side, or on both.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import { endWith, type Lifetime, wholeFile } from '../gateway/lifetime.ts';
import { apiRoute, service } from '../gateway/manifests.ts';
import { handshake } from '../gateway/tunnel-backend.ts';
import { startHttp2Backend, tunnelByHttp2 } from './websocket-over-http2.ts';

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const MEBIBYTE = 1024 * 1024;

let echo: WebSocketServer;
let tap: Tap;
const gateways = new Map<string, GatewayUnderTest>();

/** Stands between the gateway and the server, and keeps what goes either way, without the heads. */
class Tap {
  readonly #server: Server;
  readonly sockets = new Set<Socket>();
  /** By the path of the handshake. */
  readonly sent = new Map<string, Bytes>();
  readonly answered = new Map<string, Bytes>();

  private constructor(target: number) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      for (const socket of [near, far]) {
        this.sockets.add(socket);
        socket.on('error', () => {
          near.destroy();
          far.destroy();
        });
      }
      const sent = new Bytes();
      const answered = new Bytes();
      near.on('data', (bytes: Buffer) => sent.add(bytes));
      far.on('data', (bytes: Buffer) => {
        const path = / (\S+) /.exec(sent.head)?.[1] ?? '';
        this.sent.set(path, sent);
        this.answered.set(path, answered);
        answered.add(bytes);
      });
      near.pipe(far);
      far.pipe(near);
    });
  }

  static async start(lifetime: Lifetime, target: number): Promise<Tap> {
    const started = new Tap(target);
    await new Promise<void>((resolve) => started.#server.listen(0, '127.0.0.1', resolve));
    endWith(lifetime, () => {
      for (const socket of started.sockets) socket.destroy();
      started.#server.close();
    });
    return started;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
}

/** Bytes behind a head: how many, and their digest, but not they themselves. */
class Bytes {
  head = '';
  length = 0;
  readonly #hash = createHash('sha256');
  #inBody = false;
  #digest: string | undefined = undefined;
  #onBody: (() => void) | undefined = undefined;

  add(bytes: Buffer): void {
    let body = bytes;
    if (!this.#inBody) {
      const text = this.head + bytes.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) {
        this.head = text;
        return;
      }
      body = bytes.subarray(end + 4 - this.head.length);
      this.head = text.slice(0, end);
      this.#inBody = true;
      this.#onBody?.();
    }
    this.length += body.length;
    this.#hash.update(body);
  }

  async headRead(): Promise<void> {
    if (this.#inBody) return;
    await new Promise<void>((resolve) => {
      this.#onBody = resolve;
    });
  }

  get digest(): string {
    this.#digest ??= `${this.length} ${this.#hash.digest('hex')}`;
    return this.#digest;
  }
}

interface FrameOptions {
  readonly final?: boolean;
  /** Reserved bits, 1 to 7. */
  readonly reserved?: number;
  readonly masked?: boolean;
}

/** A frame as a client sends it (RFC 6455 section 5.2). */
function frame(opcode: number, payload: Buffer | string = '', { final = true, reserved = 0, masked = true }: FrameOptions = {}): Buffer {
  const bytes = Buffer.from(payload as string);
  const size = bytes.length < 126 ? Buffer.of(bytes.length) : bytes.length < 65_536 ? Buffer.of(126, bytes.length >> 8, bytes.length & 0xff) : Buffer.alloc(9);
  if (bytes.length >= 65_536) {
    size[0] = 127;
    size.writeBigUInt64BE(BigInt(bytes.length), 1);
  }
  const first = Buffer.of((final ? 0x80 : 0) | (reserved << 4) | opcode);
  if (!masked) return Buffer.concat([first, size, bytes]);
  size[0] = (size[0] as number) | 0x80;
  const mask = Buffer.of(0x12, 0x34, 0x56, 0x78);
  const hidden = Buffer.alloc(bytes.length);
  for (let index = 0; index < bytes.length; index++) hidden[index] = (bytes[index] as number) ^ (mask[index & 3] as number);
  return Buffer.concat([first, size, mask, hidden]);
}

const closing = (code: number, reason = '') => frame(CLOSE, Buffer.concat([Buffer.of(code >> 8, code & 0xff), Buffer.from(reason)]));

before(async () => {
  echo = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: 64 * MEBIBYTE, perMessageDeflate: true });
  await once(echo, 'listening');
  endWith(wholeFile, () => {
    for (const socket of echo.clients) socket.terminate();
    echo.close();
  });
  echo.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  tap = await Tap.start(wholeFile, (echo.address() as AddressInfo).port);
  const rules = '  rules: [{ matches: [{ path: { value: /http2 } }], backendRefs: [{ name: http2, port: 80 }] }, { backendRefs: [{ name: echo, port: 80 }] }]';
  const policy =
    '---\napiVersion: tidegate.dev/v1alpha1\nkind: BackendPolicy\nmetadata: { name: http2 }\nspec: { targetRefs: [{ kind: Service, name: http2 }], protocol: H2C }\n';
  const http2 = await startHttp2Backend(wholeFile, tap.port);
  const files = { 'all.yaml': service('echo', [tap.port]) + service('http2', [http2]) + policy + apiRoute('all', rules) };
  for (const wire of ['handle', 'stream']) gateways.set(wire, await GatewayUnderTest.start(wholeFile, files, ['--wire', wire, '--workers', '1']));
});

let cases = 0;
const NO_HEAD = Buffer.from('\r\n\r\n');

/** Digests of what went either way behind the heads. */
interface Conversation {
  readonly sent: string;
  readonly received: string;
}

/** Sends the bytes behind a handshake and reads to the end. @param opening the handshake that is still to be sent; '': the tunnel is open @param chop bytes of one write; 0: all at once */
async function converse(socket: Duplex, opening: string, bytes: Buffer, chop = 0): Promise<Conversation> {
  const received = new Bytes();
  const sent = createHash('sha256').update(bytes).digest('hex');
  socket.on('data', (chunk: Buffer) => received.add(chunk));
  const closed = new Promise<void>((resolve, reject) => {
    socket.on('close', () => resolve());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
  });
  if (opening === '') {
    received.add(NO_HEAD);
  } else {
    socket.write(opening);
    await Promise.race([received.headRead(), closed]);
    assert.match(received.head, /^HTTP\/1\.1 101 /);
  }
  for (let start = 0; start < bytes.length && !socket.destroyed; start += chop || bytes.length) {
    if (!socket.write(bytes.subarray(start, start + (chop || bytes.length)))) await Promise.race([once(socket, 'drain').catch(() => {}), closed]);
    else await new Promise((resolve) => setImmediate(resolve));
  }
  await closed;
  return { sent: `${bytes.length} ${sent}`, received: received.digest };
}

/** The case directly and through each gateway; the server must have got all of it where it closes in good order. */
async function same(bytes: Buffer, { chop = 0, orderly = true } = {}): Promise<void> {
  const number = cases++;
  const direct = await converse(connect({ port: tap.port, host: '127.0.0.1', noDelay: true }), handshake(`/direct-${number}`), bytes, chop);
  assert.doesNotMatch(direct.received, /^0 /);
  for (const [wire, gateway] of gateways) {
    for (const scheme of ['http', 'https'] as const) {
      const path = `/${wire}-${scheme}-${number}`;
      const socket =
        scheme === 'http'
          ? connect({ port: gateway.http, host: '127.0.0.1', noDelay: true })
          : connectTls({ port: gateway.https, host: '127.0.0.1', rejectUnauthorized: false });
      const through = await converse(socket, handshake(path), bytes, chop);
      assertSame(path, through, direct, orderly);
    }
  }
  const { http } = gateways.get('handle') as GatewayUnderTest;
  for (const [client, backend] of [
    ['http1', 'http2'],
    ['http2', 'http1'],
    ['http2', 'http2'],
  ] as const) {
    const path = `/${backend}/from-${client}-${number}`;
    const through =
      client === 'http2'
        ? await converse(await tunnelByHttp2(http, path), '', bytes, chop)
        : await converse(connect({ port: http, host: '127.0.0.1', noDelay: true }), handshake(path), bytes, chop);
    assertSame(path, through, direct, orderly);
  }
}

function assertSame(path: string, through: Conversation, direct: Conversation, orderly: boolean): void {
  assert.deepEqual(through, direct, path);
  assert.equal(tap.answered.get(path)?.digest, direct.received, path);
  if (orderly) assert.equal(tap.sent.get(path)?.digest, direct.sent, path);
}

/** Cases of the suite's families 1 to 7: what is sent before the Close, and whether the server hears all of it. */
const CASES: readonly (readonly [family: string, name: string, bytes: readonly Buffer[], orderly?: boolean])[] = [
  ...[0, 1, 125, 126, 127, 128, 65_535, 65_536].flatMap((length): (readonly [string, string, readonly Buffer[]])[] => [
    ['framing', `text of ${length} bytes`, [frame(TEXT, 'x'.repeat(length))]],
    ['framing', `binary of ${length} bytes`, [frame(BINARY, Buffer.alloc(length, 0xfe))]],
  ]),
  ['framing', 'no mask', [frame(TEXT, 'x', { masked: false })], false],
  ['pings', 'an empty ping', [frame(PING)]],
  ['pings', 'a ping of 125 bytes', [frame(PING, Buffer.alloc(125, 0xfe))]],
  ['pings', 'a ping of 126 bytes, which is not allowed', [frame(PING, Buffer.alloc(126, 0xfe))], false],
  ['pings', 'a pong that nobody asked for, and a ping', [frame(PONG, 'unsolicited'), frame(PING, 'x')]],
  ['pings', 'ten pings', Array.from({ length: 10 }, (_, index) => frame(PING, `${index}`))],
  ...[1, 2, 3, 4, 5, 6, 7].map((reserved): readonly [string, string, readonly Buffer[], boolean] => [
    'reserved bits',
    `${reserved}`,
    [frame(TEXT, 'good'), frame(reserved === 4 ? PING : TEXT, 'x', { reserved })],
    false,
  ]),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): readonly [string, string, readonly Buffer[], boolean] => [
    'reserved opcodes',
    `${opcode}`,
    [frame(TEXT, 'good'), frame(opcode, 'x')],
    false,
  ]),
  ['fragments', 'a text in two', [frame(TEXT, 'one ', { final: false }), frame(CONTINUATION, 'two')]],
  ['fragments', 'a ping between them', [frame(TEXT, 'one ', { final: false }), frame(PING, 'between'), frame(CONTINUATION, 'two')]],
  [
    'fragments',
    'five, with a ping after each',
    [0, 1, 2, 3, 4].flatMap((index) => [frame(index === 0 ? TEXT : CONTINUATION, `part ${index}`, { final: index === 4 }), frame(PING, `${index}`)]),
  ],
  ['fragments', 'a ping in fragments', [frame(PING, 'one', { final: false }), frame(CONTINUATION, 'two')], false],
  ['fragments', 'a continuation of nothing', [frame(CONTINUATION, 'x'), frame(TEXT, 'y')], false],
  ['fragments', 'a new text in the middle', [frame(TEXT, 'one', { final: false }), frame(TEXT, 'two')], false],
  ['UTF-8', 'many planes', [frame(TEXT, 'κόσμε 日本語 🌊')]],
  ['UTF-8', 'a character over two fragments', [frame(TEXT, Buffer.of(0xce), { final: false }), frame(CONTINUATION, Buffer.of(0xba))]],
  ['UTF-8', 'not UTF-8', [frame(TEXT, Buffer.of(0xce, 0xba, 0xe1, 0xed, 0xa0, 0x80))], false],
  ['closing', 'with a reason', [closing(1000, 'bye')]],
  ['closing', 'with a reason of 123 bytes', [closing(1000, 'x'.repeat(123))]],
  ['closing', 'with one of 124, which is not allowed', [closing(1000, 'x'.repeat(124))], false],
  ['closing', 'without a code', [frame(CLOSE)]],
  ['closing', 'with half a code', [frame(CLOSE, 'x')], false],
  ['closing', 'with a reason that is no UTF-8', [closing(1000, '').subarray(0, 0), frame(CLOSE, Buffer.of(3, 232, 0xce))], false],
  ['closing', 'in the middle of fragments', [frame(TEXT, 'one', { final: false }), closing(1000)]],
  ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999].map(
    (code): readonly [string, string, readonly Buffer[]] => ['closing', `with ${code}`, [closing(code)]],
  ),
  ...[0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535].map((code): readonly [string, string, readonly Buffer[], boolean] => [
    'closing',
    `with ${code}, which is not allowed`,
    [closing(code)],
    false,
  ]),
];

for (const family of new Set(CASES.map(([name]) => name))) {
  describe(family, () => {
    for (const [of, name, frames, orderly = true] of CASES) {
      if (of !== family) continue;
      const closes = family === 'closing';
      test(name, async () => {
        const bytes = Buffer.concat(closes ? frames : [...frames, closing(1000)]);
        await same(bytes, { orderly });
        if (bytes.length < 1000) await same(bytes, { chop: 1, orderly });
      });
    }
  });
}

describe('large messages', () => {
  test('16 MiB in one frame', async () => same(Buffer.concat([frame(BINARY, randomBytes(16 * MEBIBYTE)), closing(1000)])));

  test('16 MiB in frames of 64 KiB, with pings between them', async () => {
    const parts = Array.from({ length: 256 }, (_, index) => frame(index === 0 ? BINARY : CONTINUATION, randomBytes(65_536), { final: index === 255 }));
    await same(Buffer.concat([...parts.flatMap((part, index) => (index % 50 === 0 ? [part, frame(PING, `${index}`)] : [part])), closing(1000)]));
  });

  test('4 MiB in writes of 1,000 bytes', async () => same(Buffer.concat([frame(TEXT, 'x'.repeat(4 * MEBIBYTE)), closing(1000)]), { chop: 1000 }));

  test('a thousand messages at once', async () =>
    same(Buffer.concat([...Array.from({ length: 1000 }, (_, index) => frame(BINARY, randomBytes(index))), closing(1000)])));
});

/** A message and its echo, which must be the same. */
async function echoed(socket: WebSocket, message: Buffer): Promise<void> {
  const back = once(socket, 'message');
  socket.send(message);
  const [data] = await back;
  assert.ok((data as Buffer).equals(message), `${message.length} bytes`);
}

test('compressed messages of many sizes', async (t) => {
  for (const [wire, gateway] of gateways) {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.http}/deflate-${wire}`, { perMessageDeflate: { threshold: 0 } });
    endWith(t, () => socket.terminate());
    await once(socket, 'open');
    assert.match(socket.extensions, /permessage-deflate/);
    for (const size of [0, 1, 16, 125, 126, 1024, 65_535, 65_536, MEBIBYTE]) {
      await echoed(socket, Buffer.alloc(size, 'tidegate '));
      await echoed(socket, randomBytes(size));
    }
    socket.close(1000);
    assert.equal((await once(socket, 'close'))[0], 1000);
  }
});

test('two hundred connections at once, each with its own messages', async (t) => {
  const gateway = gateways.get('handle') as GatewayUnderTest;
  await Promise.all(
    Array.from({ length: 200 }, async (_, number) => {
      const socket = new WebSocket(`ws://127.0.0.1:${gateway.http}/many-${number}`);
      endWith(t, () => socket.terminate());
      await once(socket, 'open');
      for (const size of [10, 10_000, 100]) await echoed(socket, randomBytes(size + number));
      socket.close(4000 + number);
      assert.equal((await once(socket, 'close'))[0], 4000 + number);
    }),
  );
});
