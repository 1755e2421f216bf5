/** Objects of one kind that are read by their names alone: each that an object of ours names is watched, and no other is ever read. */
import type { ApiClient } from './api-client.ts';
import { type Collection, pathsOf } from './collections.ts';
import type { KeptSink, ObjectStore } from './object-store.ts';
import { Reflector, type ReflectorCounts, summedCounts, type Timings } from './reflector.ts';
import type { Reading } from './trouble-log.ts';

export interface NamedReadersOptions {
  readonly client: ApiClient;
  readonly store: ObjectStore;
  readonly collection: Collection;
  readonly onChange: (reading: Reading, failure?: unknown) => void;
  readonly timings?: Partial<Timings> | undefined;
  readonly random: () => number;
}

interface Reader extends Reading {
  readonly sink: KeptSink;
}

export class NamedReaders {
  readonly #options: NamedReadersOptions;
  /** By `namespace/name`. */
  readonly #readers = new Map<string, Reader>();
  #past: ReflectorCounts = summedCounts([]);

  constructor(options: NamedReadersOptions) {
    this.#options = options;
  }

  /** Of reflectors that are there no more: what was counted stays counted. */
  get past(): ReflectorCounts {
    return this.#past;
  }

  get reflectors(): Reflector[] {
    return [...this.#readers.values()].map(({ reflector }) => reflector);
  }

  /** One that is newly named is on its way. */
  get isReading(): boolean {
    return this.reflectors.some(({ state }) => state === 'waiting');
  }

  async stop(): Promise<void> {
    await Promise.all(this.reflectors.map((reflector) => reflector.stop()));
  }

  /** @param wanted `namespace/name` of each object that is named by one of ours */
  want(wanted: ReadonlySet<string>): void {
    for (const [key, reader] of this.#readers) {
      if (wanted.has(key)) continue;
      this.#readers.delete(key);
      void reader.reflector.stop();
      this.#past = { ...summedCounts([this.#past, reader.reflector.counts]), lastSync: undefined, lastHeard: undefined };
      reader.sink.release(undefined);
      this.#options.onChange(reader);
    }
    for (const key of wanted) if (!this.#readers.has(key)) this.#begin(key);
  }

  #begin(key: string): void {
    const { client, store, collection, onChange, timings, random } = this.#options;
    const [namespace = '', name = ''] = key.split('/');
    const sink = store.sink(collection.kind);
    const reflector = new Reflector({
      client,
      paths: pathsOf(collection, namespace),
      query: { fieldSelector: `metadata.name=${name}` },
      sink,
      onChange: (failure) => onChange(reader, failure),
      random,
      ...(timings === undefined ? {} : { timings }),
    });
    const reader: Reader = { collection, namespace, name, reflector, sink };
    this.#readers.set(key, reader);
    reflector.start();
  }
}
