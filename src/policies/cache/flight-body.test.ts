import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import type { BodySink } from '../../exchange/exchange.ts';
import { FlightBody } from './flight-body.ts';

const nothing = (): void => {};

/** A client that takes so many pieces and then wants none for a while. */
class Client implements BodySink {
  text = '';
  ended: string | undefined = undefined;
  takes: number;

  constructor(takes: number) {
    this.takes = takes;
  }

  writeGiven(bytes: Buffer, start: number, end: number): boolean {
    assert.ok(this.takes > 0, 'it said that it takes no more');
    this.text += bytes.toString('latin1', start, end);
    this.takes--;
    return this.takes > 0;
  }

  endGiven(): void {
    this.ended = 'whole';
  }

  abortGiven(reason: string): void {
    this.ended = reason;
  }
}

test('a reader that never starts, because its client has just gone, holds nobody up', () => {
  const body = new FlightBody(nothing, nothing);
  body.reader();
  body.write(Buffer.alloc(10), 0, 10);
  body.keepNoMore();
  for (let piece = 0; piece < 100; piece++) assert.equal(body.write(Buffer.alloc(10_000), 0, 10_000), true);
});

test('the slowest reader sets the pace once the body is not kept, and the last one to leave is told of', () => {
  let room = 0;
  let unread = 0;
  const body = new FlightBody(
    () => room++,
    () => unread++,
  );
  const quick = body.reader();
  const slow = body.reader();
  const [quickClient, slowClient] = [new Client(1000), new Client(1)];
  quick.start(quickClient, true);
  slow.start(slowClient, true);
  const piece = Buffer.alloc(100_000, 'x');
  body.write(piece, 0, piece.length);
  body.keepNoMore();
  while (body.write(piece, 0, piece.length));
  assert.ok(quickClient.text.length > slowClient.text.length && room === 0);
  slowClient.takes = 1000;
  slow.resume();
  assert.deepEqual([slowClient.text.length, room], [quickClient.text.length, 1]);
  quick.stop();
  assert.equal(unread, 0);
  slow.stop();
  assert.equal(unread, 1);
});

test('each reader gets every byte in order and the end, whenever it comes and however it pauses', () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('write' as const), size: fc.integer({ min: 1, max: 90_000 }) }),
    fc.record({ type: fc.constant('read' as const), size: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ type: fc.constantFrom('take' as const, 'stop' as const), size: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ type: fc.constant('keepNoMore' as const), size: fc.constant(0) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.boolean(), (steps, breaks) => {
      const body = new FlightBody(nothing, nothing);
      const readers: { reader: ReturnType<FlightBody['reader']>; client: Client; stopped: boolean }[] = [];
      let sent = '';
      for (const { type, size } of steps) {
        if (type === 'write' && body.hasRoom) {
          const piece = Buffer.alloc(size, 97 + (sent.length % 26));
          sent += piece.toString('latin1');
          body.write(piece, 0, size);
        } else if (type === 'read' && body.isKept) {
          const client = new Client(size);
          const reader = body.reader();
          readers.push({ reader, client, stopped: false });
          reader.start(client, size > 0);
        } else if (type === 'keepNoMore') body.keepNoMore();
        const one = readers[size];
        if (one === undefined || one.stopped) continue;
        if (type === 'stop') {
          one.stopped = true;
          one.reader.stop();
        } else if (type === 'take' && one.client.takes === 0) {
          one.client.takes = 2;
          one.reader.resume();
        }
      }
      if (breaks) body.break('cut');
      else body.finish(undefined);
      for (const { reader, client, stopped } of readers) {
        if (stopped) continue;
        if (breaks) {
          assert.equal(client.ended, 'cut');
          continue;
        }
        const paused = client.takes === 0;
        client.takes = Number.POSITIVE_INFINITY;
        if (paused) reader.resume();
        assert.ok(client.text === sent && client.ended === 'whole');
      }
    }),
    { numRuns: 300 },
  );
});
