/** Answers on every pod address with that address: which endpoint served a request is in its answer. A process of its own. */
import { createServer } from 'node:net';
import { POD_PORT } from './objects.ts';

const END_OF_HEAD = '\r\n\r\n';

createServer({ noDelay: true }, (socket) => {
  const body = socket.localAddress ?? '';
  const answer = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  let rest = '';
  socket.on('error', () => {});
  // Requests of the bench have no bodies, so that each ends with its head.
  socket.on('data', (bytes: Buffer) => {
    const heads = (rest + bytes.toString('latin1')).split(END_OF_HEAD);
    rest = heads.pop() as string;
    if (heads.length > 0) socket.write(answer.repeat(heads.length));
  });
}).listen({ host: '0.0.0.0', port: POD_PORT, backlog: 4096 });
