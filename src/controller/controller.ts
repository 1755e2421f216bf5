/** The loop of the control plane: objects change, they are translated, and what came of it is published. */
import type { ResourceSet } from '../resources/resource-set.ts';
import { changedEndpoints, equalButEndpoints } from '../snapshot/equal.ts';
import type { Source } from '../sources/source.ts';
import type { NameTroubles } from '../translate/services.ts';
import { type TranslateOptions, type TranslateResult, translate, translateEndpoints } from '../translate/translate.ts';
import { HeapCompaction } from './heap-compaction.ts';
import { type ControllerLog, ObjectLog } from './object-log.ts';
import type { Publisher } from './publisher.ts';

/** Changes that come one upon the other are taken together: this long after the last one (ms), ... */
const DEBOUNCE = 20;
/** ... and however many come, this long after the first one, so that edits are live well within a second. */
const MAX_HOLD_OFF = 200;

export type Report = (set: ResourceSet, result: TranslateResult) => void;

export class Controller {
  readonly #source: Source;
  readonly #options: TranslateOptions;
  readonly #publisher: Publisher;
  readonly #log: ControllerLog;
  readonly #objectLog: ObjectLog;
  readonly #report: Report;
  readonly #compaction = new HeapCompaction();
  #resources: ResourceSet | undefined;
  #current: TranslateResult | undefined;
  #nameTroubles: NameTroubles = new Map();
  /** Those that `current` was made with. */
  #toldTroubles = this.#nameTroubles;
  /** The newest set, until it is translated. */
  #pending: ResourceSet | undefined;
  #debounce: NodeJS.Timeout | undefined;
  #holdOff: NodeJS.Timeout | undefined;
  #unsubscribe: (() => void) | undefined;
  #closed = false;

  /** @param report told of each translation, after it is published */
  constructor(source: Source, options: TranslateOptions, publisher: Publisher, log: ControllerLog, report: Report = () => {}) {
    this.#source = source;
    this.#options = options;
    this.#publisher = publisher;
    this.#log = log;
    this.#objectLog = new ObjectLog(log);
    this.#report = report;
  }

  /** What is published: the snapshot, the statuses of objects, and what is wrong with them. Undefined before the first. */
  get current(): TranslateResult | undefined {
    return this.#current;
  }

  /** The objects that `current` was made of. */
  get resources(): ResourceSet | undefined {
    return this.#resources;
  }

  /**
   * Resolves when the first snapshot is published.
   * @throws (rejects) what the source throws when there is nothing to read at all
   */
  async start(): Promise<void> {
    // A change may come while the first set is still on its way.
    this.#unsubscribe = this.#source.onChange((set) => this.#receive(set));
    const first = await this.#source.start();
    if (!this.#closed && this.#current === undefined) this.#apply(first);
  }

  /** Nothing is published after it. The source is the caller's to close. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe?.();
    this.#clearTimers();
    this.#compaction.close();
    this.#pending = undefined;
  }

  /** Where names of ExternalName Services lead: it is for the routes that use them to tell. */
  setNameTroubles(troubles: NameTroubles): void {
    this.#nameTroubles = troubles;
    const set = this.#pending ?? this.#resources;
    if (set !== undefined) this.#receive(set);
  }

  #receive(set: ResourceSet): void {
    if (this.#closed) return;
    this.#pending = set;
    clearTimeout(this.#debounce);
    this.#debounce = setTimeout(() => this.#flush(), DEBOUNCE);
    this.#holdOff ??= setTimeout(() => this.#flush(), MAX_HOLD_OFF);
  }

  #flush(): void {
    this.#clearTimers();
    const set = this.#pending;
    this.#pending = undefined;
    if (set === undefined) return;
    try {
      this.#apply(set);
    } catch (error) {
      // A fault of ours, never the user's: what serves goes on serving, and the next change is another try.
      this.#log('error', 'translation failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  }

  #apply(set: ResourceSet): void {
    const previous = this.#current;
    const before = this.#resources;
    const startedAt = performance.now();
    let result: TranslateResult;
    const nameTroubles = this.#nameTroubles;
    if (previous !== undefined && before !== undefined && nameTroubles === this.#toldTroubles && onlyEndpointSlicesDiffer(before, set)) {
      const update = translateEndpoints(set, this.#options, previous);
      result = update.result;
      if (update.changes.size > 0) this.#publisher.endpoints(update.changes);
      this.#log('debug', 'endpoints translated', { upstreams: update.changes.size, ms: performance.now() - startedAt });
    } else {
      result = translate(set, this.#options, previous, nameTroubles);
      const { snapshot, problems } = result;
      const ms = performance.now() - startedAt;
      this.#log('debug', 'objects translated', { routes: snapshot.routes.length, upstreams: snapshot.upstreams.size, problems: problems.length, ms });
      this.#publish(previous, result);
      this.#compaction.translated(snapshot.routes.length);
    }
    this.#current = result;
    this.#resources = set;
    this.#toldTroubles = nameTroubles;
    this.#objectLog.report(set, result);
    this.#report(set, result);
  }

  /** What really differs, and nothing where nothing does: an edit of a label or a comment disturbs no worker. */
  #publish(previous: TranslateResult | undefined, { snapshot }: TranslateResult): void {
    if (previous === undefined || !equalButEndpoints(previous.snapshot, snapshot)) {
      this.#publisher.snapshot(snapshot);
      return;
    }
    const changes = changedEndpoints(previous.snapshot, snapshot);
    if (changes.size > 0) this.#publisher.endpoints(changes);
  }

  #clearTimers(): void {
    clearTimeout(this.#debounce);
    clearTimeout(this.#holdOff);
    this.#debounce = undefined;
    this.#holdOff = undefined;
  }
}

/** Sources keep the map of each kind that did not change. Files and rejected objects are nothing to translate. */
function onlyEndpointSlicesDiffer(before: ResourceSet, after: ResourceSet): boolean {
  return (Object.keys(after) as (keyof ResourceSet)[]).every(
    (field) => field === 'endpointSlices' || field === 'fileProblems' || field === 'rejected' || before[field] === after[field],
  );
}
