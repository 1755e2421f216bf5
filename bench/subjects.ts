/** What is measured: nginx, HAProxy and Tidegate on either wire, each set up to do the same work. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../scripts/free-port.ts';
import { haproxyConfig, haproxyRoutes, nginxConfig } from './configurations.ts';
import type { Addresses } from './load.ts';
import { routeManifests, tidegateManifests } from './manifests.ts';
import { Process } from './processes.ts';

/** The core of the proxy. */
export const PROXY_CORE = '0';

export interface Setting {
  readonly kind: 'nginx' | 'haproxy' | 'handle' | 'stream';
  /** A JSON line a request, to a file. */
  readonly accessLog?: boolean;
  /** 10,000 routes on 1,000 hosts in place of one for everything. */
  readonly manyRoutes?: boolean;
  /** Tidegate only: a RateLimitPolicy that refuses nobody. */
  readonly rateLimit?: boolean;
  /** Tidegate only; 1 by default. */
  readonly workers?: number;
  /** By default the proxy's own core. */
  readonly cores?: string;
  /** Tidegate only: more for NODE_OPTIONS. */
  readonly nodeOptions?: string;
}

/** A proxy that serves. */
export interface Running extends Addresses {
  readonly process: Process;
  stop(): Promise<void>;
}

export interface Certificate {
  readonly chain: string;
  readonly key: string;
}

const root = join(import.meta.dirname, '..');

/** The example's certificate (ECDSA P-256), so that nothing needs to be made. */
export function exampleCertificate(): Certificate {
  const text = readFileSync(join(root, 'manifests/example/certificate.yaml'), 'utf8');
  const field = (name: string) => Buffer.from(new RegExp(`${name}: (\\S+)`).exec(text)?.[1] ?? '', 'base64').toString();
  return { chain: field('tls.crt'), key: field('tls.key') };
}

/** Starts a proxy in front of the backend and waits until it serves. */
export async function startSubject(setting: Setting, backendPort: number): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), `tidegate-bench-${setting.kind}-`));
  const http = await freePort();
  const https = await freePort();
  const process = await start(setting, folder, { http, https }, backendPort);
  await process.untilListening(http);
  await process.untilListening(https);
  return {
    http,
    https,
    process,
    stop: async () => {
      await process.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function start(setting: Setting, folder: string, ports: Addresses, backendPort: number): Promise<Process> {
  const certificate = exampleCertificate();
  const cores = setting.cores ?? PROXY_CORE;
  if (setting.kind === 'nginx') {
    writeFileSync(join(folder, 'tls.crt'), certificate.chain);
    writeFileSync(join(folder, 'tls.key'), certificate.key);
    writeFileSync(join(folder, 'nginx.conf'), nginxConfig(folder, ports, backendPort, setting));
    return new Process('nginx', 'nginx', ['-c', join(folder, 'nginx.conf'), '-p', folder], { cores });
  }
  if (setting.kind === 'haproxy') {
    writeFileSync(join(folder, 'tls.pem'), certificate.chain + certificate.key);
    writeFileSync(join(folder, 'routes.map'), haproxyRoutes());
    writeFileSync(join(folder, 'haproxy.cfg'), haproxyConfig(folder, ports, backendPort, setting));
    const log = setting.accessLog === true ? ` >${join(folder, 'access.log')}` : '';
    return new Process('HAProxy', 'sh', ['-c', `exec haproxy -db -f ${join(folder, 'haproxy.cfg')}${log}`], { cores });
  }
  const manifests = mkdtempSync(join(folder, 'manifests-'));
  for (const [name, text] of tidegateManifests(certificate, backendPort, setting.rateLimit === true)) writeFileSync(join(manifests, name), text);
  if (setting.manyRoutes === true) writeFileSync(join(manifests, 'routes.yaml'), routeManifests());
  const admin = await freePort();
  const listen = ['--http', `127.0.0.1:${ports.http}`, '--https', `127.0.0.1:${ports.https}`, '--admin', `127.0.0.1:${admin}`];
  const log = setting.accessLog === true ? join(folder, 'access.log') : 'off';
  const flags = [
    '--workers',
    String(setting.workers ?? 1),
    '--wire',
    setting.kind,
    '--access-log',
    log,
    '--default-certificate',
    'bench/tls',
    '--drain-delay',
    '0s',
  ];
  const env = setting.nodeOptions === undefined ? {} : { NODE_OPTIONS: setting.nodeOptions };
  const child = new Process('Tidegate', join(root, 'bin/tidegate'), ['serve', '--manifests', manifests, ...listen, ...flags], { cores, env });
  await child.until(() => isReady(admin), 'become ready');
  return child;
}

async function isReady(admin: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${admin}/readyz`)).status === 200;
  } catch {
    return false;
  }
}
