/** Clients that go on all the time, and count what they get. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answers } from '../../test/faults/findings.ts';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';

/** Milliseconds. */
const PATIENCE = 180_000;

export abstract class ClientLoad implements Answers {
  answered = 0;
  failed = 0;
  /** What went wrong, the first twenty. */
  readonly failures: string[] = [];
  protected isStopping = false;
  #clients: readonly Promise<void>[] = [];

  /** Until the end of its lifetime so many clients run at once. */
  protected begin(lifetime: Lifetime, clients: number): void {
    this.#clients = Array.from({ length: clients }, (_, index) => this.runClient(index));
    endWith(lifetime, () => this.stop());
  }

  /** Runs until `isStopping`, and then lets what is under way end. */
  protected abstract runClient(index: number): Promise<void>;

  protected succeed(): void {
    this.answered++;
  }

  protected fail(what: string): void {
    this.failed++;
    if (this.failures.length < 20) this.failures.push(`${new Date().toISOString()} ${what}`);
  }

  get total(): number {
    return this.answered + this.failed;
  }

  /** Waits for so many more answers, good or bad. */
  async more(count: number): Promise<void> {
    const goal = this.total + count;
    for (const deadline = Date.now() + PATIENCE; this.total < goal; await sleep(10)) {
      if (Date.now() > deadline) throw new Error(`${this.answered} answers and ${this.failed} failures in three minutes: ${this.failures.join('; ')}`);
    }
  }

  /** Lets what is under way end. */
  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.#clients);
  }
}
