/**
 * Answers every HTTP request with the same 150 bytes, straight on the sockets: what src/wire/ costs by itself. No codec; a
 * request is taken to end where a read ends.
 *
 *     node bench/micro/wire-server.ts stream|handle HTTP-PORT HTTPS-PORT CERTIFICATE KEY
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type Connection, type ConnectionHandler, createWire, secureContextOptions, type WireMode } from '../../src/wire/index.ts';

const [mode, http, https, certificate, key] = process.argv.slice(2);
const body = JSON.stringify({ id: 1, text: 'x'.repeat(130) });
const answer = `HTTP/1.1 200 OK\r\nServer: wire\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const lastAnswer = answer.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n');
const CLOSE = Buffer.from('onnection: close');

class Answers implements ConnectionHandler {
  private readonly connection: Connection;
  constructor(connection: Connection) {
    this.connection = connection;
  }
  onData(bytes: Buffer, start: number, end: number): void {
    const last = bytes.subarray(start, end).includes(CLOSE);
    this.connection.writeLatin1(last ? lastAnswer : answer);
    if (last) this.connection.finish();
  }
  onEnd(): void {
    this.connection.end();
  }
  onDrain(): void {}
  onClose(): void {}
}

const wire = await createWire(mode as WireMode);
const accept = (connection: Connection) => {
  connection.handler = new Answers(connection);
};
const context = createSecureContext({ ...secureContextOptions, cert: readFileSync(certificate as string), key: readFileSync(key as string) });
const tls = { secureContext: () => context, ticketKeys: randomBytes(48), handshakeTimeout: 10_000, alpnProtocols: [] };
const common = { host: '127.0.0.1', reusePort: false, maxConnections: 10_000, backlog: 4096 };
await wire.listen({ ...common, port: Number(http) }, accept);
await wire.listen({ ...common, port: Number(https), tls }, accept);
