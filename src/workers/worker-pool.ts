/** The worker threads: started, published to, replaced when one dies, drained. */
import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { Publisher } from '../controller/publisher.ts';
import { Fetcher } from '../fetch/fetcher.ts';
import { type DocumentCounts, PodDocuments } from '../fetch/pod-documents.ts';
import { PodRefreshes } from '../policies/auth/oidc/pod-refreshes.ts';
import { CacheMemory } from '../policies/cache/cache-memory.ts';
import { RateLimiter } from '../policies/rate-limit/limiter.ts';
import { ConnectionCounts } from '../proxy/listeners.ts';
import { ClientConnections } from '../proxy/overload/client-connections.ts';
import { OverloadMemory } from '../proxy/overload/overload-memory.ts';
import { RetryBudget } from '../proxy/retry-budget.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Endpoint, UpstreamKey } from '../snapshot/upstream.ts';
import { LogBaton } from '../telemetry/access-log.ts';
import { addCounts, type MetricFamily } from '../telemetry/metric-family.ts';
import type { ScrapedWorkers, WorkerScrape } from '../telemetry/metrics.ts';
import type { Span } from '../telemetry/tracing/span.ts';
import { BreakerMemory } from '../upstream/breaker/breaker-memory.ts';
import { monotonicNow } from '../upstream/health/monotonic-clock.ts';
import { type EndpointHealth, SharedHealth } from '../upstream/health/shared-health.ts';
import { InFlight } from '../upstream/shared-counters.ts';
import { BreakerSlots } from './breaker-slots.ts';
import { ENDPOINT_SLOTS } from './endpoint-slots.ts';
import { HealthThread } from './health-thread.ts';
import type { Address, FromWorker, SharedBuffers, ToWorker, WorkerSettings } from './messages.ts';
import { Publication } from './publication.ts';
import { setWorkerFlags } from './worker-flags.ts';
import { PULSE, Pulses, WorkerWatch } from './worker-watch.ts';

export type PoolSettings = Omit<WorkerSettings, 'worker' | 'shared' | 'healthChannel' | 'cacheChannel' | 'pulse'>;

export type PoolLog = (level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;

export interface PoolEvents {
  /** A listener could not be opened at the start; the process can't serve. */
  onListenFailed(listener: string, address: Address, code: string): void;
  /** Spans of traces that are recorded. */
  onSpans?(spans: readonly Span[]): void;
}

/** How long a scrape waits for a busy worker before its last known figures are taken. */
const SCRAPE_TIMEOUT = 2000;
/** How long the end of the process waits for a worker that does not answer. */
const STOP_TIMEOUT = 1000;
/** A worker that dies again within this time is replaced with a delay, so that a crash at start does not spin. */
const CRASH_LOOP_WINDOW = 2000;
const CRASH_LOOP_DELAY = 500;

interface Member {
  readonly index: number;
  thread: Worker;
  startedAt: number;
  serving: boolean;
  appliedVersion: number;
  drained: boolean;
  /** Its counters are among the buried ones. */
  isDead: boolean;
  lastScrape: WorkerScrape | undefined;
}

export class WorkerPool implements Publisher, ScrapedWorkers {
  readonly #settings: PoolSettings;
  readonly #shared: SharedBuffers;
  readonly #inFlight: InFlight;
  readonly #connections: ConnectionCounts;
  readonly #log: PoolLog;
  readonly #events: PoolEvents;
  readonly #members: Member[] = [];
  readonly #endpointHealth: SharedHealth;
  readonly #health: HealthThread;
  /** Its own for each pool of the process. */
  readonly #healthChannel = `tidegate-health-${randomUUID()}`;
  readonly #cacheChannel = `tidegate-cache-${randomUUID()}`;
  readonly #overload: OverloadMemory;
  readonly #cache: CacheMemory;
  readonly #breakers: BreakerMemory;
  readonly #breakerSlots: BreakerSlots;
  readonly #publication: Publication;
  readonly #pulse: number;
  readonly #watch: WorkerWatch;
  readonly #fetcher: Fetcher;
  readonly #documents: PodDocuments;
  readonly #refreshes: PodRefreshes;
  readonly #waiting = new Set<() => void>();
  /** Counters of all workers that died, added up: totals never go down, and deaths without end need no more memory. */
  #buried: readonly MetricFamily[] = [];
  #ticketKeys: Uint8Array;
  #hasServed = false;
  #stopping = false;
  #draining: 'no' | 'answers' | 'listeners' = 'no';
  #scrapes = 0;
  readonly #scrapeReplies = new Map<number, { readonly member: Member; readonly resolve: () => void }>();
  /** Seconds that workers took to put snapshots and endpoint changes in force; `take` empties it. */
  #applySeconds: number[] = [];
  restarts = 0;

  /** @param pulse how often workers show that they live, and are looked at (ms) */
  constructor(settings: PoolSettings, events: PoolEvents, log: PoolLog, pulse = PULSE) {
    this.#settings = settings;
    this.#pulse = pulse;
    this.#ticketKeys = settings.ticketKeys;
    this.#events = events;
    this.#log = log;
    const { workers } = settings;
    this.#fetcher = new Fetcher({ allowLoopback: settings.allowLoopbackFetch });
    this.#documents = new PodDocuments({
      ...{ fetcher: this.#fetcher, log },
      publish: (state) => this.#broadcast({ type: 'document', state }),
      forget: (key) => this.#broadcast({ type: 'documentGone', key }),
    });
    this.#refreshes = new PodRefreshes((worker, key, outcome) => this.#post(this.#members[worker] as Member, { type: 'refresh', key, outcome }));
    this.#shared = {
      inFlight: InFlight.allocate(workers, ENDPOINT_SLOTS),
      rateLimits: RateLimiter.allocate(),
      connections: ConnectionCounts.allocate(workers),
      breakers: BreakerMemory.allocate(workers),
      overload: OverloadMemory.allocate(workers),
      clients: ClientConnections.allocate(workers),
      cache: CacheMemory.allocate(settings.cacheMemory),
      logBaton: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
      health: SharedHealth.allocate(ENDPOINT_SLOTS),
      retries: RetryBudget.allocate(workers),
      pulses: Pulses.allocate(workers),
    };
    this.#watch = new WorkerWatch(new Pulses(this.#shared.pulses), pulse, log, (worker) => void this.#members[worker]?.thread.terminate());
    // No worker has that number.
    this.#cache = new CacheMemory(this.#shared.cache, workers);
    const endpointHealth = new SharedHealth(this.#shared.health);
    this.#endpointHealth = endpointHealth;
    this.#overload = new OverloadMemory(this.#shared.overload, 0);
    this.#breakers = new BreakerMemory(this.#shared.breakers, workers, 0);
    this.#breakerSlots = new BreakerSlots(this.#breakers);
    this.#publication = new Publication(this.#breakerSlots, (slot, isNew) => {
      endpointHealth.clear(slot, isNew ? monotonicNow() : Number.NEGATIVE_INFINITY);
    });
    const healthSettings = { health: this.#shared.health, healthChannel: this.#healthChannel };
    this.#health = new HealthThread(healthSettings, () => this.#publication.wholeChecked(), log);
    this.#inFlight = new InFlight(this.#shared.inFlight, workers, 0);
    this.#connections = new ConnectionCounts(this.#shared.connections, 0);
    for (let index = 0; index < workers; index++) this.#members.push(this.#start(index));
  }

  /** Every worker serves, and by the newest snapshot. */
  get serving(): boolean {
    return !this.#publication.isEmpty && this.#members.every((member) => member.serving);
  }

  /** The first snapshot serves. It goes on doing so while a worker hangs, or one that died is replaced, as long as there is another one. */
  get ready(): boolean {
    return this.#hasServed && this.#members.some(({ serving, index }) => serving && !this.#watch.isHanging(index));
  }

  /** Requests that were judged by a rate-limit bucket shared with other keys, since the start. */
  get rateLimitOverflows(): number {
    return RateLimiter.overflows(this.#shared.rateLimits);
  }

  /** What the pod has fetched for its policies. */
  get documentCounts(): readonly DocumentCounts[] {
    return this.#documents.counts;
  }

  /** Stored answers, for who is on the main thread. */
  get cache(): CacheMemory {
    return this.#cache;
  }

  /** What differs from the last one goes to the workers. */
  snapshot(snapshot: Snapshot): void {
    this.#documents.use(snapshot.documents ?? []);
    this.#broadcast(this.#publication.next(snapshot));
    this.#health.update(this.#publication.checked);
  }

  endpoints(changes: ReadonlyMap<UpstreamKey, readonly Endpoint[]>): void {
    if (this.#publication.isEmpty) return;
    this.#broadcast(this.#publication.nextEndpoints(changes));
    this.#health.update(this.#publication.checked);
  }

  /** How a published endpoint is doing, where its upstream has a health check; else healthy. */
  healthOf(upstream: UpstreamKey, endpoint: Endpoint): EndpointHealth {
    const slot = this.#publication.checkedSlot(upstream, endpoint);
    return slot === undefined ? 'healthy' : this.#endpointHealth.health(slot);
  }

  /** While memory is short new requests are shed, and idle connections closed. */
  setMemoryShort(isShort: boolean): void {
    this.#overload.memoryIsShort = isShort;
  }

  setTicketKeys(keys: Uint8Array): void {
    this.#ticketKeys = keys;
    this.#broadcast({ type: 'ticketKeys', keys });
  }

  reopenLogs(): void {
    this.#broadcast({ type: 'reopenLog' });
  }

  /** Resolves once every worker serves. */
  async untilServing(): Promise<void> {
    while (!this.serving) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** Figures of every worker, and those of workers that are gone. */
  async scrape(): Promise<{
    readonly workers: readonly WorkerScrape[];
    readonly buried: readonly MetricFamily[];
    readonly applySeconds: readonly number[];
  }> {
    const members = [...this.#members];
    const [health] = await Promise.all([this.#health.scrape(), ...members.map((member) => this.#scrapeMember(member))]);
    // One that died meanwhile is among the buried, and must not count twice.
    const workers = members.filter((member) => !member.isDead).map((member) => this.#lastScrape(member));
    const applySeconds = this.#applySeconds;
    this.#applySeconds = [];
    return { workers: workers.filter((scrape) => scrape !== undefined), buried: [...this.#buried, ...health], applySeconds };
  }

  /** Every answer closes its connection from now on. */
  drain(): void {
    this.#draining = 'answers';
    this.#broadcast({ type: 'drain' });
  }

  /** Closes the listeners; resolves when no exchange is left in any worker. */
  async closeListeners(): Promise<void> {
    this.#draining = 'listeners';
    this.#broadcast({ type: 'closeListeners' });
    while (!this.#members.every((member) => member.drained)) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** Ends what is still under way in any worker, so that it is logged. Resolves with the number of exchanges. */
  async stopExchanges(): Promise<number> {
    const counts = this.#members.map(async ({ thread }) => {
      const answer = new Promise<number>((resolve) => {
        thread.on('message', (message: FromWorker) => message.type === 'stopped' && resolve(message.exchanges));
        thread.on('exit', () => resolve(0));
        setTimeout(resolve, STOP_TIMEOUT, 0).unref();
      });
      thread.postMessage({ type: 'stopExchanges' } satisfies ToWorker);
      return answer;
    });
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#watch.close();
    this.#documents.close();
    await Promise.all([this.#fetcher.close(), this.#health.stop(), ...this.#members.map((member) => member.thread.terminate())]);
  }

  #start(index: number): Member {
    const settings: WorkerSettings = {
      ...this.#settings,
      worker: index,
      ticketKeys: this.#ticketKeys,
      shared: this.#shared,
      healthChannel: this.#healthChannel,
      cacheChannel: this.#cacheChannel,
      pulse: this.#pulse,
    };
    const entry = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
    setWorkerFlags();
    const thread = new Worker(new URL(entry, import.meta.url), { workerData: settings, name: `worker-${index}` });
    const member: Member = {
      index,
      thread,
      startedAt: performance.now(),
      serving: false,
      appliedVersion: 0,
      drained: false,
      isDead: false,
      lastScrape: undefined,
    };
    let cause: unknown;
    thread.on('error', (error) => {
      cause = error;
    });
    thread.on('message', (message: FromWorker) => this.#receive(member, message));
    thread.on('exit', (code) => this.#buryAndReplace(member, code, cause));
    for (const state of this.#documents.states) this.#post(member, { type: 'document', state });
    if (!this.#publication.isEmpty) this.#post(member, this.#publication.whole());
    if (this.#draining !== 'no') this.#post(member, { type: 'drain' });
    return member;
  }

  #receive(member: Member, message: FromWorker): void {
    switch (message.type) {
      case 'serving':
        member.serving = true;
        this.#watch.begin(member.index);
        this.#hasServed ||= this.serving;
        this.#log('info', 'worker serves', { worker: member.index, wire: message.wire });
        break;
      case 'applied':
        member.appliedVersion = message.version;
        this.#applySeconds.push(message.ms / 1000);
        this.#log('debug', 'worker has put a change in force', { worker: member.index, version: message.version, ms: message.ms });
        break;
      case 'listenFailed':
        this.#takeListenFailure(member, message);
        break;
      case 'metrics':
        member.lastScrape = { worker: member.index, families: message.families, eventLoopDelay: message.eventLoopDelay };
        this.#scrapeReplies.get(message.id)?.resolve();
        return;
      case 'log':
        this.#log(message.level, message.message, { worker: member.index, ...message.fields });
        return;
      case 'spans':
        this.#events.onSpans?.(message.spans);
        return;
      case 'descriptorsUsedUp':
        this.#broadcast({ type: 'descriptorsUsedUp' });
        return;
      case 'refetchDocument':
        this.#documents.refetch(message.key);
        return;
      case 'claimRefresh':
        this.#refreshes.claim(member.index, message.key);
        return;
      case 'settleRefresh':
        this.#refreshes.settle(member.index, message.key, message.outcome);
        return;
      case 'drained':
        member.drained = true;
        break;
    }
    this.#wake();
  }

  /** At the start it is the user's to mend; a worker that takes the place of a dead one is replaced until one can listen. */
  #takeListenFailure(member: Member, { listener, address, code }: FromWorker & { readonly type: 'listenFailed' }): void {
    if (!this.#hasServed) {
      this.#events.onListenFailed(listener, address, code);
      return;
    }
    this.#log('error', 'worker can not listen', { worker: member.index, listener, ...address, code });
    void member.thread.terminate();
  }

  /** What a dead worker held in shared memory is given back, and another one takes its place with the newest snapshot. */
  #buryAndReplace(member: Member, code: number, cause: unknown): void {
    if (this.#stopping) return;
    this.#inFlight.clearWorker(member.index);
    this.#connections.clearWorker(member.index);
    this.#overload.releaseWorker(member.index);
    if (this.#settings.maxConnectionsPerClient > 0) ClientConnections.releaseWorker(this.#shared.clients, this.#settings.workers, member.index);
    this.#breakers.releaseWorker(member.index, this.#breakerSlots.used, monotonicNow());
    LogBaton.release(this.#shared.logBaton, member.index);
    CacheMemory.releaseWorker(this.#shared.cache, member.index);
    this.#broadcast({ type: 'workerGone', worker: member.index });
    this.#refreshes.workerGone(member.index);
    RateLimiter.releaseWorker(this.#shared.rateLimits, member.index);
    if (member.lastScrape !== undefined) this.#buried = addCounts(this.#buried, member.lastScrape.families);
    this.#log('error', 'worker died', { worker: member.index, code, error: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause ?? '') });
    member.serving = false;
    member.isDead = true;
    this.#watch.end(member.index);
    for (const reply of this.#scrapeReplies.values()) if (reply.member === member) reply.resolve();
    const delay = performance.now() - member.startedAt < CRASH_LOOP_WINDOW ? CRASH_LOOP_DELAY : 0;
    setTimeout(() => this.#replace(member), delay);
  }

  #replace(member: Member): void {
    if (this.#stopping) return;
    if (this.#draining === 'listeners') {
      // Nothing new is taken any more, and what it had under way is lost already.
      member.drained = true;
      this.#wake();
      return;
    }
    this.restarts++;
    this.#members[member.index] = this.#start(member.index);
  }

  /** The figures as last told; how late its loop is, one that hangs can't tell. */
  #lastScrape({ index, lastScrape }: Member): WorkerScrape | undefined {
    const lateness = this.#watch.lateness(index);
    return lastScrape && { ...lastScrape, eventLoopDelay: Math.max(lastScrape.eventLoopDelay, lateness) };
  }

  /** Resolves when the worker has told its figures, is dead, or takes too long: then its last known ones are taken. */
  async #scrapeMember(member: Member): Promise<void> {
    if (!member.serving || this.#watch.isHanging(member.index)) return;
    const id = ++this.#scrapes;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#scrapeReplies.set(id, { member, resolve });
      timer = setTimeout(resolve, SCRAPE_TIMEOUT);
      this.#post(member, { type: 'collectMetrics', id });
    });
    clearTimeout(timer);
    this.#scrapeReplies.delete(id);
  }

  #broadcast(message: ToWorker): void {
    for (const member of this.#members) this.#post(member, message);
  }

  #post(member: Member, message: ToWorker): void {
    member.thread.postMessage(message);
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
