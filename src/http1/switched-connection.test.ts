/** Both sides of the codec after 101, on a wire without sockets. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { Deadlines } from '../exchange/deadlines.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { Fields } from '../exchange/fields.ts';
import { type BodyLength, type ClientHandler, NO_BODY, UNKNOWN_LENGTH, type UpstreamHandler, type UpstreamStream } from '../exchange/streams.ts';
import { ClientConnection } from './client-connection.ts';
import { MemoryConnection, MemoryWire, settled } from './memory-wire.fixture.ts';
import { ServerConnection } from './server-connection.ts';
import { serverOptions } from './server-options.fixture.ts';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
/** RFC 6455 section 1.3. */
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
const HANDSHAKE = `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`;
const SWITCHING = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`;

/** One end of a tunnel, as the proxy sees it: what came, and the means to say something. */
class End {
  received = '';
  ended = false;
  /** It broke: how. */
  lost = '';
  writable = 0;
  pauseAfterEach = false;
  pause: () => void = () => {};

  data(bytes: Buffer, start: number, end: number): void {
    assert.ok(!this.ended && this.lost === '');
    this.received += bytes.toString('latin1', start, end);
    if (this.pauseAfterEach) this.pause();
  }
  end(): void {
    assert.ok(!this.ended && this.lost === '');
    this.ended = true;
  }
  break(how: string): void {
    assert.equal(this.lost, '');
    this.lost = how;
  }
}

interface Side {
  readonly connection: MemoryConnection;
  readonly end: End;
  readonly deadlines: Deadlines;
  readonly counts: { gone: number; reusable: number };
  write(text: string): boolean;
  endOutput(): void;
  pause(): void;
  resume(): void;
  abort(): void;
}

/** The client's side, behind the 101 unless `early` says what came before it. */
function clientSide(early = ''): Side {
  const connection = new MemoryConnection();
  const deadlines = new Deadlines(1_000_000);
  deadlines.sweep(1000);
  const end = new End();
  const counts = { gone: 0, reusable: 0 };
  let exchange: Exchange | undefined;
  const handler: ClientHandler = {
    onRequestData: (bytes, start, stop) => end.data(bytes, start, stop),
    onRequestEnd: () => end.end(),
    onRequestError: () => assert.fail('a tunnel has no body'),
    onClientGone: () => end.break('gone'),
    onClientWritable: () => end.writable++,
  };
  new ServerConnection(
    connection,
    serverOptions(deadlines),
    {
      onExchange(begun) {
        exchange = begun;
        return handler;
      },
      onRefused: () => assert.fail('refused'),
    },
    () => counts.gone++,
  );
  connection.send(HANDSHAKE + early);
  assert.ok(exchange !== undefined);
  const { stream } = exchange;
  assert.deepEqual([exchange.upgrade, stream.requestBody, stream.requestEnded], ['websocket', NO_BODY, true]);
  stream.respond(101, Fields.of([['Sec-WebSocket-Accept', ACCEPT]]), UNKNOWN_LENGTH, undefined, 0, 0, false, false);
  assert.equal(connection.received, `HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: ${ACCEPT}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
  assert.deepEqual([stream.responded, stream.requestEnded, end.received], [true, false, '']);
  connection.received = '';
  end.pause = () => stream.pauseRequestBody();
  return {
    connection,
    end,
    deadlines,
    counts,
    write: (text) => stream.writeBody(Buffer.from(text, 'latin1'), 0, text.length, true),
    endOutput: () => stream.endBody(undefined),
    pause: () => stream.pauseRequestBody(),
    resume: () => stream.resumeRequestBody(),
    abort: () => stream.abort(),
  };
}

/** The backend's side, behind the 101 and the bytes that came with it. */
function backendSide(early = ''): Side {
  const wire = new MemoryWire();
  const deadlines = new Deadlines(1_000_000);
  deadlines.sweep(1000);
  const end = new End();
  const counts = { gone: 0, reusable: 0 };
  const client = new ClientConnection(wire, deadlines, { address: '192.0.2.9', port: 80 }, 5_000, {
    onReusable: () => counts.reusable++,
    onGone: () => counts.gone++,
  });
  const connection = wire.connections[0] as MemoryConnection;
  connection.handler.onConnect?.();
  let status = 0;
  const handler: UpstreamHandler = {
    onInformational: () => assert.fail('nothing interim'),
    onResponse(code: number, _fields: Fields, length: BodyLength, first, start, stop, _stable, last) {
      status = code;
      assert.deepEqual([length, last], [UNKNOWN_LENGTH, false]);
      if (first !== undefined) end.data(first, start, stop);
    },
    onResponseData: (bytes, start, stop) => end.data(bytes, start, stop),
    onResponseEnd: () => end.end(),
    onUpstreamWritable: () => end.writable++,
    onUpstreamFailure: (failure) => end.break(failure),
  };
  const fields = Fields.of([
    ['Host', 'a'],
    ['Sec-WebSocket-Key', KEY],
    ['Sec-WebSocket-Version', '13'],
  ]);
  const stream: UpstreamStream = client.request({ method: 'GET', target: '/', fields, body: NO_BODY, upgrade: 'websocket' }, handler);
  assert.equal(
    connection.received,
    `GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  );
  connection.send(SWITCHING + early);
  assert.deepEqual([status, end.received], [101, early]);
  connection.received = '';
  end.pause = () => stream.pauseResponse();
  return {
    connection,
    end,
    deadlines,
    counts,
    write: (text) => stream.writeBody(Buffer.from(text, 'latin1'), 0, text.length, true),
    endOutput: () => stream.endBody(undefined),
    pause: () => stream.pauseResponse(),
    resume: () => stream.resumeResponse(),
    abort: () => stream.cancel(),
  };
}

for (const [name, open] of [
  ['a client', clientSide],
  ['a backend', backendSide],
] as const) {
  describe(`a connection to ${name} that has switched`, () => {
    it('carries bytes both ways, those first that came with the switch', async () => {
      const side = open('early ');
      side.resume();
      await settled();
      side.connection.send('and late');
      assert.equal(side.end.received, 'early and late');
      assert.equal(side.write('GET / HTTP/1.1\r\n\r\n'), true);
      assert.equal(side.connection.received, 'GET / HTTP/1.1\r\n\r\n');
    });

    it('hands on nothing while it is paused, and then all of it in order, whatever is read when', async () => {
      const steps = fc.array(fc.oneof(fc.string({ minLength: 1, maxLength: 40 }), fc.constantFrom(true, false, undefined)), { maxLength: 20 });
      await fc.assert(
        fc.asyncProperty(fc.string({ maxLength: 20 }), steps, fc.boolean(), async (early, list, pauseAfterEach) => {
          // Characters are bytes here.
          const plain = (text: string) => text.replace(/[^\x20-\x7e]/g, '?');
          const side = open(plain(early));
          let sent = plain(early);
          side.resume();
          side.end.pauseAfterEach = pauseAfterEach;
          for (const step of list) {
            if (step === true) side.pause();
            else if (step === false) side.resume();
            else if (step === undefined) await settled();
            else {
              const before = side.end.received.length;
              const quiet = side.connection.paused;
              side.connection.send(plain(step));
              sent += plain(step);
              if (quiet) assert.equal(side.end.received.length, before);
            }
          }
          side.connection.sendEnd();
          side.end.pauseAfterEach = false;
          side.resume();
          await settled();
          assert.deepEqual([side.end.received, side.end.ended], [sent, true]);
        }),
        { numRuns: 150 },
      );
    });

    it('tells when the peer takes more again', () => {
      const side = open();
      side.resume();
      side.connection.taking = false;
      assert.equal(side.write('x'), false);
      side.connection.drain();
      assert.deepEqual([side.end.writable, side.connection.received], [1, 'x']);
    });

    it('ends each direction by itself, and the connection with the second', async () => {
      for (const ours of [true, false]) {
        const side = open();
        side.resume();
        const first = () => (ours ? side.endOutput() : side.connection.sendEnd());
        const second = () => (ours ? side.connection.sendEnd() : side.endOutput());
        first();
        await settled();
        assert.deepEqual([side.connection.destroyed, side.counts.gone, side.end.ended], [false, 0, !ours]);
        if (ours) side.connection.send('still');
        else side.write('still');
        assert.equal(ours ? side.end.received : side.connection.received, 'still');
        second();
        await settled();
        assert.deepEqual([side.end.ended, side.end.lost, side.counts], [true, '', { gone: 1, reusable: 0 }]);
      }
    });

    it('does not wait for ever for a peer that does not take the end', async () => {
      const side = open();
      side.resume();
      side.connection.taking = false;
      side.write('never taken');
      side.connection.sendEnd();
      await settled();
      side.endOutput();
      await settled();
      assert.equal(side.counts.gone, 0);
      side.deadlines.sweep(1_000 + 120_000);
      side.deadlines.sweep(1_000 + 240_000);
      await settled();
      assert.equal(side.counts.gone, 1);
    });

    it('breaks on either side as a reset, and says nothing afterwards', async () => {
      const broken = open();
      broken.resume();
      broken.connection.break(new Error('reset'));
      assert.deepEqual([broken.end.lost, broken.counts.gone], [name === 'a client' ? 'gone' : 'reset', 1]);
      broken.abort();
      assert.equal(broken.write('x'), true);

      const aborted = open('early');
      aborted.abort();
      aborted.resume();
      await settled();
      assert.deepEqual([aborted.connection.wasReset, aborted.end.lost, aborted.counts], [true, '', { gone: 1, reusable: 0 }]);
    });
  });
}
