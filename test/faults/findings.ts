/** What a fault did to a gateway, and what came of it. */
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds. */
const MEMORY_PATIENCE = 60_000;

/** How much of it: seconds in `make test`, the full size in `make faults`. */
export type Measure = { readonly full: false } | { readonly full: true; readonly minutes: number; readonly soakMinutes: number };

/** A gateway that runs as a process of its own. */
export interface Subject {
  readonly process: ChildProcess;
  readonly log: readonly { readonly level?: unknown; readonly msg?: unknown }[];
  /** Lines on standard error that are no log lines. */
  readonly errors: readonly string[];
}

/** Requests that were sent, and what came of them. */
export interface Answers {
  readonly answered: number;
  readonly failed: number;
  readonly failures: readonly string[];
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
  checkTime({ measure }: { readonly measure: Measure }, passes: boolean, what: string): void {
    this.check(passes || !measure.full, what);
  }

  /** Every request was answered as it should be. @param between what stood in between, if anything did @param what was asked */
  checkLoad(load: Answers, between?: { readonly resets: readonly string[] }, what = 'requests'): void {
    this.check(
      load.failed === 0 && load.answered > 0,
      `${load.failed} of ${load.answered + load.failed} ${what} failed`,
      [...load.failures, ...(between?.resets ?? [])].join('; '),
    );
  }

  /** What holds in every fault: the process lives, and nothing happened that nobody had thought of. */
  checkAlive(gateway: Subject): void {
    const faults = [
      ...gateway.log.filter(({ level, msg }) => level === 'fatal' || msg === 'translation failed').map((line) => JSON.stringify(line)),
      ...gateway.errors,
    ];
    if (gateway.process.exitCode !== null || gateway.process.signalCode !== null)
      this.failures.push(`the gateway ended: exit code ${gateway.process.exitCode}`);
    this.failures.push(...faults);
  }

  /**
   * Back at its baseline, within a minute: what is free is given back to the system a while after it came free.
   * @param before MiB, after a warm-up
   * @param bound MiB; absent: what "back to its baseline" means, within 30 MiB or 25 %, whichever is more
   */
  async checkMemory(gateway: Subject, before: number, bound = before + Math.max(30, before * 0.25)): Promise<void> {
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
export async function residentMemory(gateway: Subject): Promise<number> {
  const status = await readFile(`/proc/${gateway.process.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 0)} s`;
}

/** Sum of all series of a metric in a scrape, by `name` or `name{label="value"`. */
export function sumOfSeries(scrape: string, start: string): number {
  return scrape
    .split('\n')
    .filter((line) => line.startsWith(start))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
