/** A monitor whose clock, timers and probes a test drives. */
import type { ActiveCheck, HealthCheck, Upstream } from '../../snapshot/upstream.ts';
import type { SlottedEndpoint } from '../endpoint-state.ts';
import { endpoint, seeded, upstream } from '../fixtures.ts';
import { type HealthContext, HealthMonitor } from './health-monitor.ts';
import type { ProbeResult, ProbeTarget } from './probe.ts';
import { SharedHealth } from './shared-health.ts';

export const TCP: ActiveCheck = { type: 'TCP', interval: 5_000, timeout: 1_000, healthyThreshold: 2, unhealthyThreshold: 3 };
export const PASSIVE = { consecutiveErrors: 3, errorStatuses: [{ from: 500, to: 599 }], baseEjection: 30_000, maxEjectionPercent: 50 };

export interface Asked {
  readonly at: number;
  readonly target: ProbeTarget;
  answer(passed: boolean): void;
}

export class MonitorUnderTest {
  readonly shared: SharedHealth;
  monitor: HealthMonitor;
  time = 1_000;
  /** Every check so far. */
  readonly asked: Asked[] = [];
  readonly turned: string[] = [];
  readonly log: string[] = [];
  /** Whether an endpoint passes its check; undefined: it does not answer. */
  passes: (target: ProbeTarget) => boolean | undefined = () => true;
  afterInput: (run: () => void) => void = (run) => run();
  mostAtOnce = 0;
  #atOnce = 0;
  readonly #timers = new Map<number, { readonly at: number; readonly run: () => void }>();
  #made = 0;
  readonly #context: HealthContext;

  constructor(slots = 64) {
    this.shared = new SharedHealth(SharedHealth.allocate(slots));
    this.#context = {
      shared: this.shared,
      now: () => this.time,
      random: seeded(3),
      setTimer: (run, ms) => {
        this.#timers.set(++this.#made, { at: this.time + ms, run });
        return this.#made;
      },
      clearTimer: (timer) => void this.#timers.delete(timer as number),
      afterInput: (run) => this.afterInput(run),
      tlsOf: () => undefined,
      log: (_level, message, { endpoint: name }) => void this.log.push(`${message} ${name}`),
      onTurned: (key) => void this.turned.push(key),
      probe: (target, _check, signal) => this.#ask(target, signal),
    };
    this.monitor = new HealthMonitor(this.#context);
  }

  /** Another monitor takes over, as after the death of the thread. */
  replace(): void {
    this.#timers.clear();
    this.monitor = new HealthMonitor(this.#context);
  }

  get timers(): number {
    return this.#timers.size;
  }

  set(healthCheck: HealthCheck | undefined, endpoints: readonly SlottedEndpoint[], keep = false): void {
    this.monitor.update([checked(healthCheck, endpoints)], [], keep);
  }

  #ask(target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    const { promise, resolve } = Promise.withResolvers<ProbeResult>();
    const answer = (passed: boolean): void => resolve({ passed, outcome: String(passed) });
    this.asked.push({ at: this.time, target, answer });
    signal.addEventListener('abort', () => answer(false));
    const passed = this.passes(target);
    if (passed !== undefined) answer(passed);
    return promise.finally(() => this.#atOnce--);
  }

  /** Time passes, timer by timer. */
  async pass(ms: number): Promise<void> {
    const until = this.time + ms;
    for (;;) {
      await settle();
      const [id, next] = [...this.#timers].reduce<readonly [number, { at: number; run: () => void } | undefined]>(
        (first, [key, timer]) => (first[1] === undefined || timer.at < first[1].at ? [key, timer] : first),
        [0, undefined],
      );
      if (next === undefined || next.at > until) break;
      this.#timers.delete(id);
      this.time = Math.max(this.time, next.at);
      next.run();
    }
    this.time = until;
    await settle();
  }
}

function checked(healthCheck: HealthCheck | undefined, endpoints: readonly SlottedEndpoint[]): { upstream: Upstream; endpoints: readonly SlottedEndpoint[] } {
  return { upstream: upstream(healthCheck === undefined ? {} : { healthCheck }), endpoints };
}

/** Slots from 1 on: nobody has 0 for itself. */
export function slotted(count: number): SlottedEndpoint[] {
  return Array.from({ length: count }, (_, index) => endpoint(index + 1));
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await Promise.resolve();
}
