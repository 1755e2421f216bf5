/** An HTTP/1.1 connection to a backend in memory, and what comes of requests on it. */
import { Deadlines } from '../exchange/deadlines.ts';
import { Fields } from '../exchange/fields.ts';
import { type BodyLength, NO_BODY, type UpstreamStream } from '../exchange/streams.ts';
import { Answer } from './answer.fixture.ts';
import { ClientConnection } from './client-connection.ts';
import { type MemoryConnection, MemoryWire } from './memory-wire.fixture.ts';

export function bench(up = true) {
  const wire = new MemoryWire();
  const deadlines = new Deadlines(1_000_000);
  deadlines.sweep(1000);
  const counts = { reusable: 0, gone: 0 };
  const client = new ClientConnection(wire, deadlines, { address: '192.0.2.9', port: 8080 }, 5_000, {
    onReusable: () => counts.reusable++,
    onGone: () => counts.gone++,
  });
  const connection = wire.connections[0] as MemoryConnection;
  const send = (method = 'GET', body: BodyLength = NO_BODY, fields: readonly (readonly [string, string])[] = [['Host', 'a']]) => {
    const answer = new Answer();
    const stream: UpstreamStream = client.request({ method, target: '/x?y', fields: Fields.of(fields), body }, answer);
    return { answer, stream };
  };
  if (up) connection.handler.onConnect?.();
  return { client, connection, counts, deadlines, wire, send };
}

export const GET = 'GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n';
export const ok = (body: string, ...fields: string[]) =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`;
export const chunked = (body: string, ...fields: string[]) =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`;
