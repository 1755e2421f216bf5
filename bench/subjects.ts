/** What is measured: nginx, HAProxy, Envoy, Traefik, Caddy, and Tidegate on either wire, each set up to do the same work. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../scripts/free-port.ts';
import type { Addresses } from './load.ts';
import { LOAD_CORE } from './load.ts';
import { routeManifests, tidegateManifests } from './manifests.ts';
import { caddy } from './peers/caddy.ts';
import { envoy } from './peers/envoy.ts';
import { haproxy } from './peers/haproxy.ts';
import { nginx } from './peers/nginx.ts';
import type { Command, Task } from './peers/peer.ts';
import { traefik } from './peers/traefik.ts';
import { Process } from './processes.ts';

/** The core of the proxy. */
export const PROXY_CORE = '0';

const peers: Readonly<Record<string, (task: Task) => Command>> = { nginx, haproxy, envoy, traefik, caddy };

/** What `SUBJECTS` may name: the peers, and Tidegate's wires. */
export const KINDS = ['nginx', 'haproxy', 'envoy', 'traefik', 'caddy', 'handle', 'stream'] as const;

/** Which of the backends, and how it is spoken to. */
export type BackendProtocol = 'http1' | 'h2c' | 'grpc' | 'echo';
export type BackendPorts = Readonly<Record<BackendProtocol, number>>;

export interface Setting {
  readonly kind: (typeof KINDS)[number];
  /** By default `http1`. */
  readonly backend?: BackendProtocol;
  /** Tidegate only: health checks, a circuit breaker, retries and session affinity. */
  readonly healing?: boolean;
  /** Tidegate only: each request is answered from three calls to the backend. */
  readonly aggregate?: boolean;
  /** JWT (but for nginx and Traefik, which have none), a rate limit for each client, a header for the backend. */
  readonly gateway?: boolean;
  /** A JSON line a request, to a file. */
  readonly accessLog?: boolean;
  /** 10,000 routes on 1,000 hosts in place of one for everything. */
  readonly manyRoutes?: boolean;
  /** Tidegate only: a RateLimitPolicy that refuses nobody. */
  readonly rateLimit?: boolean;
  /** Tidegate only: one of scope Global, with a Redis on the core that the load comes from. */
  readonly globalLimit?: boolean;
  /** Answers are compressed so for clients that ask for it; nginx has gzip alone. */
  readonly compression?: 'gzip' | 'zstd';
  /** Answers that may be kept are; Tidegate and nginx only. */
  readonly cache?: boolean;
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
export async function startSubject(setting: Setting, backends: BackendPorts): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), `tidegate-bench-${setting.kind}-`));
  const http = await freePort();
  const https = await freePort();
  const redis = setting.globalLimit === true ? await startRedis(folder) : undefined;
  const process = await start(setting, folder, { http, https }, backends[setting.backend ?? 'http1'], redis?.flags);
  await process.untilListening(http);
  await process.untilListening(https);
  return {
    http,
    https,
    process,
    stop: async () => {
      await process.stop();
      await redis?.process.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startRedis(folder: string): Promise<{ readonly process: Process; readonly flags: readonly string[] }> {
  const port = await freePort();
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
  const process = new Process('Redis', 'redis-server', args, { cores: LOAD_CORE });
  await process.untilListening(port);
  // Time enough that nothing is let through uncounted.
  return { process, flags: ['--redis', `redis://127.0.0.1:${port}?timeout=1000`] };
}

async function start(setting: Setting, folder: string, ports: Addresses, backend: number, more: readonly string[] = []): Promise<Process> {
  const certificate = exampleCertificate();
  const cores = setting.cores ?? PROXY_CORE;
  const peer = peers[setting.kind];
  if (peer !== undefined) {
    const { name, command, args, env = {} } = peer({ folder, ports, backend, setting, certificate });
    return new Process(name, command, args, { cores, env });
  }
  const manifests = mkdtempSync(join(folder, 'manifests-'));
  for (const [name, text] of tidegateManifests(certificate, backend, setting)) writeFileSync(join(manifests, name), text);
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
    ...more,
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
