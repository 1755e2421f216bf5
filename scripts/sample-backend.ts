/**
 * A backend to try the gateway with: answers every request with a JSON document that says who it is and what it was
 * sent. `node scripts/sample-backend.ts --name orders --port 9102`; ends when its standard input does.
 */
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { name: { type: 'string' }, port: { type: 'string' } } });
const { name, port } = values;
if (name === undefined || port === undefined || !/^\d+$/.test(port)) {
  console.error('usage: node scripts/sample-backend.ts --name NAME --port PORT');
  process.exit(2);
}

const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    const body = JSON.stringify({ backend: name, method: request.method, path: request.url, headers: request.headers }, undefined, 2);
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) + 1 });
    response.end(`${body}\n`);
  });
});
server.on('error', (error: NodeJS.ErrnoException) => {
  console.error(error.code === 'EADDRINUSE' ? `sample backend ${name}: port ${port} is in use` : `sample backend ${name}: ${error.message}`);
  process.exit(1);
});
// Longer than the gateway keeps idle connections, so that it is never the backend that closes first.
server.keepAliveTimeout = 120_000;
server.listen(Number(port), '127.0.0.1', () => console.log(`ready ${(server.address() as { port: number }).port}`));

// Whoever started this holds the other end of its standard input, and the kernel closes it however that one ends.
process.stdin
  .on('end', () => process.exit(0))
  .on('error', () => process.exit(0))
  .resume();
