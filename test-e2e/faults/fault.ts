/** A fault: what is done to a gateway under load, and what it has to do then. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { Gateway } from '../cluster/gateway.ts';
import type { Load } from '../cluster/load.ts';
import type { Balancer } from '../cluster/tcp-proxy.ts';
import { ControlPlane } from '../control-plane/control-plane.ts';

/** Requests. */
const WARM_UP = 5000;
/** Milliseconds. */
const MEMORY_PATIENCE = 60_000;

/** How much of it: seconds in `make test`, the full size in `make faults`. */
export type Measure = { readonly full: false } | { readonly full: true; readonly minutes: number };

/** Where a fault happens: a control plane of its own, which it may break. */
export interface Stage {
  readonly lifetime: Lifetime;
  readonly plane: ControlPlane;
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly measure: Measure;
  /** Says what goes on. */
  readonly tell: (what: string) => void;
}

export interface Fault {
  readonly number: number;
  readonly name: string;
  /** What passing means. */
  readonly passes: string;
  run(stage: Stage): Promise<Findings>;
}

/** A control plane that knows our kinds. */
export async function openPlane(lifetime: Lifetime): Promise<ControlPlane> {
  const plane = await ControlPlane.start();
  endWith(lifetime, () => plane.stop());
  await plane.installCrds();
  return plane;
}

/** @param namespace that is made for it */
export async function openStage(lifetime: Lifetime, plane: ControlPlane, namespace: string, measure: Measure, tell: Stage['tell'] = () => {}): Promise<Stage> {
  const cluster = Cluster.open(lifetime, plane.kubeconfig);
  await cluster.api.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  return { lifetime, plane, cluster, namespace, measure, tell };
}

/** What was done, what was measured, and what of it was not as it has to be. */
export class Findings {
  readonly done: string;
  readonly measured: string[] = [];
  readonly failures: string[] = [];

  constructor(done: string) {
    this.done = done;
  }

  note(what: string): void {
    this.measured.push(what);
  }

  /** @param what was measured, in words that are true whether it passes or not */
  check(passes: boolean, what: string, details = ''): void {
    this.measured.push(what);
    if (!passes) this.failures.push(details === '' ? what : `${what}: ${details}`);
  }

  /** Of a time that was measured: in `make test`, on whatever machine, it is only noted. */
  checkTime({ measure }: Stage, passes: boolean, what: string): void {
    this.check(passes || !measure.full, what);
  }

  /** Every request was answered as it should be. @param balancer what stood in between, if anything did */
  checkLoad(load: Load, balancer?: Balancer): void {
    const what = `${load.failed} of ${load.answered + load.failed} requests failed`;
    this.check(load.failed === 0 && load.answered > 0, what, [...load.failures, ...(balancer?.resets ?? [])].join('; '));
  }

  /** What holds in every fault: the process lives, and nothing happened that nobody had thought of. */
  checkAlive(gateway: Gateway): void {
    const faults = [
      ...gateway.log.filter(({ level, msg }) => level === 'fatal' || msg === 'translation failed').map((line) => JSON.stringify(line)),
      ...gateway.errors,
    ];
    if (!gateway.running) this.failures.push(`the gateway ended: exit code ${gateway.process.exitCode}`);
    this.failures.push(...faults);
  }

  /**
   * Back at its baseline, within 10 % and a minute: what is free is given back to the system a while after it came free.
   * @param before MiB, after a warm-up
   */
  async checkMemory(gateway: Gateway, before: number): Promise<void> {
    const bound = before * 1.1;
    const since = Date.now();
    const atOnce = await residentMemory(gateway);
    let after = atOnce;
    while (after > bound && Date.now() - since < MEMORY_PATIENCE) {
      await sleep(1000);
      after = await residentMemory(gateway);
    }
    const later = after === atOnce ? '' : `, ${after.toFixed(0)} MiB ${seconds(Date.now() - since)} later`;
    this.check(after <= bound, `memory ${before.toFixed(0)} MiB before, ${atOnce.toFixed(0)} MiB after${later}`);
  }
}

/** Resident memory in MiB. */
export async function residentMemory(gateway: Gateway): Promise<number> {
  const status = await readFile(`/proc/${gateway.process.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** The baseline of a fault at full size: MiB once the gateway has served enough for its code to be compiled and its heaps to be of their size. */
export async function memoryWhenWarm({ measure }: Stage, gateway: Gateway, load: Load): Promise<number> {
  await load.more(measure.full ? WARM_UP : 200);
  return residentMemory(gateway);
}

/** Sum of all series of a metric, by `name` or `name{label="value"`. */
export async function sumOf(gateway: Gateway, start: string): Promise<number> {
  const { body } = await gateway.adminGet('/metrics');
  return body
    .split('\n')
    .filter((line) => line.startsWith(start))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 0)} s`;
}
