import type { Upstreams } from '../upstream/upstreams.ts';
import type { WorkerLog } from './data-plane.ts';

/** How often the log is told that accepting pauses, at most (ms). */
const LOG_INTERVAL = 10_000;
/** How often idle connections to backends are closed meanwhile, at most (ms). */
const ROOM_INTERVAL = 200;

/**
 * How often it is told in the pod, at most (ms): each that hears it pauses for as long. Without this as many workers as there are
 * would each tell all others at each pause.
 */
const TELL_INTERVAL = 20;

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
  readonly #upstreams: Pick<Upstreams, 'closeIdle'>;
  readonly #tellOthers: () => void;
  readonly #now: () => number;
  /** By this worker or another one. */
  #told = Number.NEGATIVE_INFINITY;
  #logged = Number.NEGATIVE_INFINITY;
  #roomMade = Number.NEGATIVE_INFINITY;
  /** Another worker has said so just now. */
  #isHeard = false;

  /** @param tellOthers that no worker is to accept for now @param now milliseconds */
  constructor(log: WorkerLog, upstreams: Pick<Upstreams, 'closeIdle'>, tellOthers: () => void, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#upstreams = upstreams;
    this.#tellOthers = tellOthers;
    this.#now = now;
  }

  /** A listener of this worker has paused, which may be many times a second, or is still paused. */
  paused(): void {
    const now = this.#now();
    if (!this.#isHeard && now >= this.#told + TELL_INTERVAL) {
      this.#told = now;
      this.#tellOthers();
    }
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
    this.#told = this.#now();
    try {
      for (const listener of listeners) listener.pauseAccepting();
    } finally {
      this.#isHeard = false;
    }
  }
}
