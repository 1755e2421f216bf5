/**
 * The sockets of src/wire/ by themselves against nginx: each answers 150 bytes without a backend. Prints requests per busy
 * second of the server's core, which other work on the machine disturbs less than requests per second, and the ratios.
 *
 *     node bench/micro/wire.ts [rounds [seconds [case ...]]]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../scripts/free-port.ts';
import { type Load, tlsConnections, wrk } from '../load.ts';
import { nginxUser } from '../peers/nginx.ts';
import { killAll, Process } from '../processes.ts';
import { PROXY_CORE } from '../subjects.ts';

const [rounds = 3, seconds = 2] = process.argv.slice(2, 4).map(Number);
const chosen = process.argv.slice(4);
const testdata = join(import.meta.dirname, '../../src/wire/testdata');
const folder = mkdtempSync(join(tmpdir(), 'tidegate-wire-'));
const close = { headers: ['Connection: close'] };

interface Case {
  readonly name: string;
  readonly key: 'rsa' | 'ecdsa';
  readonly load: Load;
}

const cases: readonly Case[] = [
  { name: 'plain', key: 'ecdsa', load: wrk() },
  { name: 'connections', key: 'ecdsa', load: wrk(close) },
  { name: 'tls', key: 'ecdsa', load: wrk({ tls: true }) },
  { name: 'tls-full-ecdsa', key: 'ecdsa', load: tlsConnections('tls-full') },
  { name: 'tls-full-rsa', key: 'rsa', load: tlsConnections('tls-full') },
  { name: 'tls-resumed', key: 'ecdsa', load: tlsConnections('tls-resumed') },
];

interface Server {
  readonly name: string;
  readonly process: Process;
  readonly http: number;
  readonly https: number;
}

function nginxConfig(key: string, http: number, https: number): string {
  return `daemon off; ${nginxUser} worker_processes 1; pid ${folder}/nginx-${key}.pid; error_log stderr error;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000; default_type application/json; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:16m;
  ssl_certificate ${testdata}/${key}.crt; ssl_certificate_key ${testdata}/${key}.key;
  client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  server { listen 127.0.0.1:${http} backlog=4096; listen 127.0.0.1:${https} ssl backlog=4096; location / { return 200 '${JSON.stringify({ id: 1, text: 'x'.repeat(130) })}'; } } }`;
}

async function start(name: string, key: string): Promise<Server> {
  const http = await freePort();
  const https = await freePort();
  let server: Process;
  if (name === 'nginx') {
    const file = join(folder, `nginx-${key}.conf`);
    writeFileSync(file, nginxConfig(key, http, https));
    server = new Process(name, 'nginx', ['-c', file], { cores: PROXY_CORE });
  } else {
    const files = [`${testdata}/${key}.crt`, `${testdata}/${key}.key`];
    server = new Process(name, process.execPath, [join(import.meta.dirname, 'wire-server.ts'), name, String(http), String(https), ...files], {
      cores: PROXY_CORE,
    });
  }
  await server.untilListening(https);
  return { name, process: server, http, https };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

try {
  for (const { name, key, load } of cases) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    const servers: Server[] = [];
    for (const subject of ['nginx', 'handle', 'stream']) servers.push(await start(subject, key));
    const busy = new Map<string, number[]>(servers.map((server) => [server.name, []]));
    const rate = new Map<string, number[]>(servers.map((server) => [server.name, []]));
    for (let round = -1; round < rounds; round++) {
      for (const server of servers) {
        const before = server.process.cpuSeconds();
        const result = await load(server, seconds);
        // The first round warms up.
        if (round < 0) continue;
        busy.get(server.name)?.push(result.requests / (server.process.cpuSeconds() - before));
        rate.get(server.name)?.push(result.requests / result.seconds);
      }
    }
    const base = median(busy.get('nginx') ?? []);
    const line = servers.map((server) => {
      const value = median(busy.get(server.name) ?? []);
      return `${server.name} ${value.toFixed(0)}/busy s (${(value / base).toFixed(2)}), ${median(rate.get(server.name) ?? []).toFixed(0)}/s, ${server.process.residentMiB().toFixed(0)} MiB`;
    });
    console.log(`${name.padEnd(15)} ${line.join('; ')}`);
    for (const server of servers) await server.process.stop();
  }
} finally {
  killAll();
  rmSync(folder, { recursive: true, force: true });
}
