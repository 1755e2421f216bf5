/** An API server as a source: a reflector for each kind (and each namespace, where only some are watched), and one resource set of them all. */
import type { ResourceSet } from '../../resources/resource-set.ts';
import type { Source, SourceLog } from '../source.ts';
import type { ApiClient } from './api-client.ts';
import { ApiServerAddresses } from './api-server-addresses.ts';
import { COLLECTIONS, type Collection, collectionOf, pathsOf } from './collections.ts';
import { oneLine } from './errors.ts';
import { NamedReaders } from './named-readers.ts';
import { NamedReferences } from './named-references.ts';
import { type ObjectObserver, ObjectStore } from './object-store.ts';
import { Reflector, summedCounts, type Timings } from './reflector.ts';
import { SecretReaders } from './secret-readers.ts';
import { type Reading, TroubleLog } from './trouble-log.ts';

/** Events that come together make one set; sets are at least this far apart (ms), and one that comes after a pause is made at once. */
const GATHER = 10;
/** A set waits for Secrets and ConfigMaps that are newly named no longer than this (ms). */
const NAMED_HOLD = 500;

export interface KubernetesSourceOptions {
  readonly client: ApiClient;
  /** `--watch-namespace`: empty for the whole cluster. */
  readonly namespaces: readonly string[];
  /** `--ingress-class`. */
  readonly ingressClass: string;
  /** `--default-certificate`. */
  readonly defaultCertificate?: string | undefined;
  readonly log: SourceLog;
  readonly observer?: ObjectObserver;
  readonly timings?: Partial<Timings>;
  /** How often (ms) the server is asked where it is. */
  readonly serverAddressInterval?: number;
  /** How often (ms) Secrets are looked up that can't be watched. */
  readonly secretLookupInterval?: number;
  /** From 0 to 1. */
  readonly random?: () => number;
}

/** Kinds of which as few are read as there can be. */
const NAMED: ReadonlySet<string> = new Set(['Secret', 'ConfigMap']);

interface Read {
  readonly collection: Collection;
  readonly namespace: string | undefined;
  readonly mayBeDenied: boolean;
  readonly reflector: Reflector;
}

export class KubernetesSource implements Source {
  readonly #store: ObjectStore;
  readonly #reads: readonly Read[];
  readonly #secrets: SecretReaders;
  readonly #configMaps: NamedReaders;
  readonly #references: NamedReferences;
  readonly #addresses: ApiServerAddresses;
  readonly #trouble: TroubleLog;
  readonly #listeners = new Set<(set: ResourceSet) => void>();
  readonly #first: PromiseWithResolvers<ResourceSet> = Promise.withResolvers();
  #set: ResourceSet | undefined;
  #pass: NodeJS.Timeout | undefined;
  #gatheredAt = Number.NEGATIVE_INFINITY;
  #heldSince: number | undefined;
  #closed = false;

  constructor(options: KubernetesSourceOptions) {
    const { client, log, timings, random = Math.random } = options;
    const namespaces = options.namespaces.length === 0 ? undefined : [...new Set(options.namespaces)];
    this.#store = new ObjectStore(client.server, () => this.#schedule(), options.observer);
    this.#references = new NamedReferences(options.ingressClass, options.defaultCertificate);
    this.#addresses = new ApiServerAddresses(client, () => this.#schedule(), options.serverAddressInterval);
    this.#trouble = new TroubleLog(client.server, log);
    const reads: Read[] = [];
    for (const collection of COLLECTIONS) {
      if (NAMED.has(collection.kind.kind)) continue;
      for (const namespace of collection.kind.scope === 'Cluster' ? [undefined] : (namespaces ?? [undefined])) {
        // With Roles alone nothing of the cluster's own can be read, and who may not read grants has been granted nothing.
        const mayBeDenied = (collection.kind.scope === 'Cluster' && namespaces !== undefined) || collection.kind.kind === 'ReferenceGrant';
        const reflector: Reflector = new Reflector({
          client,
          paths: pathsOf(collection, namespace),
          sink: this.#store.sink(collection.kind),
          onChange: (failure) => {
            this.#trouble.report({ collection, namespace, name: undefined, reflector }, failure);
            this.#schedule();
          },
          ...(timings === undefined ? {} : { timings }),
          random,
        });
        reads.push({ collection, namespace, mayBeDenied, reflector });
      }
    }
    this.#reads = reads;
    const named = {
      client,
      store: this.#store,
      timings,
      random,
      onChange: (reading: Reading, failure?: unknown) => {
        this.#trouble.report(reading, failure);
        this.#schedule();
      },
    };
    this.#secrets = new SecretReaders({ ...named, namespaces, lookupInterval: options.secretLookupInterval, onLookedUp: () => this.#schedule() });
    this.#configMaps = new NamedReaders({ ...named, collection: collectionOf('ConfigMap') });
  }

  /**
   * Resolves once everything is read, however long that takes: an API server that is not there makes no empty set.
   * @throws (rejects) only when the source is closed before that
   */
  async start(): Promise<ResourceSet> {
    for (const { reflector } of this.#reads) reflector.start();
    this.#secrets.start();
    return this.#first.promise;
  }

  onChange(listener: (set: ResourceSet) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    clearTimeout(this.#pass);
    this.#addresses.close();
    await Promise.all([...this.#reads.map(({ reflector }) => reflector.stop()), this.#secrets.stop(), this.#configMaps.stop()]);
    this.#first.promise.catch(() => {});
    this.#first.reject(new Error('the source is closed'));
  }

  /** Everything was read once. */
  get hasSynced(): boolean {
    return this.#set !== undefined;
  }

  /** What `start` waits for, in one line. */
  get waitingFor(): string {
    const open = this.#reads.filter((read) => !isSettled(read));
    const names = [
      ...new Set(open.map(({ collection }) => collection.resource)),
      ...(this.#secrets.isSettled ? [] : ['secrets']),
      ...(this.#configMaps.isReading ? ['configmaps'] : []),
    ];
    const failure = [...open.map(({ reflector }) => reflector), ...this.#secrets.reflectors, ...this.#configMaps.reflectors]
      .map((reflector) => reflector.failure)
      .find((error) => error !== undefined);
    return `waiting for the API server's ${names.join(', ')}${failure === undefined ? '' : `: ${oneLine(failure)}`}`;
  }

  /** For metrics. */
  get states() {
    return COLLECTIONS.map((collection) => {
      const { resource, kind } = collection;
      const reads = this.#reads.filter((read) => read.collection === collection);
      const named = kind.kind === 'Secret' ? this.#secrets : kind.kind === 'ConfigMap' ? this.#configMaps : undefined;
      const reflectors = named?.reflectors ?? reads.map(({ reflector }) => reflector);
      const isSettledNow = kind.kind === 'Secret' ? this.#secrets.isSettled : named === undefined ? reads.every(isSettled) : !named.isReading;
      const { lastSync, lastHeard, ...counts } = summedCounts([
        ...reflectors.map((reflector) => reflector.counts),
        ...(named === undefined ? [] : [named.past]),
      ]);
      const now = performance.now();
      return {
        resource,
        ...counts,
        objects: this.#store.size(kind.field),
        isSynced: isSettledNow && reflectors.every(({ failure }) => failure === undefined),
        lastSync: lastSync === undefined ? undefined : (Date.now() - (now - lastSync)) / 1000,
        idle: lastHeard === undefined ? undefined : (now - lastHeard) / 1000,
      };
    });
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#pass ??= setTimeout(() => this.#gather(), Math.max(0, this.#gatheredAt + GATHER - performance.now()));
  }

  #gather(): void {
    this.#pass = undefined;
    this.#gatheredAt = performance.now();
    if (this.#set === undefined && !this.#reads.every(isSettled)) return;
    const set = this.#store.current;
    const { secrets, valuedSecrets, configMaps } = this.#references.of(set);
    this.#secrets.want(secrets, valuedSecrets);
    this.#configMaps.want(configMaps);
    if (this.#set === undefined && (!this.#secrets.isSettled || this.#configMaps.isReading)) return;
    if (this.#set !== undefined && this.#isHeld()) return;
    this.#store.setApiServer(this.#addresses.of(set));
    this.#publish(this.#store.current);
  }

  /** A Secret or ConfigMap that an object has only now come to name is waited for, lest the object be bad for a moment. */
  #isHeld(): boolean {
    if (!this.#secrets.isReading && !this.#configMaps.isReading) {
      this.#heldSince = undefined;
      return false;
    }
    const now = performance.now();
    this.#heldSince ??= now;
    if (now - this.#heldSince >= NAMED_HOLD) return false;
    this.#pass ??= setTimeout(() => this.#gather(), this.#heldSince + NAMED_HOLD - now);
    return true;
  }

  #publish(set: ResourceSet): void {
    if (set === this.#set) return;
    const isFirst = this.#set === undefined;
    this.#set = set;
    if (isFirst) this.#first.resolve(set);
    else for (const listener of this.#listeners) listener(set);
  }
}

function isSettled({ collection, mayBeDenied, reflector }: Read): boolean {
  const { state } = reflector;
  return state === 'synced' || (state === 'denied' && mayBeDenied) || (state === 'absent' && collection.mayBeAbsent);
}
