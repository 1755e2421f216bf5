/** Everything that one worker runs: listeners, proxy, upstreams, certificates, and how a new snapshot replaces the old one. */
import type { DocumentState } from '../fetch/document-state.ts';
import { Fetcher } from '../fetch/fetcher.ts';
import { WorkerDocuments } from '../fetch/worker-documents.ts';
import type { ServerOptions } from '../http1/server-connection.ts';
import { Consumers } from '../policies/auth/consumers.ts';
import { Introspectors } from '../policies/auth/introspection/introspectors.ts';
import { JwtVerifiers } from '../policies/auth/jwt/verifiers.ts';
import type { RefreshOutcome } from '../policies/auth/oidc/pod-refreshes.ts';
import { type RefreshBroker, Refreshes } from '../policies/auth/oidc/refreshes.ts';
import { Passwords } from '../policies/auth/passwords/passwords.ts';
import { CacheMemory } from '../policies/cache/cache-memory.ts';
import { type CacheNews, type CacheResults, ResponseCache } from '../policies/cache/response-cache.ts';
import type { PolicyContext } from '../policies/policy.ts';
import { limitScript } from '../policies/rate-limit/global/limit-script.ts';
import { LimitStore } from '../policies/rate-limit/global/limit-store.ts';
import { RateLimiter } from '../policies/rate-limit/limiter.ts';
import { Secrets } from '../policies/secrets.ts';
import { RedisConnection } from '../redis/redis-connection.ts';
import type { RedisSettings } from '../redis/redis-settings.ts';
import { Script } from '../redis/script-connection.ts';
import { LISTENER } from '../snapshot/defaults.ts';
import type { UpstreamKey } from '../snapshot/upstream.ts';
import { AccessLog, LogBaton } from '../telemetry/access-log.ts';
import { LimitStoreMetrics } from '../telemetry/limit-store-metrics.ts';
import type { MetricFamily } from '../telemetry/metric-family.ts';
import type { Span } from '../telemetry/tracing/span.ts';
import { Tracer } from '../telemetry/tracing/tracer.ts';
import { WorkerMetrics } from '../telemetry/worker-metrics.ts';
import { AffinityKeys } from '../upstream/affinity-keys.ts';
import { BreakerMemory } from '../upstream/breaker/breaker-memory.ts';
import { breakerFamilies } from '../upstream/breaker/breaker-metrics.ts';
import { SharedHealth } from '../upstream/health/shared-health.ts';
import type { WorkerHealth } from '../upstream/health/worker-health.ts';
import { InFlight } from '../upstream/shared-counters.ts';
import { Upstreams } from '../upstream/upstreams.ts';
import { contextOptionsOf } from '../wire/secure-context.ts';
import type { HandshakeOffer, Wire } from '../wire/wire.ts';
import type { ChangeEnd, ChangePart, PublishedEndpoints, WorkerSettings } from '../workers/messages.ts';
import { BackendConnector } from './backend-connector.ts';
import { UpstreamCalls } from './calls/upstream-calls.ts';
import { ClientIdentity } from './client-identity.ts';
import { DescriptorShortage } from './descriptor-shortage.ts';
import { ConnectionCounts, Listener, type ListenerName } from './listeners.ts';
import { ClientConnections } from './overload/client-connections.ts';
import { Overload } from './overload/overload.ts';
import { OverloadMemory } from './overload/overload-memory.ts';
import { Passthroughs } from './passthrough/passthrough.ts';
import { ServerNames } from './passthrough/server-names.ts';
import { TlsPreface } from './prefaces.ts';
import { Proxy } from './proxy.ts';
import { ProxyProtocol } from './proxy-protocol.ts';
import { RetryBudget } from './retry-budget.ts';
import { type Runtime, RuntimeBuilder } from './runtime.ts';
import { AskingPreface } from './tls/asking-preface.ts';
import { BackendTlsStore } from './tls/backend-tls-store.ts';
import { CertificateStore } from './tls/certificate-store.ts';
import { ClientValidations } from './tls/client-validations.ts';

export type WorkerLog = (level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;

/** What a worker tells those outside of it. */
export interface Tell {
  /** Too many tries in a row have failed at that endpoint. */
  readonly failing: WorkerHealth['tellFailing'];
  readonly cacheNews: (news: CacheNews) => void;
  /** A document lacks something; its key. */
  refetchDocument(key: string): void;
  readonly claimRefresh: RefreshBroker['claim'];
  readonly settleRefresh: RefreshBroker['settle'];
  /** No worker is to accept for now. */
  descriptorsUsedUp(): void;
  /** Spans that are over, of traces that are recorded. */
  spans(spans: readonly Span[]): void;
}

/** A listener's address is taken, or not this machine's. */
export class ListenError extends Error {
  readonly listener: ListenerName;
  readonly code: string;

  constructor(listener: ListenerName, cause: NodeJS.ErrnoException) {
    super(`${listener} listener: ${cause.message}`, { cause });
    this.listener = listener;
    this.code = cause.code ?? 'EUNKNOWN';
  }
}

/** How long a worker that starts waits for the store of rate limits (ms). */
const STORE_PATIENCE = 1000;

const NOTHING: Runtime = { version: 0, router: { find: () => undefined } };

export class DataPlane {
  readonly #settings: WorkerSettings;
  readonly #log: WorkerLog;
  readonly #wire: Wire;
  readonly #metrics = new WorkerMetrics();
  readonly #accessLog: AccessLog | undefined;
  readonly #proxy: Proxy;
  readonly #tracer: Tracer | undefined;
  readonly #upstreams: Upstreams;
  readonly #certificates: CertificateStore;
  readonly #backendTls: BackendTlsStore;
  readonly #consumers = new Consumers();
  readonly #secrets = new Secrets();
  readonly #runtimes: RuntimeBuilder;
  readonly #documents: WorkerDocuments;
  readonly #refreshes: Refreshes;
  readonly #jwt: JwtVerifiers;
  readonly #introspectors: Introspectors;
  readonly #cache: ResponseCache;
  readonly #overload: Overload;
  readonly #passthroughs: Passthroughs;
  readonly #http: Listener;
  readonly #https: Listener;
  #ticketKeys: Buffer;
  readonly #storeMetrics = new LimitStoreMetrics();
  #limitStore: LimitStore | undefined;
  readonly #shortage: DescriptorShortage;
  #draining = false;

  constructor(settings: WorkerSettings, wire: Wire, log: WorkerLog, tell: Tell) {
    this.#settings = settings;
    this.#log = log;
    this.#ticketKeys = Buffer.from(settings.ticketKeys);
    this.#wire = wire;
    const { shared, worker, workers } = settings;
    const metrics = this.#metrics;
    this.#overload = new Overload(settings.maxConcurrency, new OverloadMemory(shared.overload, worker), () => {
      this.#http.closeIdle();
      this.#https.closeIdle();
    });
    this.#accessLog = settings.accessLog === 'off' ? undefined : this.#openAccessLog(settings.accessLog);
    this.#tracer = settings.traceRatio === undefined ? undefined : new Tracer(settings.traceRatio, tell.spans);
    this.#proxy = new Proxy(
      NOTHING,
      new ClientIdentity(settings.trustedProxies, this.#tracer),
      metrics,
      this.#accessLog,
      new RetryBudget(shared.retries, workers, worker),
      log,
      this.#overload,
      this.#tracer,
    );
    const deadlines = this.#proxy.deadlines;
    this.#passthroughs = new Passthroughs(wire, deadlines, this.#accessLog);
    this.#backendTls = new BackendTlsStore(log);
    this.#upstreams = new Upstreams({
      connector: new BackendConnector(wire, deadlines, this.#backendTls),
      deadlines,
      inFlight: new InFlight(shared.inFlight, workers, worker),
      metrics,
      breakers: new BreakerMemory(shared.breakers, workers, worker),
      affinityKeys: new AffinityKeys(settings.affinity),
      health: { shared: new SharedHealth(shared.health), tellFailing: tell.failing },
      zone: settings.zone,
    });
    this.#shortage = new DescriptorShortage(log, this.#upstreams, () => tell.descriptorsUsedUp());
    this.#certificates = new CertificateStore(settings.selfSigned, log, contextOptionsOf(settings.tls));
    this.#documents = new WorkerDocuments(tell.refetchDocument);
    this.#refreshes = new Refreshes({ claim: tell.claimRefresh, settle: tell.settleRefresh });
    if (settings.redis !== undefined) this.#openStore(settings.redis, log);
    const fetcher = new Fetcher({ allowLoopback: settings.allowLoopbackFetch });
    this.#jwt = new JwtVerifiers(this.#documents, this.#secrets);
    this.#introspectors = new Introspectors(fetcher, this.#secrets);
    const cacheResults = (route: string): CacheResults => metrics.cacheResults(route);
    this.#cache = new ResponseCache(new CacheMemory(shared.cache, worker), settings.cacheMemory / 2 / workers, cacheResults, tell.cacheNews);
    const policyContext: PolicyContext = {
      rateLimiter: new RateLimiter(shared.rateLimits, worker),
      auth: {
        consumers: this.#consumers,
        passwords: new Passwords((error) => log('error', 'the thread for passwords died', { error })),
        decisions: (policy, method) => metrics.authDecisions(policy, method),
        refreshes: this.#refreshes,
        podSecret: settings.affinity.own,
        log,
        jwt: this.#jwt,
        introspectors: this.#introspectors,
      },
      secrets: this.#secrets,
      limitStore: this.#limitStore,
      cache: this.#cache,
      random: Math.random,
      countCall: (route, call, result) => metrics.route(route).countCall(call, result),
      calls: new UpstreamCalls(this.#proxy, this.#upstreams),
      counter: (name, labels) => metrics.policies.counter(name, labels),
      limitDecisions: (policy, limit) => metrics.limit(policy, limit),
      documents: this.#documents,
      fetcher,
    };
    this.#runtimes = new RuntimeBuilder(this.#upstreams, policyContext, metrics);
    const counts = new ConnectionCounts(shared.connections, worker);
    const maxConnections = settings.maxConnections;
    const { maxConnectionsPerClient: most } = settings;
    const clients = most === 0 ? undefined : new ClientConnections(shared.clients, workers, worker, most, settings.trustedProxies);
    this.#http = new Listener('http', this.#proxy, this.#serverOptions('http'), counts, maxConnections, settings.h2c, clients);
    this.#https = new Listener('https', this.#proxy, this.#serverOptions('https'), counts, maxConnections, settings.h2c, clients);
  }

  #openAccessLog(target: string): AccessLog {
    const { shared, worker } = this.#settings;
    const countDropped = (lines: number): void => this.#metrics.add('tidegate_access_log_dropped_total', lines);
    return new AccessLog(target, new LogBaton(shared.logBaton, worker), countDropped, (error) => {
      if (error === undefined) this.#log('info', 'access log is open again', { target });
      else this.#log('error', 'access log can not be opened: lines go to what was open before, or are dropped', { target, code: error.code });
    });
  }

  #openStore(redis: RedisSettings, log: WorkerLog): void {
    const connection = new RedisConnection(redis);
    const script = new Script(limitScript());
    this.#limitStore = new LimitStore({ connection, script, metrics: this.#storeMetrics, log, timeout: redis.timeout, random: Math.random });
    connection.open();
  }

  #serverOptions(scheme: 'http' | 'https'): ServerOptions {
    return {
      scheme,
      deadlines: this.#proxy.deadlines,
      headerTimeout: LISTENER.headerTimeout,
      keepAliveTimeout: LISTENER.keepAliveTimeout,
      maxHeaderBytes: LISTENER.maxHeaderBytes,
      maxFields: LISTENER.maxFields,
      maxRequestsPerConnection: LISTENER.maxRequestsPerConnection,
      isDraining: () => this.#draining,
      onFieldsDropped: (count) => this.#metrics.add('tidegate_request_fields_dropped_total', count),
    };
  }

  /**
   * What was in force becomes what the next snapshot says. When it is done, new exchanges run by all of the change, until then
   * by none of its routes; those under way end by what they started with. Between the steps that it gives, traffic may go on;
   * a change is to be ended before the next one begins.
   */
  *applyChange(parts: Iterable<ChangePart>, end: ChangeEnd): Generator<void, void> {
    if (end.certificates !== undefined) this.#backendTls.know(end.certificates.certificates);
    const runtime = yield* this.#runtimes.change(this.#withoutIdentities(parts), end);
    if (end.certificates !== undefined) this.#certificates.apply(end.certificates);
    if (end.certificates !== undefined) this.#setClientValidations(ClientValidations.compile(end.certificates.clientValidation));
    this.#proxy.runtime = runtime;
    if (end.passthrough !== undefined) this.#passthroughs.serverNames = ServerNames.compile(end.passthrough, this.#upstreams, this.#metrics.passthroughs);
    this.#consumers.remove(end.removedConsumers);
    this.#secrets.remove(end.removedSecrets);
    this.#upstreams.remove(end.removedUpstreams);
    this.#backendTls.forget(end.removedUpstreams);
    this.#metrics.forget(end.removedRoutes, end.removedUpstreams);
  }

  /** Who is connected by what a host asked for before has to come again: a certificate may be revoked by now, or one be asked for. */
  #setClientValidations(validations: ClientValidations): void {
    const before = this.#proxy.clientValidations;
    this.#proxy.clientValidations = validations;
    if (validations.isEmpty && before.isEmpty) return;
    const isOutdated = validations.outdated(before);
    this.#https.end(({ serverName }) => isOutdated(serverName));
  }

  /** Takes in what policies know clients by. It is in force at once, also for what is still to be replaced: no route hangs on which it is. */
  *#withoutIdentities(parts: Iterable<ChangePart>): Generator<ChangePart> {
    for (const part of parts) {
      if (part.secrets.size > 0) this.#secrets.put(part.secrets);
      if (part.consumers.length > 0) this.#consumers.put(part.consumers);
      yield part;
    }
  }

  applyEndpoints(endpoints: PublishedEndpoints): void {
    this.#upstreams.applyEndpoints(endpoints);
  }

  /** Endpoints of that upstream are in use or out of use, as shared memory has it. */
  healthChanged(upstream: UpstreamKey): void {
    this.#upstreams.healthChanged([upstream]);
  }

  /** @throws (rejects) ListenError */
  async listen(): Promise<void> {
    // The first requests of a new pod are to be counted with the others.
    await this.#limitStore?.untilConnected(STORE_PATIENCE);
    const { http, https } = this.#settings;
    const proxyProtocol = this.#settings.proxyProtocol
      ? new ProxyProtocol(this.#settings.trustedProxies, () => this.#metrics.add('tidegate_proxy_protocol_failures_total', 1))
      : undefined;
    const onPause = () => this.#shortage.paused();
    await this.#http.listen(this.#wire, http.host, http.port, undefined, proxyProtocol, onPause).catch((error) => {
      throw new ListenError('http', error);
    });
    const tls = {
      secureContext: (serverName: string, offer?: HandshakeOffer) => this.#certificates.secureContext(serverName, offer),
      ticketKeys: this.#ticketKeys,
      handshakeTimeout: LISTENER.handshakeTimeout,
      alpnProtocols: ['h2', 'http/1.1'],
      contextOptions: contextOptionsOf(this.#settings.tls),
    };
    const passing = new TlsPreface(proxyProtocol, this.#passthroughs, this.#https);
    const asking = new AskingPreface(passing, () => this.#proxy.clientValidations, this.#certificates, LISTENER.prefaceTimeout);
    await this.#https.listen(this.#wire, https.host, https.port, tls, asking, onPause).catch((error) => {
      throw new ListenError('https', error);
    });
  }

  /** Another worker has no file descriptors left. */
  descriptorsUsedUp(): void {
    this.#shortage.heard([this.#http, this.#https]);
  }

  /** What another worker says of requests to backends that are waited for here. */
  onCacheNews(news: CacheNews): void {
    this.#cache.onNews(news);
  }

  /** Nothing more comes of that worker. */
  workerGone(worker: number): void {
    this.#cache.workerGone(worker);
  }

  /** Also before it listens: then they are the ones that it listens with. */
  setTicketKeys(keys: Buffer): void {
    this.#ticketKeys = keys;
    this.#https.setTicketKeys(keys);
  }

  /** As the pod has it from now on. */
  setDocument(state: DocumentState): void {
    this.#documents.publish(state);
  }

  /** Nobody needs it any more. */
  forgetDocument(key: string): void {
    this.#documents.forget(key);
  }

  /** Of a refresh that this worker has claimed. */
  refreshTold(key: string, outcome: RefreshOutcome | undefined): void {
    this.#refreshes.told(key, outcome);
  }

  reopenLog(): void {
    this.#accessLog?.reopen();
  }

  collectMetrics(): MetricFamily[] {
    const listeners = [this.#http, this.#https];
    const connections = listeners.map((listener) => ({
      ...{ listener: listener.name, open: listener.open, active: listener.active },
      ...(listener === this.#https ? { passed: listener.passed } : {}),
    }));
    const counted = {
      tidegate_connections_refused_total: listeners.reduce((sum, listener) => sum + listener.refused, 0),
      tidegate_accept_pauses_total: listeners.reduce((sum, listener) => sum + listener.pauses, 0),
      tidegate_tls_handshake_failures_total: this.#https.failedHandshakes,
      tidegate_jwt_verifications_total: this.#jwt.known.verifications,
      tidegate_jwt_cache_hits_total: this.#jwt.known.hits,
      tidegate_introspection_calls_total: this.#introspectors.counts.calls,
      tidegate_introspection_failures_total: this.#introspectors.counts.failures,
      tidegate_introspection_cache_hits_total: this.#introspectors.counts.hits,
    };
    const store = this.#limitStore === undefined ? [] : this.#storeMetrics.families(this.#limitStore.isUp);
    return [...this.#metrics.families(connections, counted), ...breakerFamilies(this.#upstreams, performance.now()), ...store];
  }

  /** Every answer is from now on the last on its connection; connections are still taken. */
  drain(): void {
    this.#draining = true;
  }

  /** Ends what is under way, and writes the log as far as its sink takes it. @returns number of exchanges */
  async stopExchanges(): Promise<number> {
    const stopped = this.#proxy.stopExchanges() + this.#passthroughs.stop();
    // What HTTP/2 has to say of it goes out at the end of the turn.
    await new Promise((resolve) => setImmediate(resolve));
    await this.#accessLog?.finish();
    this.#tracer?.flush();
    return stopped;
  }

  /** Stops accepting, closes what is idle, and tunnels; resolves when the last exchange is over. */
  async closeListeners(): Promise<void> {
    await Promise.all([this.#http.drain(), this.#https.drain(), this.#proxy.tunnels.close()]);
    await this.#accessLog?.finish();
    this.#tracer?.flush();
  }
}
