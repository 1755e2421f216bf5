/** How long to wait after a failure: longer with each one of a kind, never the same for two replicas. */
import { ApiError, ConnectionError, CredentialsError } from './errors.ts';

/** Failures of one class follow one another; another class begins anew, as when a server that was gone comes back and is not yet itself. */
export type FailureClass = 'connection' | 'credentials' | 'expired' | 'denied' | 'vanished' | 'absent' | 'starting' | 'server' | 'short';

/** Milliseconds: the first wait, and the longest. */
const WAITS: Readonly<Record<FailureClass, readonly [first: number, longest: number]>> = {
  // Short, so that everything is up to date within seconds of the server's return; a refused connection costs nobody anything.
  connection: [250, 2000],
  credentials: [1000, 10_000],
  expired: [500, 30_000],
  denied: [500, 30_000],
  // It was there a moment ago: a server that has just started does not know the kinds of CRDs for its first seconds.
  vanished: [250, 1000],
  absent: [500, 10_000],
  // 503: a server that has just started says so of CRDs, and asks for five seconds where it takes two.
  starting: [250, 10_000],
  server: [500, 30_000],
  short: [500, 5000],
};

export function classOf(error: unknown): FailureClass {
  if (error instanceof CredentialsError) return 'credentials';
  if (error instanceof ConnectionError) return error.fault === 'Malformed' ? 'server' : 'connection';
  if (!(error instanceof ApiError)) return 'server';
  if (error.isExpired) return 'expired';
  if (error.status === 401) return 'credentials';
  if (error.status === 403) return 'denied';
  if (error.status === 404) return 'absent';
  return error.status === 503 ? 'starting' : 'server';
}

export class Backoff {
  readonly #random: () => number;
  #class: FailureClass | undefined;
  #count = 0;

  /** @param random from 0 to 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  /**
   * @param atLeast what the server asks for (RFC 9110 section 10.2.3). It is an estimate where the server is starting: the waits
   *   come to it within five tries
   * @returns milliseconds
   */
  next(failure: FailureClass, atLeast = 0): number {
    this.#count = failure === this.#class ? this.#count + 1 : 0;
    this.#class = failure;
    const [first, longest] = WAITS[failure];
    const wait = Math.min(longest, first * 2 ** this.#count);
    const jittered = wait * (0.5 + this.#random() / 2);
    return atLeast > 0 && failure !== 'starting' ? atLeast * (1 + this.#random() / 4) : jittered;
  }

  reset(): void {
    this.#class = undefined;
    this.#count = 0;
  }
}
