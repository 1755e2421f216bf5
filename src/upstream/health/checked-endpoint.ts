import { isDeepStrictEqual } from 'node:util';
import type { ActiveCheck, Upstream, UpstreamKey } from '../../snapshot/upstream.ts';
import { endpointName, type SlottedEndpoint } from '../endpoint-state.ts';
import type { CheckQueue } from './check-queue.ts';
import { CheckStreak } from './check-streak.ts';
import type { HealthContext, HealthCounts } from './health-monitor.ts';
import type { ProbeResult } from './probe.ts';

/** The first check of an endpoint comes within this time (ms), whenever the others' do. */
const FIRST_CHECK = 1_000;
/** Checks come earlier or later by up to this part of their interval. */
const JITTER = 0.1;

/** What an endpoint knows of its upstream. */
interface Owner {
  readonly upstream: Upstream;
  readonly counts: HealthCounts;
}

/** One endpoint under watch: its checks, and the end of its ejection. What comes of it is in shared memory. */
export class CheckedEndpoint {
  readonly slot: number;
  isReady = false;
  readonly #name: string;
  readonly #address: string;
  readonly #port: number;
  readonly #owner: Owner;
  readonly #queue: CheckQueue;
  readonly #context: HealthContext;
  readonly #streak: CheckStreak;
  /** As it is being carried out; undefined: none is. */
  #check: ActiveCheck | undefined;
  #checkTimer: unknown;
  #returnTimer: unknown;
  /** Of the check under way. */
  #underWay: AbortController | undefined;
  readonly #run = (): Promise<void> => this.#ask();

  /** @param keep what shared memory says of it holds; else it begins as healthy */
  constructor(endpoint: SlottedEndpoint, keep: boolean, owner: Owner, queue: CheckQueue, context: HealthContext) {
    this.slot = endpoint.slot;
    this.#name = endpointName(endpoint.address, endpoint.port);
    this.#address = endpoint.address;
    this.#port = endpoint.port;
    this.#owner = owner;
    this.#queue = queue;
    this.#context = context;
    const { shared } = context;
    if (!keep) {
      // Left from checks that had ended: workers may go by it, if they heard of the new ones before this.
      const wasUsable = shared.isUsable(this.slot);
      shared.forget(this.slot);
      if (!wasUsable) this.#turned();
    }
    this.#streak = new CheckStreak(!shared.isUnhealthy(this.slot));
    if (shared.isEjected(this.slot)) this.scheduleReturn();
  }

  /** Takes over the upstream's settings, and whether it is ready: one that is terminating is not asked any more. */
  configure(): void {
    const { active, passive } = this.#owner.upstream.healthCheck ?? {};
    const { shared, now } = this.#context;
    if (passive === undefined && shared.isEjected(this.slot)) this.#endEjection();
    if (active === undefined && shared.isUnhealthy(this.slot)) {
      this.#streak.healthy = true;
      shared.setHealthy(this.slot, now());
      this.#turned();
    }
    const check = this.isReady ? active : undefined;
    if (isDeepStrictEqual(check, this.#check)) return;
    this.#stopChecks();
    this.#check = check;
    if (check !== undefined) this.#schedule(Math.min(FIRST_CHECK, check.interval) * this.#context.random());
  }

  /** The end of an ejection that shared memory has. */
  scheduleReturn(): void {
    const { shared, now, setTimer } = this.#context;
    this.#returnTimer = setTimer(() => this.#endEjection(), Math.max(0, shared.ejectedUntil(this.slot) - now()));
  }

  /** It is gone, and its slot may be another's already. */
  close(): void {
    this.#stopChecks();
    this.#context.clearTimer(this.#returnTimer);
  }

  #endEjection(): void {
    const { shared, now, log, clearTimer } = this.#context;
    clearTimer(this.#returnTimer);
    shared.endEjection(this.slot, now());
    log('info', 'endpoint back from its ejection', { upstream: this.#key, endpoint: this.#name });
    this.#turned();
  }

  get #key(): UpstreamKey {
    return this.#owner.upstream.key;
  }

  #turned(): void {
    this.#context.onTurned(this.#key);
  }

  #schedule(ms: number): void {
    this.#checkTimer = this.#context.setTimer(() => this.#queue.add(this.#run), ms);
  }

  #stopChecks(): void {
    this.#context.clearTimer(this.#checkTimer);
    this.#queue.remove(this.#run);
    this.#underWay?.abort();
    this.#underWay = undefined;
  }

  async #ask(): Promise<void> {
    const check = this.#check as ActiveCheck;
    const { probe, setTimer, clearTimer, afterInput, random, now, tlsOf } = this.#context;
    const startedAt = now();
    const underWay = new AbortController();
    this.#underWay = underWay;
    let isOver = false;
    let isLate = false;
    const expire = (): void => {
      isLate = !isOver;
      underWay.abort();
    };
    // Timers come before input: after a standstill of the process the answer may be there already.
    const timer = setTimer(() => afterInput(expire), check.timeout);
    const { upstream } = this.#owner;
    const port = check.port ?? this.#port;
    const tls = tlsOf(upstream, this.#address, port);
    // A port of its own is not for traffic, and is not behind what traffic comes through.
    const proxyProtocol = check.port === undefined ? upstream.proxyProtocol : undefined;
    const target = { address: this.#address, port, upstream, ...(tls === undefined ? {} : { tls }), ...(proxyProtocol === undefined ? {} : { proxyProtocol }) };
    const result = await probe(target, check, underWay.signal);
    isOver = true;
    clearTimer(timer);
    // Stopped meanwhile: somebody else may be asked already.
    if (this.#underWay !== underWay) return;
    this.#underWay = undefined;
    this.#judge(check, isLate ? { passed: false, outcome: 'timeout' } : result);
    const next = check.interval * (1 - JITTER + 2 * JITTER * random());
    this.#schedule(Math.max(0, next - (now() - startedAt)));
  }

  #judge(check: ActiveCheck, { passed, outcome }: ProbeResult): void {
    const { shared, now, log } = this.#context;
    const { counts } = this.#owner;
    if (passed) counts.passed++;
    else counts.failed++;
    if (!this.#streak.observe(passed, check)) return;
    const fields = { upstream: this.#key, endpoint: this.#name, check: check.type, outcome };
    if (passed) {
      shared.setHealthy(this.slot, now());
      log('info', 'endpoint is healthy', fields);
    } else {
      shared.setUnhealthy(this.slot);
      log('warn', 'endpoint is unhealthy', fields);
    }
    this.#turned();
  }
}
