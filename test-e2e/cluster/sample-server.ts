/**
 * A backend that says who it is and what it was sent. Request fields say how it answers: `x-sample-delay` (milliseconds
 * before the answer), `x-sample-status`, `x-sample-bytes` (size of a body of x's in place of the document). It uses
 * nothing but Node.js, so that a Pod can run this very file: `node sample-server.ts`, with its name in POD_NAME.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer, type ServerOptions } from 'node:https';

/** What it answers with. */
export interface SampleAnswer {
  readonly pod: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function number(request: IncomingMessage, name: string): number | undefined {
  const value = Number(request.headers[name] ?? Number.NaN);
  return Number.isInteger(value) && value >= 0 ? value : undefined;
}

/** @param tls certificate and key, when it speaks TLS */
export function sampleServer(pod: string, tls?: ServerOptions): Server {
  const answer: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const document = { pod, method: request.method, path: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() };
      const bytes = number(request, 'x-sample-bytes');
      const body = bytes === undefined ? `${JSON.stringify(document)}\n` : 'x'.repeat(bytes);
      setTimeout(() => {
        response.writeHead(number(request, 'x-sample-status') ?? 200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
        response.end(body);
      }, number(request, 'x-sample-delay') ?? 0);
    });
  };
  const server = tls === undefined ? createServer(answer) : createSecureServer(tls, answer);
  // Longer than the gateway keeps idle connections, so that it is never the backend that closes first.
  server.keepAliveTimeout = 120_000;
  return server;
}

if (import.meta.main) {
  const server = sampleServer(process.env.POD_NAME ?? 'sample').listen(8080);
  process.on('SIGTERM', () => server.close(() => process.exit(0)));
}
