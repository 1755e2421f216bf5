import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import type { Wire } from '../wire.ts';
import { dial, finish, type Make, Recorder, readAll, type Served, serve, until } from './peers.ts';

const MIB = 1024 * 1024;

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Echoes in all three ways of writing, in turn. */
class Echo extends Recorder {
  private turn = 0;
  override onData(bytes: Buffer, start: number, end: number): void {
    this.length += end - start;
    const turn = this.turn++ % 4;
    if (turn === 0) this.connection.writeLatin1(bytes.toString('latin1', start, end));
    else if (turn === 1) this.connection.write(bytes, start, end, false);
    else if (turn === 2) this.connection.writeHeadAndBytes(bytes.toString('latin1', start, start + 1), bytes, start + 1, end, false);
    else {
      for (let index = start; index < end; index += 1000) this.connection.write(bytes, index, Math.min(end, index + 1000), false);
    }
    // What was written without `stable` must have been copied.
    bytes.fill(0x21, start, end);
  }
  override onEnd(): void {
    super.onEnd();
    this.connection.end();
  }
}

/** Sends `total` bytes as fast as the other side takes them. */
class Source extends Recorder {
  private readonly bytes: Buffer;
  private offset = 0;
  private readonly piece: number;
  constructor(bytes: Buffer, piece: number) {
    super();
    this.bytes = bytes;
    this.piece = piece;
  }
  get sent(): number {
    return this.offset;
  }
  pump(): void {
    while (this.offset < this.bytes.length) {
      const start = this.offset;
      this.offset = Math.min(this.bytes.length, start + this.piece);
      if (!this.connection.write(this.bytes, start, this.offset, true)) return;
    }
    this.connection.end();
  }
  override onData(): void {
    this.pump();
  }
  override onDrain(): void {
    super.onDrain();
    this.pump();
  }
}

/** Passes bytes on to another connection as a proxy does with a long body. */
class Pipe extends Recorder {
  to!: Pipe;
  pauses = 0;
  override opened(): void {
    this.connection.setBulk(true);
  }
  override onData(bytes: Buffer, start: number, end: number): void {
    this.length += end - start;
    if (!this.to.connection.write(bytes, start, end, true)) {
      this.pauses++;
      this.connection.pauseReading();
    }
  }
  override onDrain(): void {
    super.onDrain();
    this.to.connection.resumeReading();
  }
  override onEnd(): void {
    super.onEnd();
    this.to.connection.end();
  }
}
export function transferSuite(make: Make, secure: boolean): void {
  let wire: Wire;
  before(async () => {
    wire = await make();
  });

  describe('echo', () => {
    let echo: Served;
    before(async () => {
      echo = await serve(wire, secure, () => new Echo());
    });
    after(() => finish(echo));

    it('gives back any split of the bytes, through each way of writing', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 5000 }), { minLength: 1, maxLength: 12 }), fc.boolean(), async (pieces, breathe) => {
          const socket = await dial(echo.listener.port, secure);
          const answer = readAll(socket);
          for (const piece of pieces) {
            socket.write(piece);
            if (breathe) await new Promise((resolve) => setImmediate(resolve));
          }
          socket.end();
          assert.deepEqual(await answer, Buffer.concat(pieces));
        }),
        { numRuns: 60 },
      );
    });

    it('gives back 3 MiB sent in one go', async () => {
      const bytes = randomBytes(3 * MIB);
      const socket = await dial(echo.listener.port, secure);
      const answer = readAll(socket);
      socket.end(bytes);
      assert.equal(digest(await answer), digest(bytes));
    });

    it('serves many connections at once without mixing their bytes', async () => {
      await Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          const socket = await dial(echo.listener.port, secure);
          const bytes = Buffer.alloc(30_000 + index, index);
          const answer = readAll(socket);
          socket.end(bytes);
          assert.deepEqual(await answer, bytes);
        }),
      );
    });

    it('counts the bytes of both directions', async () => {
      const socket = await dial(echo.listener.port, secure);
      const answer = readAll(socket);
      socket.end(Buffer.alloc(12_345));
      await answer;
      const recorder = echo.accepted.at(-1)!;
      assert.equal(recorder.connection.bytesRead, 12_345);
      assert.equal(recorder.connection.bytesWritten, 12_345);
    });
  });

  for (const piece of [700, 16 * 1024, 256 * 1024]) {
    it(`holds back when the reader does not read, in pieces of ${piece} bytes, and sends everything once it does`, async () => {
      const bytes = randomBytes(24 * MIB);
      const served = await serve(wire, secure, () => new Source(bytes, piece));
      const socket = await dial(served.listener.port, secure);
      socket.pause();
      socket.write('go');
      await until(() => served.accepted.length > 0 && (served.accepted[0] as Source).sent > 0, 'sending has begun');
      const source = served.accepted[0] as Source;
      let before = -1;
      while (before !== source.sent) {
        before = source.sent;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      // What lies in the kernel's buffers of both sides is not the connection's.
      assert.ok(source.sent < bytes.length, `${source.sent} bytes were taken while nobody read`);
      const answer = await readAll(socket);
      assert.equal(digest(answer), digest(bytes));
      assert.ok(source.drains > 0);
      socket.destroy();
      await finish(served);
    });
  }

  it('sends small and large writes of one turn and of many in order, up to the end', async () => {
    const size = fc.oneof(fc.nat(2000), fc.nat(60_000));
    const step = fc.record({ size, as: fc.constantFrom('text', 'bytes', 'stable', 'head'), turn: fc.boolean() });
    const served = await serve(wire, secure);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), fc.boolean(), async (steps, finishes) => {
        const before = served.accepted.length;
        const socket = await dial(served.listener.port, secure);
        const answer = readAll(socket);
        await until(() => served.accepted.length > before, 'accepted');
        const { connection } = served.accepted[before] as Recorder;
        let expected = '';
        for (const [index, { size, as, turn }] of steps.entries()) {
          const text = String.fromCharCode(0xc0 + index).repeat(size);
          const bytes = Buffer.from(text, 'latin1');
          if (as === 'text') connection.writeLatin1(text);
          else if (as === 'head') connection.writeHeadAndBytes(text, bytes, 0, size, false);
          else connection.write(bytes, 0, size, as === 'stable');
          if (as === 'bytes') bytes.fill(0);
          expected += as === 'head' ? text + text : text;
          if (turn) await new Promise(setImmediate);
        }
        if (finishes) connection.finish();
        else connection.end();
        assert.equal((await answer).equals(Buffer.from(expected, 'latin1')), true);
        socket.destroy();
      }),
      { numRuns: 25 },
    );
    await finish(served);
  });

  it('stops reading while paused, and goes on where it stopped', async () => {
    const served = await serve(wire, secure);
    const socket = await dial(served.listener.port, secure);
    await until(() => served.accepted.length === 1, 'accepted');
    const recorder = served.accepted[0]!;
    recorder.connection.pauseReading();
    const bytes = randomBytes(24 * MIB);
    socket.end(bytes);
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(recorder.length, 0);
    assert.ok(socket.writableLength > 0, 'the sender was not held back');
    recorder.connection.resumeReading();
    await until(() => recorder.length > MIB, 'reading again');
    recorder.connection.pauseReading();
    const paused = recorder.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(recorder.length, paused);
    recorder.connection.resumeReading();
    await until(() => recorder.ended, 'end');
    assert.equal(digest(Buffer.concat(recorder.chunks)), digest(bytes));
    await finish(served);
  });

  it('pauses from within onData', async () => {
    class OneByOne extends Recorder {
      override onData(bytes: Buffer, start: number, end: number): void {
        super.onData(bytes, start, end);
        this.connection.pauseReading();
      }
    }
    const served = await serve(wire, secure, () => new OneByOne());
    const socket = await dial(served.listener.port, secure);
    socket.write('first');
    await until(() => served.accepted[0]?.length === 5, 'first');
    const recorder = served.accepted[0]!;
    socket.write('second');
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(recorder.text, 'first');
    recorder.connection.resumeReading();
    await until(() => recorder.length === 11, 'second');
    socket.destroy();
    await finish(served);
  });

  it('passes 12 MiB on in bulk mode to a slow echo and back, with stable writes', async () => {
    const slow = net.createServer({ allowHalfOpen: true }, (socket) => {
      // Reads in bursts, so that both directions block now and then.
      socket.on('data', (chunk) => {
        if (!socket.write(chunk)) socket.pause();
      });
      socket.on('drain', () => setTimeout(() => socket.resume(), 2));
      socket.on('end', () => socket.end());
      socket.on('error', () => {});
      // Nor does it begin before that has blocked the other side, which it need not on a busy machine.
      socket.pause();
      void until(() => (served.accepted[0] as Pipe).pauses > 0, 'a write blocks').then(() => socket.resume());
    });
    await once(slow.listen(0, '127.0.0.1'), 'listening');
    // Whatever comes of the case, the file ends.
    slow.unref();
    const upstreams: Pipe[] = [];
    const served = await serve(wire, secure, () => {
      const client = new Pipe();
      const upstream = new Pipe();
      client.to = upstream;
      upstream.to = client;
      upstream.connection = wire.connect({ host: '127.0.0.1', port: (slow.address() as net.AddressInfo).port, handler: upstream });
      upstream.opened();
      upstreams.push(upstream);
      return client;
    });
    const bytes = randomBytes(12 * MIB);
    const socket = await dial(served.listener.port, secure);
    const answer = readAll(socket);
    socket.end(bytes);
    assert.equal(digest(await answer), digest(bytes));
    for (const upstream of upstreams) upstream.connection.destroy();
    slow.close();
    await finish(served);
  });

  it('leaves bytes alone that are still being written when their reader goes on, or is gone', async () => {
    // A backend's answer to a client that does not read, after which the connection serves someone else.
    for (const way of ['bulk off at once', 'bulk off later', 'still in bulk mode', 'destroyed'] as const) {
      const served = await serve(wire, secure);
      const sink = await dial(served.listener.port, secure);
      sink.pause();
      await until(() => served.accepted.length === 1, 'accepted');
      const client = served.accepted[0]!;
      const answers = net.createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', (order) => socket.write(Buffer.alloc(40_000, order[0])));
      });
      await once(answers.listen(0, '127.0.0.1'), 'listening');
      const filler = Buffer.alloc(32 * 1024 * 1024, 'f');
      assert.equal(client.connection.write(filler, 0, filler.length, false), false);
      let written = 0;
      class Backend extends Recorder {
        override onData(bytes: Buffer, start: number, end: number): void {
          this.length += end - start;
          // Only the first answer goes to the client.
          if (this.length > 40_000) return;
          assert.equal(client.connection.write(bytes, start, end, true), false);
          written += end - start;
          if (this.length < 40_000) return;
          if (way === 'bulk off at once') this.connection.setBulk(false);
          else this.connection.pauseReading();
        }
      }
      const backend = new Backend();
      backend.connection = wire.connect({ host: '127.0.0.1', port: (answers.address() as net.AddressInfo).port, handler: backend });
      backend.connection.setBulk(true);
      backend.connection.writeLatin1('a');
      await until(() => backend.length === 40_000, 'first answer');
      if (way === 'bulk off later') backend.connection.setBulk(false);
      if (way === 'destroyed') {
        backend.connection.destroy();
        await until(() => backend.closed, 'closed');
        // Whoever comes next must not get the buffer.
        const next = new Recorder();
        next.connection = wire.connect({ host: '127.0.0.1', port: (answers.address() as net.AddressInfo).port, handler: next });
        next.connection.setBulk(true);
        for (let round = 1; round <= 3; round++) {
          next.connection.writeLatin1('z');
          await until(() => next.length === round * 40_000, 'other answers');
        }
        next.connection.destroy();
      } else {
        backend.connection.resumeReading();
        for (let round = 2; round <= 4; round++) {
          backend.connection.writeLatin1('z');
          await until(() => backend.length === round * 40_000, 'other answers');
        }
      }
      client.connection.end();
      const received = await readAll(sink);
      assert.equal(received.length, filler.length + written);
      assert.equal(received.indexOf('z'), -1, way);
      assert.equal(received.subarray(filler.length).indexOf('f'), -1);
      backend.connection.destroy();
      answers.close();
      await finish(served);
    }
  });

  it('leaves the bytes of bulk mode alone while paused', async () => {
    class Keeper extends Recorder {
      kept: Buffer | undefined;
      private copy = '';
      override onData(bytes: Buffer, start: number, end: number): void {
        this.kept = bytes.subarray(start, end);
        this.copy = this.kept.toString('latin1');
        this.connection.pauseReading();
      }
      get unchanged(): boolean {
        return this.kept?.toString('latin1') === this.copy;
      }
    }
    const served = await serve(wire, secure, () => new Keeper());
    const one = await dial(served.listener.port, secure);
    const two = await dial(served.listener.port, secure);
    await until(() => served.accepted.length === 2, 'both accepted');
    for (const recorder of served.accepted) recorder.connection.setBulk(true);
    for (let round = 0; round < 5; round++) {
      one.write(`one ${round}`);
      await until(() => (served.accepted[0] as Keeper).kept !== undefined, 'first has read');
      two.write(`two two two ${round}`);
      await until(() => (served.accepted[1] as Keeper).kept !== undefined, 'second has read');
      for (const recorder of served.accepted as Keeper[]) {
        assert.ok(recorder.unchanged);
        recorder.kept = undefined;
        recorder.connection.resumeReading();
      }
    }
    for (const recorder of served.accepted) recorder.connection.setBulk(false);
    one.destroy();
    two.destroy();
    await finish(served);
  });
}
