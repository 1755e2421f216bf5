/** The backend of every run: nginx on the load generator's core. 150 bytes of JSON, 1 MiB to fetch, and a place to send 1 MiB to. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../scripts/free-port.ts';
import { nginxProcess, nginxTemporaryFiles } from './configurations.ts';
import { LOAD_CORE } from './load.ts';
import { Process } from './processes.ts';

const MIB = 1024 * 1024;

/** 150 bytes of JSON. */
function body150(): string {
  const product = { id: 'b7e23ec29af22b0b4e41da31e868d57226121c84', name: 'Tide table', tags: ['sea', 'gate'], price: 12.5, stock: 42, note: '' };
  return JSON.stringify({ ...product, note: '.'.repeat(150 - JSON.stringify(product).length) });
}

export interface Backend {
  readonly port: number;
  stop(): Promise<void>;
}

export async function startBackend(): Promise<Backend> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-backend-'));
  const port = await freePort();
  mkdirSync(join(folder, 'files'));
  writeFileSync(join(folder, 'files/down'), Buffer.alloc(MIB, 'x'));
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
    location / { return 200 '${body150()}'; }
    location = /down { root ${folder}/files; default_type application/octet-stream; }
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
  await child.untilListening(port);
  return {
    port,
    stop: async () => {
      await child.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
