/**
 * Which Secrets change, where many are named: told by their metadata alone (PartialObjectMetadata), so that what others hold never leaves
 * the server. Whoever is told fetches the one that it needs.
 */
import type { ApiClient } from './api-client.ts';
import { collectionOf, pathsOf } from './collections.ts';
import { keyOf, Reflector, type ReflectorCounts, summedCounts, type Timings } from './reflector.ts';
import type { Reading } from './trouble-log.ts';

export interface SecretChangesOptions {
  readonly client: ApiClient;
  readonly timings?: Partial<Timings> | undefined;
  readonly random: () => number;
  readonly onChange: (reading: Reading, failure?: unknown) => void;
  /** @param version undefined: it is gone */
  readonly announce: (key: string, version: string | undefined) => void;
  /** All that there are in a scope: others are gone. */
  readonly retain: (scope: string, keys: ReadonlySet<string>) => void;
}

export class SecretChanges {
  readonly #options: SecretChangesOptions;
  /** By namespace, '' for all of them. */
  readonly #readings = new Map<string, Reading>();
  #past: ReflectorCounts = summedCounts([]);

  constructor(options: SecretChangesOptions) {
    this.#options = options;
  }

  /** Of watches that are over: what was counted stays counted. */
  get past(): ReflectorCounts {
    return this.#past;
  }

  get reflectors(): Reflector[] {
    return [...this.#readings.values()].map(({ reflector }) => reflector);
  }

  async stop(): Promise<void> {
    await Promise.all(this.reflectors.map((reflector) => reflector.stop()));
  }

  /** @param scopes where changes are to be told of from now on */
  want(scopes: ReadonlySet<string>): void {
    for (const [scope, reading] of this.#readings) {
      if (scopes.has(scope)) continue;
      this.#readings.delete(scope);
      void reading.reflector.stop();
      this.#past = { ...summedCounts([this.#past, reading.reflector.counts]), lastSync: undefined, lastHeard: undefined };
      this.#options.onChange(reading);
    }
    for (const scope of scopes) if (!this.#readings.has(scope)) this.#begin(scope);
  }

  /** Whether whatever changes there is told. */
  covers(scope: string): boolean {
    const reflector = this.#readings.get(scope)?.reflector;
    return reflector?.hasSynced === true && reflector.failure === undefined;
  }

  #begin(scope: string): void {
    const { client, timings, random, onChange, announce, retain } = this.#options;
    const collection = collectionOf('Secret');
    const reflector = new Reflector({
      ...{ client, random, paths: pathsOf(collection, scope === '' ? undefined : scope), metadataOnly: true },
      sink: {
        put: (object) => announce(keyOf(object), object.metadata?.resourceVersion),
        remove: (object) => announce(keyOf(object), undefined),
        retain: (keys) => retain(scope, keys),
      },
      onChange: (failure) => onChange(reading, failure),
      ...(timings === undefined ? {} : { timings }),
    });
    const reading: Reading = { collection, namespace: scope === '' ? undefined : scope, name: undefined, reflector };
    this.#readings.set(scope, reading);
    reflector.start();
  }
}
