/** Names and where they lead, as a test says; for whoever resolves them. */
import type { NameLookup } from './name-lookup.ts';

/** A list of addresses, a failure, or no answer at all until `answer` is called. */
export type Answer = readonly string[] | Error | 'hangs';

export class NameServer {
  /** Names that are not here do not exist. */
  readonly names = new Map<string, Answer>();
  /** Every name that was asked for, in order. */
  readonly asked: string[] = [];
  running = 0;
  mostRunning = 0;
  readonly #hanging = new Map<string, ((answer: readonly string[]) => void)[]>();

  constructor(names: Readonly<Record<string, Answer>> = {}) {
    for (const [name, answer] of Object.entries(names)) this.names.set(name, answer);
  }

  readonly lookup: NameLookup = async (name) => {
    this.asked.push(name);
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    try {
      await undefined;
      const answer = this.names.get(name) ?? new Error('ENOTFOUND');
      if (answer instanceof Error) throw answer;
      if (answer !== 'hangs') return answer;
      return await new Promise<readonly string[]>((resolve) => this.#hanging.set(name, [...(this.#hanging.get(name) ?? []), resolve]));
    } finally {
      this.running--;
    }
  };

  /** The oldest look-up of this name that hangs comes to its end. */
  answer(name: string, addresses: readonly string[]): void {
    this.#hanging.get(name)?.shift()?.(addresses);
  }

  /** What was asked for since the last call. */
  take(): string[] {
    return this.asked.splice(0);
  }
}

/** Lets answers that are there reach those who asked. */
export function answered(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
