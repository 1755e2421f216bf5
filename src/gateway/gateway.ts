/** The whole program without its command line: source, controller, workers and admin port, started and stopped in order. */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { AdminServer } from '../admin/admin-server.ts';
import { Controller } from '../controller/controller.ts';
import { systemLookup } from '../controller/name-lookup.ts';
import { ResolvingPublisher } from '../controller/resolving-publisher.ts';
import { purgeOf } from '../policies/cache/cache-key.ts';
import { makeSelfSigned } from '../proxy/tls/self-signed.ts';
import { TicketKeyRing } from '../proxy/tls/ticket-keys.ts';
import { LISTENER } from '../snapshot/defaults.ts';
import { FileSource } from '../sources/file-source.ts';
import { FolderError } from '../sources/folder-scan.ts';
import type { ApiClient } from '../sources/kubernetes/api-client.ts';
import { CredentialsError } from '../sources/kubernetes/errors.ts';
import type { KubernetesSource } from '../sources/kubernetes/kubernetes-source.ts';
import type { StatusReporter } from '../status/status-reporter.ts';
import { EventLoopDelay } from '../telemetry/event-loop-delay.ts';
import { CONTENT_TYPE, Metrics } from '../telemetry/metrics.ts';
import type { SpanExporter, SpanExporterOptions } from '../telemetry/tracing/span-exporter.ts';
import { MemoryGuard } from '../workers/memory-guard.ts';
import type { Address } from '../workers/messages.ts';
import { WorkerPool } from '../workers/worker-pool.ts';
import type { ClusterSource, GatewayOptions, TracingOptions } from './options.ts';
import { checkRedisPassword, claim, listenMessage, prepareAccessLog, readAffinityKey, StartError } from './start-checks.ts';
import { configState, explainQuery, withHealth } from './views.ts';

/** How long the last spans may take at the end (ms). */
const LAST_SPANS = 1000;
/** Of `--drain-timeout`, what is kept for the last word to the cluster (ms). */
const REPORT_TIME = 5000;

const SINK_REMEDY = 'give standard output a pipe or a file, or write the access log to a file of its own with --access-log';

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
    const { http, https } = this.#options;
    const { addresses, release } = await claim([
      ['--http', http],
      ['--https', https],
    ]);
    try {
      await this.#startOn(addresses[0] ?? http, addresses[1] ?? https);
    } finally {
      release();
    }
  }

  async #startOn(http: Address, https: Address): Promise<void> {
    const options = this.#options;
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
      import('../sources/kubernetes/connect.ts'),
      import('../sources/kubernetes/kubernetes-source.ts'),
      import('../status/status-reporter.ts'),
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
  const [{ SpanExporter }, { encodeSpans }] = await Promise.all([import('../telemetry/tracing/span-exporter.ts'), import('../telemetry/tracing/otlp.ts')]);
  return new SpanExporter({ endpoint, log, encode: (spans) => encodeSpans(spans, resource, version) });
}
