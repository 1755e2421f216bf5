/** The introspectors of one worker: routes that ask the same server as the same client share one, and with it what it knows. */
import type { IntrospectionSpec } from '../../../snapshot/introspection.ts';
import type { PolicyFetcher } from '../../policy.ts';
import type { Secrets } from '../../secrets.ts';
import { type IntrospectionCounts, Introspector } from './introspector.ts';

export class Introspectors {
  readonly counts: IntrospectionCounts = { calls: 0, failures: 0, hits: 0 };
  readonly #fetcher: PolicyFetcher;
  readonly #secrets: Secrets;
  /** Held by the filters that use them. */
  readonly #introspectors = new Map<string, WeakRef<Introspector>>();
  readonly #unused = new FinalizationRegistry<string>((key) => {
    if (this.#introspectors.get(key)?.deref() === undefined) this.#introspectors.delete(key);
  });

  constructor(fetcher: PolicyFetcher, secrets: Secrets) {
    this.#fetcher = fetcher;
    this.#secrets = secrets;
  }

  get(spec: IntrospectionSpec): Introspector {
    const key = JSON.stringify([spec.endpoint, spec.clientId, spec.secret, spec.cacheFor]);
    const shared = this.#introspectors.get(key)?.deref();
    if (shared !== undefined) return shared;
    const introspector = new Introspector(spec, this.#secrets.cell(spec.secret), this.#fetcher, this.counts);
    this.#introspectors.set(key, new WeakRef(introspector));
    this.#unused.register(introspector, key);
    return introspector;
  }
}
