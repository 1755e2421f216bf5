import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { it } from 'node:test';
import { Deadlines } from '../exchange/deadlines.ts';
import { Fields } from '../exchange/fields.ts';
import { HandleWire } from '../wire/handle/handle-wire.ts';
import { Answer } from './answer.fixture.ts';
import { ClientConnection } from './client-connection.ts';

interface Resettable {
  readonly _handle: { reset(done: () => void): number };
}

it('a connection on which a write has failed carries no further request', async () => {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', () => {});
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as net.AddressInfo;
  const deadlines = new Deadlines(1000);
  let reusable = 0;
  let gone = 0;
  const client: ClientConnection = new ClientConnection(new HandleWire(), deadlines, { address: '127.0.0.1', port }, 5000, {
    onReusable: () => reusable++,
    onGone: () => gone++,
  });
  const answer = new Answer();
  const stream = client.request({ method: 'POST', target: '/', fields: Fields.of([['Host', 'a']]), body: 8 }, answer);
  stream.writeBody(Buffer.from('aaaa'), 0, 4, false);
  while (!stream.connected || sockets.length === 0 || (sockets[0] as net.Socket).bytesRead === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const socket = sockets[0] as net.Socket;
  socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno');
  (socket as unknown as Resettable)._handle.reset(() => {});
  stream.writeBody(Buffer.from('aaaa'), 0, 4, false);
  stream.endBody(undefined);
  while (gone === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  deadlines.close();
  server.close();
  assert.deepEqual([answer.status, answer.body, answer.whole, reusable, gone], [413, 'no', true, 0, 1]);
});
