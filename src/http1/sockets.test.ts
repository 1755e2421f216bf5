/** Both sides of the codec over real sockets, with Node's own HTTP as client and backend. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { createWire, type Wire } from '../wire/index.ts';
import { Relay } from './relay.fixture.ts';

async function text(message: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of message) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('latin1');
}

/** `once` would reject on the error before it. */
const closeOf = (socket: net.Socket) => new Promise((resolve) => socket.once('close', resolve));

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

for (const mode of ['stream', 'handle'] as const) {
  describe(`over sockets, wire ${mode}`, () => {
    const large = randomBytes(3_000_000);
    let wire: Wire;
    let relay: Relay;
    let port = 0;
    /** Ways of the backend, by path. */
    const backend = http.createServer(async (request, response) => {
      const url = new URL(request.url as string, 'http://a');
      switch (url.pathname) {
        case '/digest': {
          const hash = createHash('sha256');
          let length = 0;
          for await (const piece of request) {
            hash.update(piece as Buffer);
            length += (piece as Buffer).length;
          }
          response.end(
            JSON.stringify({
              length,
              digest: hash.digest('hex'),
              framing: request.headers['content-length'] ?? request.headers['transfer-encoding'] ?? 'none',
              trailers: request.trailers,
            }),
          );
          return;
        }
        case '/large':
          response.setHeader('Content-Length', large.length);
          response.end(large);
          return;
        case '/chunked':
          response.setHeader('Trailer', 'X-Sum');
          for (let start = 0; start < large.length; start += 70_000) if (!response.write(large.subarray(start, start + 70_000))) await once(response, 'drain');
          response.addTrailers({ 'X-Sum': 'done' });
          response.end();
          return;
        case '/endless': {
          const send = () => {
            while (response.write(large));
          };
          response.on('drain', send);
          send();
          return;
        }
        case '/silent':
          return;
        case '/cut':
          response.setHeader('Content-Length', 1000);
          response.write('some');
          setImmediate(() => request.socket.destroy());
          return;
        default:
          response.end(`hello ${url.pathname}`);
      }
    });

    before(async () => {
      backend.listen(0, '127.0.0.1');
      await once(backend, 'listening');
      wire = await createWire(mode);
      relay = new Relay(wire, (backend.address() as AddressInfo).port);
      port = await relay.listen();
    });
    after(async () => {
      await relay.close();
      backend.closeAllConnections();
      await new Promise((resolve) => backend.close(resolve));
    });

    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    after(() => agent.destroy());
    const request = async (path: string, options: http.RequestOptions = {}, body?: Buffer | readonly Buffer[]): Promise<IncomingMessage> => {
      const outgoing = http.request({ port, host: '127.0.0.1', path, agent, ...options });
      const answer = once(outgoing, 'response');
      if (Array.isArray(body)) for (const piece of body as readonly Buffer[]) outgoing.write(piece);
      outgoing.end(Array.isArray(body) ? undefined : body);
      return (await answer)[0] as IncomingMessage;
    };

    it('reuses connections on both sides', async () => {
      const before = relay.opened;
      for (let count = 0; count < 20; count++) {
        const response = await request(`/${count}`);
        assert.equal(await text(response), `hello /${count}`);
      }
      assert.ok(relay.opened <= before + 1);
    });

    it('carries large bodies down, whole', async () => {
      const response = await request('/large');
      assert.equal(response.headers['content-length'], String(large.length));
      assert.equal(digest(Buffer.from(await text(response), 'latin1')), digest(large));
      const chunked = await request('/chunked');
      assert.equal(chunked.headers['transfer-encoding'], 'chunked');
      assert.equal(digest(Buffer.from(await text(chunked), 'latin1')), digest(large));
      assert.deepEqual(chunked.trailers, { 'x-sum': 'done' });
      assert.equal(await text(await request('/after')), 'hello /after');
    });

    it('carries large bodies up, whole', async () => {
      const sized = await request('/digest', { method: 'POST', headers: { 'Content-Length': large.length } }, large);
      assert.deepEqual(JSON.parse(await text(sized)), { length: large.length, digest: digest(large), framing: String(large.length), trailers: {} });
      const pieces = Array.from({ length: 50 }, (_, index) => large.subarray(index * 60_000, (index + 1) * 60_000));
      const chunked = await request('/digest', { method: 'POST' }, pieces);
      assert.deepEqual(JSON.parse(await text(chunked)), { length: large.length, digest: digest(large), framing: 'chunked', trailers: {} });
      const small = await request('/digest', { method: 'POST', headers: { Expect: '100-continue', 'Content-Length': 5 } }, Buffer.from('hello'));
      assert.deepEqual(JSON.parse(await text(small)), { length: 5, digest: digest(Buffer.from('hello')), framing: '5', trailers: {} });
    });

    it('holds little for a reader that does not read, and ends what its client has left', async () => {
      const socket = net.connect(port, '127.0.0.1');
      socket.pause();
      socket.write('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n');
      const [, response] = await once(backend, 'request');
      // Full: the backend's writes come to a stop.
      let written = -1;
      while (written !== response.socket.bytesWritten) {
        written = response.socket.bytesWritten;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const closed = closeOf(response.socket);
      const gone = relay.gone;
      socket.resetAndDestroy();
      await closed;
      assert.equal(relay.gone, gone + 1);
    });

    it('ends a request whose client has left', async () => {
      for (const leave of [(socket: net.Socket) => socket.destroy(), (socket: net.Socket) => socket.resetAndDestroy()]) {
        const socket = net.connect(port, '127.0.0.1');
        socket.write('GET /silent HTTP/1.1\r\nHost: a\r\n\r\n');
        const [silent] = await once(backend, 'request');
        const closed = closeOf(silent.socket);
        leave(socket);
        await closed;
      }
    });

    it('answers a client that half-closes', async () => {
      const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      socket.end('GET /half HTTP/1.1\r\nHost: a\r\n\r\n');
      const pieces: Buffer[] = [];
      for await (const piece of socket) pieces.push(piece as Buffer);
      assert.match(Buffer.concat(pieces).toString(), /^HTTP\/1\.1 200 OK\r\n.*hello \/half$/s);
    });

    it('cuts what its backend has cut', async () => {
      const response = await request('/cut', { agent: false });
      await assert.rejects(text(response), /aborted/);
      assert.equal(relay.failures.at(-1), 'reset');
    });

    it('does not lose an early refusal, however much the client still sends', async () => {
      const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      let received = '';
      socket.on('data', (bytes) => {
        received += bytes.toString();
      });
      socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n');
      for (let count = 0; count < 40; count++) {
        if (!socket.write(large.subarray(0, 100_000))) await once(socket, 'drain');
      }
      socket.end();
      await closeOf(socket);
      assert.match(received, /^HTTP\/1\.1 400 Bad Request\r\n/);
    });
  });
}
