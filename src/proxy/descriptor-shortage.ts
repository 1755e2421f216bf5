import type { Upstreams } from '../upstream/upstreams.ts';
import type { WorkerLog } from './data-plane.ts';

/** How often the log is told that accepting pauses, at most (ms). */
const LOG_INTERVAL = 10_000;
/** How often idle connections to backends are closed meanwhile, at most (ms). */
const ROOM_INTERVAL = 200;

/** What pauses. */
interface Accepting {
  pauseAccepting(): void;
}

/**
 * What one worker does when file descriptors are used up, beyond that its listeners pause: idle connections to backends make room for
 * clients that wait, and the other workers, whose descriptors are the same ones, hear of it before they lose who waits there.
 */
export class DescriptorShortage {
  readonly #log: WorkerLog;
  readonly #upstreams: Upstreams;
  readonly #tellOthers: () => void;
  #logged = Number.NEGATIVE_INFINITY;
  #roomMade = Number.NEGATIVE_INFINITY;
  /** Another worker has said so just now. */
  #isHeard = false;

  /** @param tellOthers that no worker is to accept for now */
  constructor(log: WorkerLog, upstreams: Upstreams, tellOthers: () => void) {
    this.#log = log;
    this.#upstreams = upstreams;
    this.#tellOthers = tellOthers;
  }

  /** A listener of this worker has paused, which may be many times a second, or is still paused. */
  paused(): void {
    const now = performance.now();
    if (!this.#isHeard) this.#tellOthers();
    if (now >= this.#roomMade + ROOM_INTERVAL) {
      this.#roomMade = now;
      this.#upstreams.closeIdle();
    }
    if (now < this.#logged + LOG_INTERVAL) return;
    this.#logged = now;
    this.#log('warn', 'file descriptors are used up: new connections wait until there are some', { reason: 'file_descriptors' });
  }

  /** Another worker has none left. */
  heard(listeners: readonly Accepting[]): void {
    this.#isHeard = true;
    try {
      for (const listener of listeners) listener.pauseAccepting();
    } finally {
      this.#isHeard = false;
    }
  }
}
