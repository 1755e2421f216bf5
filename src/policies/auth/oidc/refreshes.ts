/** Refreshes of sessions as one worker sees them. Which worker asks the provider, the main thread says (pod-refreshes.ts). */
import { hash } from 'node:crypto';
import type { RefreshOutcome } from './pod-refreshes.ts';
import { ProviderError, type Tokens } from './provider.ts';

/** The main thread's ear. */
export interface RefreshBroker {
  /** `told` follows. */
  claim(key: string): void;
  /** What came of a refresh that was this worker's to make. */
  settle(key: string, outcome: RefreshOutcome): void;
}

interface Claimed {
  readonly promise: Promise<Tokens>;
  readonly begin: () => Promise<Tokens>;
  readonly resolve: (tokens: Tokens) => void;
  readonly reject: (error: unknown) => void;
}

export class Refreshes {
  readonly #broker: RefreshBroker;
  readonly #claimed = new Map<string, Claimed>();

  constructor(broker: RefreshBroker) {
    this.#broker = broker;
  }

  /**
   * New tokens, asked for once in the pod, whoever else comes with the same refresh token meanwhile or shortly after.
   * @param provider whose refresh token it is
   * @param begin asks the provider, where that is for this worker
   * @throws (rejects) as `begin` does, here or in another worker
   */
  of(provider: string, refreshToken: string, begin: () => Promise<Tokens>): Promise<Tokens> {
    // Not the token itself: what is no longer needed may stay for a while.
    const key = hash('sha256', `${provider}\0${refreshToken}`, 'base64');
    const known = this.#claimed.get(key);
    if (known !== undefined) return known.promise;
    const { promise, resolve, reject } = Promise.withResolvers<Tokens>();
    this.#claimed.set(key, { promise, begin, resolve, reject });
    this.#broker.claim(key);
    return promise;
  }

  /** From the main thread. @param outcome undefined: this worker asks the provider */
  told(key: string, outcome: RefreshOutcome | undefined): void {
    const claimed = this.#claimed.get(key);
    if (claimed === undefined) return;
    if (outcome === undefined) {
      void this.#ask(key, claimed);
      return;
    }
    this.#claimed.delete(key);
    if ('tokens' in outcome) claimed.resolve(outcome.tokens);
    else claimed.reject(new ProviderError(outcome.failure, outcome.message));
  }

  /** Never rejects. */
  async #ask(key: string, { begin, resolve, reject }: Claimed): Promise<void> {
    try {
      const tokens = await begin();
      this.#broker.settle(key, { tokens });
      resolve(tokens);
    } catch (error) {
      // A fault of ours is told here, where it is known; to other workers it is a provider that can't be asked.
      const { failure, message } = error instanceof ProviderError ? error : new ProviderError('unavailable', 'a refresh has failed in another worker');
      this.#broker.settle(key, { failure, message });
      reject(error);
    } finally {
      this.#claimed.delete(key);
    }
  }
}

/** Where nothing runs, as in `explain`. */
export const NO_REFRESHES = new Refreshes({ claim: () => {}, settle: () => {} });
