/** HPACK against nghttp2, the one in Node, on real connections: what it encodes we decode, and the other way around. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { Fields } from '../../exchange/fields.ts';
import { FrameReader, Read } from '../frame-reader.ts';
import { Flag, FrameType, headersFrames, PREFACE, SETTINGS_ACK, Setting, settingsFrame } from '../frames.ts';
import { HpackDecoder } from './decoder.ts';
import { HpackEncoder } from './encoder.ts';
import { decodePairs, newBlock, type Pair } from './hpack.fixture.ts';

/** Answers every request with the fields that it had, those of pseudo-header fields as `x-method` and so on. */
function echo(socket: Socket, seen: Pair[][], tableSize: number): void {
  const reader = new FrameReader();
  const decoder = new HpackDecoder();
  const encoder = new HpackEncoder();
  let skip = PREFACE.length;
  socket.on('error', () => {});
  socket.write(settingsFrame(Setting.MaxConcurrentStreams, 1000), 'latin1');
  socket.on('data', (bytes: Buffer) => {
    const skipped = Math.min(skip, bytes.length);
    skip -= skipped;
    for (let position = skipped; position < bytes.length; position = reader.position) {
      if (reader.next(bytes, position, bytes.length) !== Read.Frame) continue;
      if (reader.type === FrameType.Settings && (reader.flags & Flag.Ack) === 0) {
        encoder.setMaxTableSize(tableSize);
        socket.write(SETTINGS_ACK, 'latin1');
      }
      if (reader.type !== FrameType.Headers) continue;
      const pairs = decodePairs(decoder, Buffer.from(reader.payload.subarray(reader.payloadStart, reader.payloadEnd)), newBlock());
      assert.ok(pairs !== undefined && (reader.flags & Flag.EndHeaders) !== 0);
      seen.push(pairs);
      const fields = Fields.of(pairs.map(([name, value]) => [name.replace(':', 'x-'), value]));
      socket.write(headersFrames(reader.streamId, encoder.response(200, fields), true, 16_384), 'latin1');
    }
  });
}

describe('HPACK against nghttp2', () => {
  let server: Server;
  let session: ClientHttp2Session;
  const seen: Pair[][] = [];
  const sockets: Socket[] = [];
  let tableSize = 4096;

  before(async () => {
    server = createServer({ noDelay: true }, (socket) => {
      sockets.push(socket);
      echo(socket, seen, tableSize);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => {
    session.destroy();
    server.close();
    for (const socket of sockets) socket.destroy();
  });

  async function open(headerTableSize: number): Promise<void> {
    session?.destroy();
    tableSize = headerTableSize;
    session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { settings: { headerTableSize } });
    await once(session, 'connect');
  }

  async function ask(headers: Readonly<Record<string, string>>): Promise<IncomingHttpHeaders> {
    const request = session.request({ ...headers, [constants.HTTP2_HEADER_PATH]: headers[':path'] ?? '/' });
    request.resume();
    const [answer] = (await once(request, 'response')) as [IncomingHttpHeaders];
    return answer;
  }

  const name = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('accept', 'user-agent', 'x-request-id', 'authorization', 'x-custom', 'cache-control', 'x-forwarded-for') },
    { weight: 1, arbitrary: fc.stringMatching(/^x-[a-z0-9-]{1,30}[a-z]$/) },
  );
  const value = fc.oneof(fc.constantFrom('a', 'text/html', '*/*'), fc.stringMatching(/^[!-~\u0080-\u00ff]([ -~]{0,60}[!-~])?$/));
  const headers = fc.dictionary(name, value, { maxKeys: 12, noNullPrototype: true });

  for (const size of [4096, 200, 0]) {
    it(`both ways, with a table of ${size} bytes`, async () => {
      await open(size);
      await fc.assert(
        fc.asyncProperty(headers, fc.webPath(), async (fields, path) => {
          const sent = { ...fields, ':path': path === '' ? '/' : path };
          const answer = await ask(sent);
          const pairs = seen.pop() as Pair[];
          assert.deepEqual(new Map(pairs.filter(([field]) => !/^:(method|scheme|authority)$/.test(field))), new Map(Object.entries(sent)));
          for (const [field, text] of pairs) assert.equal(answer[field.replace(':', 'x-')], text);
        }),
        { numRuns: 150 },
      );
    });
  }
});
