import { PATIENCE } from './lifetime.ts';

/** Those in a test who wait until something that changes is as they want it. */
export class Changes {
  readonly #waiting = new Set<() => void>();

  /** Something has changed. */
  wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /**
   * @param state how things are, for whom they never get so
   * @throws after PATIENCE, with the place of the call
   */
  async until(satisfied: () => boolean, state: () => string): Promise<void> {
    if (satisfied()) return;
    const failure = new Error();
    let late = false;
    // Nobody waits for a test that is over.
    const timer = setTimeout(() => {
      late = true;
      this.wake();
    }, PATIENCE).unref();
    try {
      do {
        await new Promise<void>((resolve) => this.#waiting.add(resolve));
        if (satisfied()) return;
      } while (!late);
    } finally {
      clearTimeout(timer);
    }
    failure.message = `in vain it was waited for ${satisfied}: ${state()}`;
    throw failure;
  }
}
