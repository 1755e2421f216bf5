/**
 * Whether the handle implementation works on this Node: real connections over loopback, plain and TLS, with bytes in every
 * way of writing, backpressure, half-close and close. What differs from the expectation is an error that says where.
 */
import { createHash } from 'node:crypto';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { secureContextOptions } from '../secure-context.ts';
import type { Connection, ConnectionHandler, ListenOptions, Preface, ServerTls, Wire } from '../wire.ts';
import { selfCheckCertificate, selfCheckKey } from './self-check-certificate.ts';

/** Milliseconds for all of it; it takes a few dozen. */
const TIME_LIMIT = 5000;
/** More than the kernel takes while nobody reads. */
const FLOOD = 16 * 1024 * 1024;
const PIECE = 256 * 1024;
const GREETING = 'head:body\xff\0:tail';

/** @throws (rejects) with an Error that says what did not work */
export async function selfCheck(wire: Wire): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${TIME_LIMIT} ms`)), TIME_LIMIT);
  });
  const check = new SelfCheck(wire);
  try {
    await Promise.race([check.run(), late]);
  } finally {
    clearTimeout(timer);
    await check.finish();
  }
}

/** Looks at the first bytes, and leaves them all to whoever comes next. */
const PEEK: Preface = {
  timeout: TIME_LIMIT,
  begin: () => ({ read: (bytes) => (bytes.length < 5 ? undefined : { skip: 0 }), abandoned() {} }),
};

class SelfCheck {
  private readonly wire: Wire;
  private readonly opened: Connection[] = [];
  private readonly finishers: (() => Promise<void> | void)[] = [];

  constructor(wire: Wire) {
    this.wire = wire;
  }

  async run(): Promise<void> {
    await this.plain();
    await this.backpressure();
    await this.secure();
  }

  async finish(): Promise<void> {
    for (const connection of this.opened) connection.destroy();
    for (const finish of this.finishers) await finish();
  }

  /** Greets over both sides' handles, half-closes each way, and expects an orderly end on both. */
  private async plain(): Promise<void> {
    const server = new Side();
    const port = await this.listen(undefined, server);
    const client = new Side();
    client.connection = this.wire.connect({ host: '127.0.0.1', port, handler: client });
    this.opened.push(client.connection);
    await client.connected.promise;
    greet(client.connection);
    client.connection.end();
    await server.ended.promise;
    equal('bytes', server.text(), GREETING);
    greet(server.connection);
    server.connection.end();
    await client.ended.promise;
    equal('bytes after the half-close', client.text(), GREETING);
    equal('orderly close', await client.closed.promise, undefined);
    equal('orderly close', await server.closed.promise, undefined);
    equal('bytes read', client.connection.bytesRead, GREETING.length);
  }

  /** Floods a side that does not read: it must be told to stop, and all must arrive once the side reads, also from a buffer of its own. */
  private async backpressure(): Promise<void> {
    const server = new Side();
    const port = await this.listen(undefined, server);
    const client = new Side();
    client.connection = this.wire.connect({ host: '127.0.0.1', port, handler: client });
    this.opened.push(client.connection);
    client.connection.pauseReading();
    await client.connected.promise;
    await server.accepted.promise;
    const bytes = Buffer.allocUnsafeSlow(PIECE).fill('0123456789abcdef\xfe', 'latin1');
    const expected = createHash('sha1');
    let sent = 0;
    while (sent < FLOOD) {
      sent += PIECE;
      expected.update(bytes);
      if (!server.connection.write(bytes, 0, PIECE, true)) break;
    }
    if (sent >= FLOOD) throw new Error('backpressure: never told to stop');
    client.connection.setBulk(true);
    client.connection.resumeReading();
    await server.drained.promise;
    server.connection.end();
    await client.ended.promise;
    equal('bytes under backpressure', client.digest(), expected.digest('hex'));
    client.connection.reset();
    equal('close after reset', await client.closed.promise, undefined);
  }

  /** A handshake with a certificate chosen by name, bytes both ways, and an orderly end. */
  private async secure(): Promise<void> {
    const context = createSecureContext({ ...secureContextOptions, key: selfCheckKey, cert: selfCheckCertificate });
    let asked = '';
    const tls: ServerTls = {
      secureContext(name) {
        asked = name;
        return context;
      },
      ticketKeys: Buffer.alloc(48, 1),
      handshakeTimeout: TIME_LIMIT,
      alpnProtocols: ['http/1.1'],
    };
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const server = new Side();
      // Once with the first bytes read before TLS, and handed to it afterwards.
      const port = await this.listen(tls, server, maxVersion === 'TLSv1.3' ? PEEK : undefined);
      const servername = 'self-check.invalid';
      const answer = Promise.withResolvers<string>();
      // Nothing is at stake on the way to oneself: `ca` is the very certificate.
      const socket = connectTls({
        host: '127.0.0.1',
        port,
        servername,
        maxVersion,
        ALPNProtocols: ['http/1.1'],
        ca: selfCheckCertificate,
        allowHalfOpen: true,
      } as object);
      this.finishers.push(() => {
        socket.destroy();
      });
      let text = '';
      socket.on('error', answer.reject);
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
      });
      socket.on('end', () => answer.resolve(text));
      socket.end(GREETING, 'latin1');
      await Promise.race([server.ended.promise, answer.promise]);
      equal(`${maxVersion} bytes`, server.text(), GREETING);
      greet(server.connection);
      // Only then the writes of this turn are done, and the next ones can go out.
      await new Promise(setImmediate);
      greet(server.connection);
      server.connection.end();
      equal(`${maxVersion} bytes back`, await answer.promise, GREETING + GREETING);
      equal(`${maxVersion} close`, await server.closed.promise, undefined);
      equal('server name', asked, servername);
      const info = server.connection.tls;
      equal('TLS parameters', JSON.stringify(info), JSON.stringify({ version: maxVersion, serverName: servername, resumed: false, alpn: 'http/1.1' }));
    }
  }

  /** Listens on a port of its own. */
  private async listen(tls: ServerTls | undefined, side: Side, preface?: Preface): Promise<number> {
    const options: ListenOptions = {
      ...{ host: '127.0.0.1', port: 0, reusePort: true, maxConnections: 1 },
      ...(tls === undefined ? {} : { tls }),
      ...(preface === undefined ? {} : { preface }),
    };
    const listener = await this.wire.listen(options, (connection) => {
      side.connection = connection;
      connection.handler = side;
      this.opened.push(connection);
      side.accepted.resolve();
    });
    this.finishers.push(() => listener.close());
    return listener.port;
  }
}

/** One side of a connection: what it got, and what happened to it. */
class Side implements ConnectionHandler {
  connection!: Connection;
  readonly accepted = Promise.withResolvers<void>();
  readonly connected = Promise.withResolvers<void>();
  readonly drained = Promise.withResolvers<void>();
  readonly ended = Promise.withResolvers<void>();
  readonly closed = Promise.withResolvers<Error | undefined>();
  private readonly chunks: Buffer[] = [];

  onConnect(): void {
    this.connected.resolve();
  }
  onData(bytes: Buffer, start: number, end: number): void {
    this.chunks.push(Buffer.from(bytes.subarray(start, end)));
  }
  onEnd(): void {
    this.ended.resolve();
  }
  onDrain(): void {
    this.drained.resolve();
  }
  onClose(error: Error | undefined): void {
    this.closed.resolve(error);
    // Whoever still waits for something else would wait for ever.
    const lost = error ?? new Error('the connection closed too early');
    for (const { promise, reject } of [this.connected, this.drained, this.ended]) {
      promise.catch(() => {});
      reject(lost);
    }
  }

  text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
  digest(): string {
    const hash = createHash('sha1');
    for (const chunk of this.chunks) hash.update(chunk);
    return hash.digest('hex');
  }
}

/** The greeting, in every way of writing. */
function greet(connection: Connection): void {
  connection.writeHeadAndBytes('head', Buffer.from('<:body>'), 1, 6, false);
  connection.write(Buffer.from('\xff\0', 'latin1'), 0, 2, true);
  connection.writeLatin1(':tail');
}

function equal(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${what}: got ${String(actual)}, expected ${String(expected)}`);
}
