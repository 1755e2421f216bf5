/** Work of a thread that also carries traffic: done in slices, with everything else in between. */

/** Milliseconds at a stretch. */
const SLICE = 4;

/** Each time it is asked it does a step of its work. */
export type Steps = Iterator<void, void>;

export function oneStep(run: () => void): Steps {
  return {
    next: () => {
      run();
      return { done: true, value: undefined };
    },
  };
}

export class SlicedWork {
  readonly #queue: Steps[] = [];
  readonly #now: () => number;
  readonly #later: (run: () => void) => void;
  #scheduled = false;

  /** @param later runs something after the events that are there already */
  constructor(now: () => number = () => performance.now(), later: (run: () => void) => void = setImmediate) {
    this.#now = now;
    this.#later = later;
  }

  /** Work is done in the order in which it comes; what is small, and has nothing before it, at once. */
  add(steps: Steps): void {
    this.#queue.push(steps);
    if (!this.#scheduled) this.#run();
  }

  #run(): void {
    this.#scheduled = false;
    for (const end = this.#now() + SLICE; ; ) {
      const steps = this.#queue[0];
      if (steps === undefined) return;
      if (this.#now() >= end) break;
      if (steps.next().done === true) this.#queue.shift();
    }
    this.#scheduled = true;
    this.#later(() => this.#run());
  }
}
