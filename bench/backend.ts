/**
 * The backends of every run, on the load generator's core: nginx with 150 bytes of JSON, 1 MiB to fetch, a place to send 1 MiB
 * to and a gRPC answer, by HTTP/1.1 and by HTTP/2 in clear; and a WebSocket that echoes.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../scripts/free-port.ts';
import { LOAD_CORE, loadgen } from './load.ts';
import { nginxProcess, nginxTemporaryFiles } from './peers/nginx.ts';
import { Process } from './processes.ts';
import type { BackendPorts } from './subjects.ts';

const MIB = 1024 * 1024;

/** 150 bytes of JSON. */
function body150(): string {
  const product = { id: 'b7e23ec29af22b0b4e41da31e868d57226121c84', name: 'Tide table', tags: ['sea', 'gate'], price: 12.5, stock: 42, note: '' };
  return JSON.stringify({ ...product, note: '.'.repeat(150 - JSON.stringify(product).length) });
}

/** A gRPC message of 150 bytes: not compressed, its length in four bytes (gRPC over HTTP/2, "Length-Prefixed-Message"). */
function grpcMessage(): Buffer {
  const message = Buffer.from(body150());
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

export interface Backends {
  readonly ports: BackendPorts;
  stop(): Promise<void>;
}

export async function startBackends(): Promise<Backends> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-backend-'));
  const port = await freePort();
  const http2Port = await freePort();
  const echoPort = await freePort();
  mkdirSync(join(folder, 'files'));
  writeFileSync(join(folder, 'files/down'), Buffer.alloc(MIB, 'x'));
  writeFileSync(join(folder, 'files/grpc'), grpcMessage());
  writeFileSync(join(folder, 'files/json'), products(10 * 1024));
  const config = `
${nginxProcess(folder)}
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  keepalive_timeout 600s;
  client_max_body_size 0;
  client_body_buffer_size 2m;
  ${nginxTemporaryFiles(folder)}
  default_type application/json;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    listen 127.0.0.1:${http2Port} http2 backlog=4096;
    location / { return 200 '${body150()}'; }
    location = /down { root ${folder}/files; default_type application/octet-stream; }
    location = /cached { add_header Cache-Control max-age=60; return 200 '${body150()}'; }
    location = /json { root ${folder}/files; open_file_cache max=4; }
    # A POST to a file is refused, and the refusal answered with the file.
    location = /bench.Echo/Say { error_page 405 =200 /grpc; return 405; }
    location = /grpc { root ${folder}/files; default_type application/grpc; open_file_cache max=4; add_trailer grpc-status 0 always; }
    # A bare return would answer before the body is there. This reads it all first, as applications do.
    location = /up {
      proxy_pass http://unix:${folder}/answer.sock;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }
  }
  server {
    listen unix:${folder}/answer.sock;
    location / { return 200 '${body150()}'; }
  }
}
`;
  writeFileSync(join(folder, 'nginx.conf'), config);
  const child = new Process('the nginx backend', 'nginx', ['-c', join(folder, 'nginx.conf'), '-p', folder], { cores: LOAD_CORE });
  const echo = new Process('the WebSocket backend', loadgen, ['-mode', 'echo-server', '-address', `127.0.0.1:${echoPort}`], { cores: LOAD_CORE });
  await child.untilListening(port);
  await echo.untilListening(echoPort);
  return {
    ports: { http1: port, h2c: http2Port, grpc: http2Port, echo: echoPort },
    stop: async () => {
      await echo.stop();
      await child.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** JSON as a shop's API might have it. @param length bytes, at least */
function products(length: number): string {
  const items: object[] = [];
  let text = '[]';
  while (text.length < length) {
    const id = items.length;
    items.push({
      id,
      name: `Product number ${id}`,
      price: ((id * 7919) % 1000) / 10,
      tags: [`a${id % 7}`, `b${id % 5}`],
      sku: ((id + 1) * 2654435761).toString(36),
    });
    text = JSON.stringify(items);
  }
  return text;
}
