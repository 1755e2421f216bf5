import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { before, it } from 'node:test';
import type { Wire } from '../wire.ts';
import { dial, ending, finish, type Make, Recorder, readAll, serve, serverTls, until, upgrade } from './peers.ts';

/** How connections end, and that nothing is reported after that. */
export function closingSuite(make: Make, secure: boolean): void {
  let wire: Wire;
  before(async () => {
    wire = await make();
  });

  it('can still write after the peer has half-closed', async () => {
    class Late extends Recorder {
      override onEnd(): void {
        super.onEnd();
        setImmediate(() => {
          this.connection.writeLatin1(`got ${this.text}`);
          this.connection.end();
        });
      }
    }
    const served = await serve(wire, secure, () => new Late());
    const socket = await dial(served.listener.port, secure, { allowHalfOpen: true } as object);
    socket.end('question');
    assert.equal(String(await readAll(socket)), 'got question');
    await until(() => served.accepted[0]!.closed, 'closed');
    assert.deepEqual(served.accepted[0]!.events, ['end', 'close']);
    assert.equal(served.accepted[0]!.error, undefined);
    await finish(served);
  });

  it('can still read after it has half-closed itself', async () => {
    class First extends Recorder {
      override onData(bytes: Buffer, start: number, end: number): void {
        super.onData(bytes, start, end);
        if (this.length > 5) return;
        this.connection.writeLatin1('answer');
        this.connection.end();
        assert.equal(this.connection.writeLatin1('more'), true);
      }
    }
    const served = await serve(wire, secure, () => new First());
    const raw = await dial(served.listener.port, false, { allowHalfOpen: true } as object);
    const socket = secure ? await upgrade(raw) : raw;
    socket.write('early');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    await once(socket, 'end');
    assert.equal(answer, 'answer');
    socket.end(' and late');
    await until(() => served.accepted[0]!.closed, 'closed');
    assert.equal(served.accepted[0]!.text, 'early and late');
    assert.deepEqual(served.accepted[0]!.events, ['end', 'close']);
    await finish(served);
  });

  it('sends what was written before end, however much', async () => {
    const bytes = Buffer.alloc(8 * 1024 * 1024, 'x');
    class Big extends Recorder {
      override onData(): void {
        this.connection.writeLatin1('head');
        this.connection.write(bytes, 0, bytes.length, true);
        this.connection.writeLatin1('tail');
        this.connection.end();
      }
    }
    const served = await serve(wire, secure, () => new Big());
    const socket = await dial(served.listener.port, secure);
    socket.write('go');
    const answer = await readAll(socket);
    assert.equal(answer.length, bytes.length + 8);
    assert.equal(answer.toString('latin1', 0, 4), 'head');
    assert.equal(answer.toString('latin1', answer.length - 4), 'tail');
    socket.destroy();
    await finish(served);
  });

  it('finishes: sends what was written, however much, and closes without waiting for the peer', async () => {
    for (const size of [5, 8 * 1024 * 1024]) {
      const bytes = Buffer.alloc(size, 'x');
      class Finishes extends Recorder {
        override onData(): void {
          this.connection.writeLatin1('head');
          this.connection.write(bytes, 0, bytes.length, true);
          this.connection.finish();
          assert.deepEqual(this.events, [], 'onClose came from within finish');
          assert.equal(this.connection.writeLatin1('more'), true);
          this.connection.finish();
          this.connection.end();
        }
      }
      const served = await serve(wire, secure, () => new Finishes());
      // This side never closes by itself.
      const raw = await dial(served.listener.port, false, { allowHalfOpen: true } as object);
      const socket = secure ? await upgrade(raw) : raw;
      let received = 0;
      socket.on('data', (chunk) => {
        received += chunk.length;
      });
      socket.write('go');
      await until(() => received === size + 4, 'all received');
      await until(() => served.accepted[0]!.closed, 'closed');
      assert.deepEqual(served.accepted[0]!.events, ['close']);
      assert.equal(served.accepted[0]!.error, undefined);
      raw.destroy();
      await finish(served);
    }
  });

  it('finishes after a half-close', async () => {
    const served = await serve(wire, secure);
    const raw = await dial(served.listener.port, false, { allowHalfOpen: true } as object);
    const socket = secure ? await upgrade(raw) : raw;
    socket.on('data', () => {});
    await until(() => served.accepted.length === 1, 'accepted');
    served.accepted[0]!.connection.end();
    await once(socket, 'end');
    assert.equal(served.accepted[0]!.closed, false);
    served.accepted[0]!.connection.finish();
    await until(() => served.accepted[0]!.closed, 'closed');
    assert.equal(served.accepted[0]!.error, undefined);
    raw.destroy();
    await finish(served);
  });

  it('reports nothing but onClose after destroy, and ignores writes', async () => {
    let returned: boolean[] = [];
    class Destroys extends Recorder {
      override onData(bytes: Buffer, start: number, end: number): void {
        super.onData(bytes, start, end);
        const { connection } = this;
        connection.writeLatin1('bye');
        connection.destroy();
        assert.deepEqual(this.events, [], 'onClose came from within destroy');
        returned = [connection.writeLatin1('x'), connection.write(bytes, start, end, false), connection.writeHeadAndBytes('x', bytes, start, end, true)];
        connection.end();
        connection.pauseReading();
        connection.resumeReading();
        connection.setBulk(true);
        connection.reset();
        connection.destroy();
      }
    }
    const served = await serve(wire, secure, () => new Destroys());
    const socket = await dial(served.listener.port, secure);
    const gone = ending(socket);
    socket.resume();
    for (let index = 0; index < 20; index++) socket.write(Buffer.alloc(20_000, 1));
    await gone;
    await until(() => served.accepted[0]!.closed, 'closed');
    const recorder = served.accepted[0]!;
    assert.equal(recorder.chunks.length, 1);
    assert.deepEqual(recorder.events, ['close']);
    assert.equal(recorder.error, undefined);
    assert.deepEqual(returned, [true, true, true]);
    await finish(served);
  });

  it('destroys with a write pending', async () => {
    const bytes = Buffer.alloc(16 * 1024 * 1024);
    class Pending extends Recorder {
      override onData(): void {
        assert.equal(this.connection.write(bytes, 0, bytes.length, true), false);
      }
    }
    const served = await serve(wire, secure, () => new Pending());
    const socket = await dial(served.listener.port, secure);
    socket.pause();
    socket.write('go');
    await until(() => (served.accepted[0]?.connection.bytesWritten ?? 0) > 0, 'writing');
    served.accepted[0]!.connection.destroy();
    await until(() => served.accepted[0]!.closed, 'closed');
    assert.equal(served.accepted[0]!.drains, 0);
    socket.destroy();
    await finish(served);
  });

  it('resets so that the peer sees ECONNRESET', async () => {
    class Resets extends Recorder {
      override onData(): void {
        this.connection.writeLatin1('half of an ans');
        this.connection.reset();
        assert.equal(this.connection.writeLatin1('wer'), true);
      }
    }
    const served = await serve(wire, secure, () => new Resets());
    const socket = await dial(served.listener.port, secure);
    const gone = ending(socket);
    socket.resume();
    socket.write('go');
    assert.equal(await gone, 'ECONNRESET');
    await until(() => served.accepted[0]!.closed, 'closed');
    assert.deepEqual(served.accepted[0]!.events, ['close']);
    assert.equal(served.accepted[0]!.error, undefined);
    await finish(served);
  });

  it('closes on a reset while its half-close is under way, and leaves no handle behind', async () => {
    const handles = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
    const before = handles();
    class EndsAndResets extends Recorder {
      override onData(): void {
        this.connection.writeLatin1('bye');
        this.connection.end();
        this.connection.reset();
      }
    }
    const served = await serve(wire, secure, () => new EndsAndResets());
    const socket = await dial(served.listener.port, secure, { allowHalfOpen: true } as object);
    socket.resume();
    socket.on('error', () => {});
    socket.write('go');
    await until(() => served.accepted[0]?.closed === true, 'closed');
    assert.deepEqual(served.accepted[0]!.events, ['close']);
    socket.destroy();
    await until(() => handles() <= before, 'handles closed');
    await finish(served);
  });

  it('reports a reset by the peer with its code', async () => {
    const served = await serve(wire, secure);
    const raw = await dial(served.listener.port, false);
    const socket = secure ? await upgrade(raw) : raw;
    socket.write('x');
    await until(() => served.accepted[0]?.length === 1, 'read');
    raw.resetAndDestroy();
    await until(() => served.accepted[0]!.closed, 'closed');
    assert.equal(served.accepted[0]!.error?.code, 'ECONNRESET');
    await finish(served);
  });

  it('reports a write to a connection that was reset', async () => {
    class Blind extends Recorder {
      override onData(): void {
        this.connection.pauseReading();
      }
    }
    const served = await serve(wire, secure, () => new Blind());
    const raw = await dial(served.listener.port, false);
    const socket = secure ? await upgrade(raw) : raw;
    socket.write('x');
    await until(() => (served.accepted[0]?.connection.bytesRead ?? 0) === 1, 'read');
    raw.resetAndDestroy();
    const { connection } = served.accepted[0]!;
    await until(() => {
      if (!served.accepted[0]!.closed) connection.writeLatin1('anyone there?');
      return served.accepted[0]!.closed;
    }, 'closed');
    assert.match(served.accepted[0]!.error?.code ?? '', /^(EPIPE|ECONNRESET)$/);
    await finish(served);
  });

  it('uses the handler that is set at the time', async () => {
    const served = await serve(wire, secure);
    const socket = await dial(served.listener.port, secure);
    socket.write('one');
    await until(() => served.accepted[0]?.length === 3, 'one');
    const second = new Recorder();
    served.accepted[0]!.connection.handler = second;
    socket.end('two');
    await until(() => second.ended, 'end');
    assert.equal(second.text, 'two');
    assert.deepEqual(served.accepted[0]!.events, []);
    second.connection = served.accepted[0]!.connection;
    second.connection.destroy();
    await until(() => second.closed, 'closed');
    await finish(served);
  });

  it('may be destroyed in the accept callback', async () => {
    const recorders: Recorder[] = [];
    const listener = await wire.listen(
      { host: '127.0.0.1', port: 0, reusePort: false, maxConnections: 10, ...(secure ? { tls: serverTls() } : {}) },
      (connection) => {
        const recorder = new Recorder();
        recorder.connection = connection;
        connection.handler = recorder;
        recorders.push(recorder);
        connection.destroy();
        assert.equal(recorder.closed, false);
      },
    );
    const socket = net.connect(listener.port, '127.0.0.1');
    const gone = ending(socket);
    await once(socket, 'connect');
    if (secure) void upgrade(socket).catch(() => {});
    socket.resume();
    await gone;
    await until(() => recorders[0]?.closed === true, 'closed');
    assert.deepEqual(recorders[0]!.events, ['close']);
    await listener.close();
    await until(() => listener.connections === 0, 'no connection');
  });
}
