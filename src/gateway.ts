/** The whole program without its command line: source, controller, workers and admin port, started and stopped in order. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Logger } from 'pino';
import { AdminServer, BadQuery } from './admin/admin-server.ts';
import { Controller } from './controller/controller.ts';
import { systemLookup } from './controller/name-lookup.ts';
import { ResolvingPublisher } from './controller/resolving-publisher.ts';
import { ExplainUsageError, explainRequest, renderExplanation } from './explain/explain.ts';
import { purgeOf } from './policies/cache/cache-key.ts';
import { makeSelfSigned } from './proxy/tls/self-signed.ts';
import { TicketKeyRing } from './proxy/tls/ticket-keys.ts';
import { currentPassword, type RedisSettings } from './redis/redis-settings.ts';
import type { Entries } from './resources/resource-set.ts';
import { LISTENER } from './snapshot/defaults.ts';
import type { Snapshot } from './snapshot/snapshot.ts';
import { FileSource } from './sources/file-source.ts';
import { FolderError } from './sources/folder-scan.ts';
import type { ApiClient } from './sources/kubernetes/api-client.ts';
import type { ClusterOptions } from './sources/kubernetes/connect.ts';
import { CredentialsError } from './sources/kubernetes/errors.ts';
import type { KubernetesSource } from './sources/kubernetes/kubernetes-source.ts';
import type { ReporterOptions, StatusReporter } from './status/status-reporter.ts';
import { EventLoopDelay } from './telemetry/event-loop-delay.ts';
import { closeSink, openSink, type StandardOutput, unblockStandardOutput } from './telemetry/log-sink.ts';
import { CONTENT_TYPE, type ConfigState, type EndpointCounts, Metrics } from './telemetry/metrics.ts';
import type { SpanExporter, SpanExporterOptions } from './telemetry/tracing/span-exporter.ts';
import type { TlsParameters } from './wire/secure-context.ts';
import { MemoryGuard } from './workers/memory-guard.ts';
import type { Address, WorkerSettings } from './workers/messages.ts';
import { WorkerPool } from './workers/worker-pool.ts';

/** How long the last spans may take at the end (ms). */
const LAST_SPANS = 1000;
/** Of `--drain-timeout`, what is kept for the last word to the cluster (ms). */
const REPORT_TIME = 5000;

export interface ClusterSource {
  readonly cluster: ClusterOptions;
  readonly namespaces: readonly string[];
  /** Where clients reach the gateway: what Ingresses get as their addresses. */
  readonly publish: ReporterOptions['publish'];
  /** Among replicas; no other process ever has it. */
  readonly identity: string;
  /** Where replicas agree on their leader; undefined: in the namespace of the kubeconfig's context, or of the ServiceAccount. */
  readonly ownNamespace: string | undefined;
}

export interface TracingOptions {
  /** URL of an OpenTelemetry collector. */
  readonly endpoint: string;
  /** Share of the traces that are recorded, 0 to 1. */
  readonly ratio: number;
  /** Who we are, as OpenTelemetry's attributes of a resource. */
  readonly resource: Readonly<Record<string, string>>;
  readonly version: string;
}

export interface GatewayOptions {
  /** Objects come from a folder of manifests, or from an API server: from some of its namespaces, or from all where none is named. */
  readonly source: { readonly manifests: string } | ClusterSource;
  readonly http: Address;
  readonly https: Address;
  readonly admin: Address;
  readonly workers: number;
  readonly ingressClass: string;
  readonly trustedProxies: readonly string[];
  /** Connections of `trustedProxies` begin with a PROXY header, on both ports. */
  readonly proxyProtocol: boolean;
  readonly defaultCertificate?: string;
  readonly allowExternalName: boolean;
  /** URLs that policies name may lead to this machine; with a folder they always may. */
  readonly allowLoopbackFetch: boolean;
  /** Milliseconds. */
  readonly drainDelay: number;
  readonly drainTimeout: number;
  readonly wire: WorkerSettings['wire'];
  readonly accessLog: string;
  /** HTTP/2 by prior knowledge on the plain listener. */
  readonly h2c: 'on' | 'off';
  /** What TLS clients get; `parametersFlaw` finds none. */
  readonly tls: TlsParameters;
  /** File with the secret that affinity cookies are made with. */
  readonly affinityKeyFile?: string;
  /** 0: no limit. */
  readonly maxConnectionsPerClient: number;
  readonly maxConcurrency: WorkerSettings['maxConcurrency'];
  /** Bytes for stored answers. */
  readonly cacheMemory: number;
  /** The pod's; empty: unknown. */
  readonly zone: string;
  /** Where traces go; undefined: nowhere. */
  readonly tracing: TracingOptions | undefined;
  /** Where replicas count together; absent: nowhere. */
  readonly redis?: RedisSettings;
}

const SINK_REMEDY = 'give standard output a pipe or a file, or write the access log to a file of its own with --access-log';

/** Serving can't begin, and it is the user's to mend; the message is one line. */
export class StartError extends Error {}

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #log: Logger;
  readonly #delay = new EventLoopDelay();
  #pool: WorkerPool | undefined;
  #source: FileSource | KubernetesSource | undefined;
  #client: ApiClient | undefined;
  #reporter: StatusReporter | undefined;
  #controller: Controller | undefined;
  #publisher: ResolvingPublisher | undefined;
  #admin: AdminServer | undefined;
  #ticketKeys: TicketKeyRing | undefined;
  #spans: SpanExporter | undefined;
  /** Every worker has served: from then on there may be something to drain. */
  #started = false;
  #draining = false;

  readonly #guard = new MemoryGuard((isShort, used) => {
    this.#pool?.setMemoryShort(isShort);
    const share = `${Math.round(used * 100)} % of the container's limit`;
    if (isShort) this.#write('warn', 'memory is short: new requests are refused', { used: share });
    else this.#write('info', 'memory is no longer short', { used: share });
  });

  readonly #write = (level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void =>
    this.#log[level](fields, message);

  constructor(options: GatewayOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
  }

  /**
   * Resolves once every worker serves the first snapshot.
   * @throws (rejects) StartError
   */
  async start(): Promise<void> {
    const options = this.#options;
    const http = await claim('--http', options.http);
    const https = await claim('--https', options.https);
    const output = prepareAccessLog(options.accessLog);
    const affinityKey = readAffinityKey(options.affinityKeyFile);
    if (options.tracing !== undefined) this.#spans = await openExporter(options.tracing, this.#write);
    checkRedisPassword(options.redis);
    await new Promise<void>((resolve, reject) => {
      const ticketKeys = new TicketKeyRing((keys) => pool.setTicketKeys(keys));
      this.#ticketKeys = ticketKeys;
      const pool = new WorkerPool(
        {
          workers: options.workers,
          http,
          https,
          wire: options.wire,
          trustedProxies: options.trustedProxies,
          proxyProtocol: options.proxyProtocol,
          accessLog: options.accessLog,
          h2c: options.h2c === 'on',
          tls: options.tls,
          maxConnections: LISTENER.maxConnections,
          maxConnectionsPerClient: options.maxConnectionsPerClient,
          maxConcurrency: options.maxConcurrency,
          zone: options.zone,
          traceRatio: options.tracing?.ratio,
          ...(options.redis && { redis: options.redis }),
          allowLoopbackFetch: options.allowLoopbackFetch || 'manifests' in options.source,
          cacheMemory: options.cacheMemory,
          selfSigned: makeSelfSigned(),
          ticketKeys: ticketKeys.current,
          affinity: { ...(affinityKey === undefined ? {} : { configured: affinityKey }), own: randomBytes(32) },
        },
        {
          onListenFailed: (listener, address, code) => reject(new StartError(`--${listener} ${address.host}:${address.port}: ${code}`)),
          onSpans: (spans) => this.#spans?.add(spans),
        },
        this.#write,
      );
      this.#pool = pool;
      this.#begin(pool).then(resolve, reject);
    });
    this.#started = true;
    this.#guard.start();
    // Not before: a start that fails is one line.
    if (output === 'shared') this.#log.warn({ remedy: SINK_REMEDY }, 'standard output is a socket: it does not block any more, for all who share it');
    if (output === 'blocking') this.#log.warn({ remedy: SINK_REMEDY }, 'standard output may block, and hold up traffic');
    if (options.proxyProtocol && options.trustedProxies.length === 0) {
      this.#log.warn(
        { remedy: "name the load balancer's addresses with --trusted-proxies" },
        '--proxy-protocol does nothing: no peer is trusted to say whose a connection is',
      );
    }
    this.#log.info({ http, https, workers: options.workers }, 'serving');
  }

  async #begin(pool: WorkerPool): Promise<void> {
    const options = this.#options;
    const log = this.#write;
    const fromFolder = 'manifests' in options.source;
    const allowLoopbackFetch = options.allowLoopbackFetch || fromFolder;
    const source = 'manifests' in options.source ? new FileSource({ folder: options.source.manifests, log }) : await this.#openCluster(options.source);
    this.#source = source;
    const reporter = this.#reporter;
    const publisher = new ResolvingPublisher(pool, {
      lookup: systemLookup,
      log,
      allowLoopbackEndpoints: fromFolder,
      allowLoopbackFetch,
      onTroubles: (troubles) => controller.setNameTroubles(troubles),
    });
    this.#publisher = publisher;
    const controller: Controller = new Controller(
      source,
      { ...options, hasRedis: options.redis !== undefined, allowLoopbackEndpoints: fromFolder, allowLoopbackFetch },
      publisher,
      log,
      (set, result) => {
        publisher.refuse(set.apiServer);
        reporter?.update(set, result);
      },
    );
    const metrics = new Metrics(
      pool,
      () => configState(controller, publisher.published, pool),
      () => this.#delay.take(),
      () => publisher.counts,
      this.#spans === undefined ? undefined : () => (this.#spans as SpanExporter).counts,
      'states' in source && reporter !== undefined ? { sources: () => source.states, reporting: reporter } : undefined,
    );
    this.#controller = controller;
    this.#admin = new AdminServer(
      {
        ready: () => this.#readiness(pool, source),
        metrics: async () => ({ status: 200, contentType: CONTENT_TYPE, body: await metrics.render() }),
        snapshot: () => (publisher.published === undefined ? null : withHealth(publisher.published, pool)),
        purge: (purge) => pool.cache.purge(purgeOf(purge)),
        explain: (query) => explainQuery(publisher.published, query),
      },
      (error) => this.#log.error({ error: String(error) }, 'admin request failed'),
    );
    const admin = options.admin;
    const port = await this.#admin.listen(admin.host, admin.port).catch((error: NodeJS.ErrnoException) => {
      throw new StartError(listenMessage('--admin', admin, error));
    });
    const tell = (): void => this.#log.info({ host: admin.host, port }, 'admin port open');
    // An API server may be long in coming; a folder that is not there ends the program at once.
    if (!fromFolder) tell();
    await controller.start().catch((error) => {
      throw error instanceof FolderError ? new StartError(`--manifests: ${error.message}`) : error;
    });
    if (fromFolder) tell();
    await pool.untilServing();
    // Whoever leads has seen what there is.
    if (!this.#draining) reporter?.start();
  }

  /** @throws (rejects) StartError when it is not even known where the API server is, or who we are to it */
  async #openCluster({ cluster, namespaces, publish, identity, ownNamespace }: ClusterSource): Promise<KubernetesSource> {
    // Loaded only here, so that a folder costs nothing of it.
    const [{ connect }, { KubernetesSource }, { StatusReporter }] = await Promise.all([
      import('./sources/kubernetes/connect.ts'),
      import('./sources/kubernetes/kubernetes-source.ts'),
      import('./status/status-reporter.ts'),
    ]);
    const client = await connect(cluster).catch((error) => {
      if (!(error instanceof CredentialsError)) throw error;
      throw new StartError('kubeconfig' in cluster ? `--kubeconfig: ${error.message}` : error.message);
    });
    this.#client = client;
    const { ingressClass, defaultCertificate } = this.#options;
    this.#log.info({ server: client.server, namespaces: namespaces.length === 0 ? 'all' : namespaces }, 'reading from the API server');
    const log = this.#write;
    const reporter = new StatusReporter({ api: client, namespace: ownNamespace ?? client.namespace, identity, ingressClass, publish, log });
    this.#reporter = reporter;
    return new KubernetesSource({ client, namespaces, ingressClass, defaultCertificate, log, observer: reporter.observed });
  }

  #readiness(pool: WorkerPool, source: FileSource | KubernetesSource): { readonly ready: boolean; readonly reason: string } {
    if (this.#draining) return { ready: false, reason: 'draining' };
    if ('hasSynced' in source && !source.hasSynced) return { ready: false, reason: source.waitingFor };
    return { ready: pool.ready, reason: 'no worker serves' };
  }

  /**
   * Stops as `--drain-delay` and `--drain-timeout` say. Resolves with whether every connection came to its end, and how many
   * exchanges had to be cut short.
   */
  async drain(): Promise<{ readonly clean: boolean; readonly cut: number }> {
    this.#draining = true;
    const until = performance.now() + this.#options.drainTimeout;
    const retired = this.#reporter?.retire();
    const pool = this.#pool;
    const { drainDelay, drainTimeout } = this.#options;
    const timeout = new Promise<boolean>((resolve) => setTimeout(resolve, drainTimeout, false));
    if (pool === undefined || !this.#started) {
      await Promise.race([timeout, retired]);
      return { clean: true, cut: 0 };
    }
    pool.drain();
    const drained = new Promise((resolve) => setTimeout(resolve, drainDelay)).then(() => pool.closeListeners()).then(() => true);
    // What is left to write when this was the last replica must not wait for exchanges that are cut in the end.
    const late = new Promise((resolve) => setTimeout(resolve, Math.max(0, drainTimeout - REPORT_TIME)));
    const finished = Promise.race([drained, late])
      .then(() => retired)
      .then(() => this.#reporter?.finish(until));
    const clean = await Promise.race([timeout, drained]);
    const cut = clean ? 0 : await pool.stopExchanges();
    await this.#spans?.close(LAST_SPANS);
    await Promise.race([timeout, finished]);
    return { clean, cut };
  }

  reopenLogs(): void {
    this.#pool?.reopenLogs();
  }

  /** For whoever runs a gateway inside another program: stops at once. */
  async close(): Promise<void> {
    this.#ticketKeys?.close();
    this.#guard.close();
    this.#delay.close();
    await this.#controller?.close();
    this.#publisher?.close();
    await this.#reporter?.retire();
    await this.#source?.close();
    await this.#client?.close();
    await this.#admin?.close();
    await this.#pool?.stop();
    await this.#spans?.close(0);
  }
}

/** The library for it is loaded where it is used alone. */
async function openExporter({ endpoint, resource, version }: TracingOptions, log: SpanExporterOptions['log']): Promise<SpanExporter> {
  const [{ SpanExporter }, { encodeSpans }] = await Promise.all([import('./telemetry/tracing/span-exporter.ts'), import('./telemetry/tracing/otlp.ts')]);
  return new SpanExporter({ endpoint, log, encode: (spans) => encodeSpans(spans, resource, version) });
}

/** Fewer bytes are no secret; what people make keys with gives at least 32. */
const LEAST_AFFINITY_KEY = 16;

/** @throws StartError when the file can't be read, or holds no key */
function readAffinityKey(file: string | undefined): Uint8Array | undefined {
  if (file === undefined) return undefined;
  let key: Buffer;
  try {
    key = readFileSync(file);
  } catch (error) {
    throw new StartError(`--affinity-key-file ${file}: ${(error as Error).message}`);
  }
  if (key.length < LEAST_AFFINITY_KEY) {
    throw new StartError(
      `--affinity-key-file ${file}: has ${key.length} bytes; write at least ${LEAST_AFFINITY_KEY} random ones, such as openssl rand -hex 32 gives`,
    );
  }
  return key;
}

/** @throws StartError when the password can't be read: that it is wrong, only Redis can tell */
function checkRedisPassword(redis: RedisSettings | undefined): void {
  if (redis === undefined) return;
  try {
    currentPassword(redis);
  } catch (error) {
    throw new StartError(`--redis-password-file ${redis.passwordFile}: ${(error as Error).message}`);
  }
}

/**
 * @returns what is to be known of standard output, where the log goes there
 * @throws StartError when the log can't be opened, before any worker finds out
 */
function prepareAccessLog(target: string): StandardOutput | undefined {
  if (target === 'off') return undefined;
  if (target === 'stdout') return unblockStandardOutput();
  try {
    closeSink(openSink(target));
  } catch (error) {
    // Opened as a sink is, a named pipe waits for no reader.
    const { code, message } = error as NodeJS.ErrnoException;
    throw new StartError(`--access-log ${target}: ${code === 'ENXIO' ? 'nobody reads this named pipe; start its reader first' : message}`);
  }
  return undefined;
}

function configState({ resources }: Controller, published: Snapshot | undefined, pool: WorkerPool): ConfigState {
  const objects = new Map<string, { valid: number; invalid: number }>();
  const endpoints = new Map<string, EndpointCounts>();
  for (const entries of Object.values(resources ?? {})) {
    if (!(entries instanceof Map)) continue;
    for (const entry of (entries as Entries<unknown>).values()) {
      const counts = objects.get(entry.kind) ?? { valid: 0, invalid: 0 };
      objects.set(entry.kind, counts);
      if (entry.problems.some((problem) => problem.severity === 'error')) counts.invalid++;
      else counts.valid++;
    }
  }
  for (const [key, list] of published?.endpoints ?? []) {
    const counts = { healthy: 0, unhealthy: 0, ejected: 0, terminating: 0 };
    for (const endpoint of list) counts[endpoint.state === 'Terminating' ? 'terminating' : pool.healthOf(key, endpoint)]++;
    endpoints.set(key, counts);
  }
  return { objects, endpoints };
}

/** The snapshot, with the health of those endpoints that are not healthy. */
function withHealth(snapshot: Snapshot, pool: WorkerPool): unknown {
  const endpoints = [...snapshot.endpoints].map(([key, list]) => {
    const told = list.map((endpoint) => {
      const health = pool.healthOf(key, endpoint);
      return health === 'healthy' ? endpoint : { ...endpoint, health };
    });
    return [key, told] as const;
  });
  return { ...snapshot, endpoints: new Map(endpoints) };
}

/** @throws BadQuery */
function explainQuery(snapshot: Snapshot | undefined, query: URLSearchParams): { json: unknown; text: string } {
  const url = query.get('url');
  if (url === null) throw new BadQuery('explain needs ?method=GET&url=http://host/path; further: header=name:value (repeatable), clientIp=');
  if (snapshot === undefined) throw new BadQuery('there is no snapshot yet');
  const headers = query.getAll('header').map((header): readonly [string, string] => {
    const colon = header.indexOf(':');
    if (colon < 1) throw new BadQuery(`"${header}" is no header; expected 'name: value'`);
    return [header.slice(0, colon).trim(), header.slice(colon + 1).trim()];
  });
  try {
    const report = explainRequest(snapshot, { method: query.get('method') ?? 'GET', url, headers, clientIp: query.get('clientIp') ?? '127.0.0.1' });
    return { json: report, text: renderExplanation(report) };
  } catch (error) {
    throw error instanceof ExplainUsageError ? new BadQuery(error.message) : error;
  }
}

/**
 * Workers share their ports, and so would two gateways without a word. So the port is taken alone first; that also finds
 * the port where 0 was asked for.
 * @throws (rejects) StartError
 */
async function claim(name: string, address: Address): Promise<Address> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new StartError(listenMessage(name, address, error))));
    server.listen({ host: address.host, port: address.port, exclusive: true }, () => {
      const bound = server.address();
      const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
      server.close(() => resolve({ host: address.host, port }));
    });
  });
}

function listenMessage(name: string, { host, port }: Address, error: NodeJS.ErrnoException): string {
  const where = `${name} ${host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `${where}: the port is in use by another process; stop it or choose another port`;
    case 'EACCES':
      return `${where}: not permitted; ports below 1024 need a privilege, choose a higher one`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${where}: ${host} is not an address of this machine`;
    default:
      return `${where}: ${error.message}`;
  }
}
