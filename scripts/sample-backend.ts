/**
 * A backend to try the gateway with: answers every request with a JSON document that says who it is and what it was
 * sent; `profiles`, `purchases` and `hints` with what manifests/example/bff/ makes its answers of. `node scripts/sample-backend.ts --name orders --port 9102`; ends when its standard input does.
 */
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { name: { type: 'string' }, port: { type: 'string' } } });
const { name, port } = values;
if (name === undefined || port === undefined || !/^\d+$/.test(port)) {
  console.error('usage: node scripts/sample-backend.ts --name NAME --port PORT');
  process.exit(2);
}

const PROFILES: Readonly<Record<string, unknown>> = {
  ada: { id: 'ada', name: 'Ada', email: 'ada@example.com', topic: 'engines', passwordDigest: 'never to be shown' },
};
const PURCHASES: Readonly<Record<string, unknown>> = {
  ada: [
    { id: 2, item: 'punched cards', total: 12.5, supplier: 7 },
    { id: 1, item: 'ink', total: 3, supplier: 9 },
  ],
};

/** Of one of the three Services of manifests/example/bff/; undefined for the others. */
function answerOf(service: string, url: URL): { readonly status: number; readonly value: unknown } | undefined {
  switch (service) {
    case 'profiles': {
      const profile = PROFILES[url.pathname.slice('/profiles/'.length)];
      return profile === undefined ? { status: 404, value: { error: 'no such profile' } } : { status: 200, value: profile };
    }
    case 'purchases':
      return { status: 200, value: PURCHASES[url.searchParams.get('user') ?? ''] ?? [] };
    case 'hints':
      return { status: 503, value: { error: 'out of order' } };
    default:
      return undefined;
  }
}

const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    const { status, value } = answerOf(name, new URL(request.url ?? '/', 'http://backend')) ?? {
      status: 200,
      value: { backend: name, method: request.method, path: request.url, headers: request.headers },
    };
    const body = JSON.stringify(value, undefined, 2);
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) + 1 });
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
