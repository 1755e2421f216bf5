/** What is read before TLS, and before a connection is accepted; and that all that follows arrives whole. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { before, it } from 'node:test';
import tls from 'node:tls';
import type { Connection, Preface, PrefaceReader, Wire } from '../wire.ts';
import { dial, ending, finish, type Make, Recorder, readAll, serve, until, upgrade } from './peers.ts';

const ENDS = { sourceAddress: '192.0.2.7', sourcePort: 4711, destinationAddress: '198.51.100.1', destinationPort: 443 };
const HEADER = 'preface:';

class Echo extends Recorder {
  override onData(bytes: Buffer, start: number, end: number): void {
    super.onData(bytes, start, end);
    this.connection.write(bytes, start, end, false);
  }
  override onEnd(): void {
    super.onEnd();
    this.connection.end();
  }
}

/** Counts what came of its readers. */
class Header implements Preface {
  readonly timeout: number;
  readonly peers: string[] = [];
  abandoned = 0;
  reads = 0;
  readonly #read: PrefaceReader['read'] | undefined;

  constructor(timeout = 10_000, read?: PrefaceReader['read']) {
    this.timeout = timeout;
    this.#read = read;
  }

  begin(remoteAddress: string): PrefaceReader {
    this.peers.push(remoteAddress);
    return {
      read: (bytes) => {
        this.reads++;
        if (this.#read !== undefined) return this.#read(bytes);
        const text = bytes.toString('latin1');
        if (!HEADER.startsWith(text.slice(0, HEADER.length))) return 'refused';
        return text.length < HEADER.length ? undefined : { skip: HEADER.length, ends: ENDS };
      },
      abandoned: () => {
        this.abandoned++;
      },
    };
  }
}

/** Sends a byte at a time, each in a read of its own as far as the system can be made to. */
async function trickle(socket: net.Socket, text: string): Promise<void> {
  for (const character of text) {
    socket.write(character, 'latin1');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function prefaceSuite(make: Make, secure: boolean): void {
  let wire: Wire;
  before(async () => {
    wire = await make();
  });

  for (const split of [false, true]) {
    it(`is passed over${split ? ', byte by byte' : ' in one go'}, and says whose connection it is`, async () => {
      const preface = new Header();
      const served = await serve(wire, secure, () => new Echo(), { preface });
      const raw = await dial(served.listener.port, false, { noDelay: true } as object);
      if (split) await trickle(raw, HEADER);
      else raw.write(HEADER);
      const socket = secure ? await upgrade(raw) : raw;
      const body = 'x'.repeat(100_000);
      socket.end(`hello${body}`);
      assert.equal(String(await readAll(socket)), `hello${body}`);
      const [recorder] = served.accepted;
      const { connection } = recorder!;
      assert.equal(connection.remoteAddress, ENDS.sourceAddress);
      assert.equal(connection.remotePort, ENDS.sourcePort);
      assert.equal(connection.localAddress, ENDS.destinationAddress);
      assert.equal(connection.localPort, ENDS.destinationPort);
      assert.equal(connection.bytesRead, 5 + body.length);
      assert.deepEqual(preface.peers, ['127.0.0.1']);
      assert.equal(preface.abandoned, 0);
      await finish(served);
    });
  }

  it('gives what comes in the same packet to whoever comes next', async () => {
    const served = await serve(wire, secure, () => new Echo(), { preface: new Header() });
    if (secure) {
      // The header and the ClientHello in one write.
      const middle = net.createServer({ allowHalfOpen: true }, (client) => {
        const upstream = net.connect({ port: served.listener.port, host: '127.0.0.1', allowHalfOpen: true });
        let first = true;
        client.on('data', (chunk) => {
          upstream.write(first ? Buffer.concat([Buffer.from(HEADER), chunk as Buffer]) : chunk);
          first = false;
        });
        upstream.pipe(client);
        for (const socket of [client, upstream]) socket.on('error', () => {});
        client.on('end', () => upstream.end());
      });
      await new Promise<void>((resolve) => middle.listen(0, '127.0.0.1', resolve));
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const socket = await dial((middle.address() as net.AddressInfo).port, true, { maxVersion });
        socket.end('hello');
        assert.equal(String(await readAll(socket)), 'hello');
        assert.equal(served.accepted.at(-1)!.connection.remoteAddress, ENDS.sourceAddress);
      }
      middle.close();
    } else {
      const raw = await dial(served.listener.port, false);
      raw.end(`${HEADER}hello`);
      assert.equal(String(await readAll(raw)), 'hello');
    }
    assert.equal(served.listener.failedHandshakes, 0);
    await finish(served);
  });

  it('may be none: then it is as without one', async () => {
    const served = await serve(wire, secure, () => new Echo(), { preface: { timeout: 1, begin: () => undefined } });
    const socket = await dial(served.listener.port, secure);
    socket.write('hello');
    await until(() => served.accepted[0]?.text === 'hello', 'read');
    assert.equal(served.accepted[0]!.connection.remoteAddress, '127.0.0.1');
    assert.equal(served.accepted[0]!.connection.localAddress, '127.0.0.1');
    socket.end();
    assert.equal(String(await readAll(socket)), 'hello');
    await finish(served);
  });

  it('closes a connection whose preface is refused, or whose reader fails', async () => {
    const preface = new Header(10_000, (bytes) => {
      if (bytes[0] === 0x21) throw new Error('a fault');
      return 'refused';
    });
    const served = await serve(wire, secure, () => new Echo(), { preface });
    for (const text of ['!', 'GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01']) {
      const raw = await dial(served.listener.port, false);
      raw.resume();
      raw.write(text, 'latin1');
      assert.match(await ending(raw), /^(closed|ECONNRESET)$/);
    }
    await until(() => served.listener.connections === 0, 'gone');
    assert.equal(served.accepted.length, 0);
    assert.equal(preface.abandoned, 0);
    await finish(served);
  });

  it('closes a connection whose preface is late, cut short, or never begins', async () => {
    const preface = new Header(200);
    const served = await serve(wire, secure, () => new Echo(), { preface });
    const late = await dial(served.listener.port, false);
    const silent = await dial(served.listener.port, false);
    const cut = await dial(served.listener.port, false);
    const reset = await dial(served.listener.port, false);
    const endings = [late, silent, cut].map((socket) => ending(socket.resume()));
    late.write('pre');
    cut.end('pref');
    reset.write('p');
    await until(() => preface.reads >= 3, 'read');
    reset.resetAndDestroy();
    for (const how of await Promise.all(endings)) assert.match(how, /^(closed|ECONNRESET)$/);
    await until(() => served.listener.connections === 0, 'gone');
    assert.equal(preface.abandoned, 4);
    assert.equal(served.accepted.length, 0);
    await finish(served);
  });

  it('may take the connection as it is, with all its bytes', async () => {
    const taken: Echo[] = [];
    const accept = (connection: Connection): void => {
      const echo = new Echo();
      echo.connection = connection;
      connection.handler = echo;
      taken.push(echo);
    };
    const preface = new Header(10_000, (bytes) => (bytes.length < 4 ? undefined : { skip: 0, accept }));
    const served = await serve(wire, secure, () => new Recorder(), { preface });
    const raw = await dial(served.listener.port, false);
    raw.end('as it is');
    assert.equal(String(await readAll(raw)), 'as it is');
    assert.equal(served.accepted.length, 0);
    assert.equal(taken[0]!.connection.tls, undefined);
    assert.equal(taken[0]!.connection.remoteAddress, '127.0.0.1');
    await until(() => taken[0]!.closed && served.listener.connections === 0, 'gone');
    await finish(served);
  });

  it('keeps bytes back from a handler that pauses at once', async () => {
    const served = await serve(
      wire,
      secure,
      () =>
        new (class extends Echo {
          override opened(): void {
            this.connection.pauseReading();
          }
        })(),
      { preface: new Header() },
    );
    const raw = await dial(served.listener.port, false);
    raw.write(secure ? HEADER : `${HEADER}hello`);
    const socket: net.Socket = secure ? await upgrade(raw) : raw;
    if (socket instanceof tls.TLSSocket) socket.write('hello');
    await until(() => served.accepted.length === 1, 'accepted');
    socket.end('!');
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(served.accepted[0]!.text, '');
    served.accepted[0]!.connection.resumeReading();
    assert.equal(String(await readAll(socket)), 'hello!');
    await finish(served);
  });
}
