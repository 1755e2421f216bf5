/** Tells of objects that turn bad, once, and when they are good again. */
import { entryChanges } from '../resources/entry-changes.ts';
import { KINDS } from '../resources/kinds.ts';
import type { Entries, Entry, Problem, ResourceSet } from '../resources/resource-set.ts';
import type { TranslateResult } from '../translate/translate.ts';

/** Messages are constants. */
export type ControllerLog = (level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;

/** Problems of one object that are told at once; the rest is counted. */
const MOST_TOLD = 10;

interface Told {
  readonly object: string;
  /** What was told of it, so that an edit elsewhere in the object does not tell it again. */
  readonly problems: ReadonlySet<string>;
}

export class ObjectLog {
  readonly #log: ControllerLog;
  #told: ReadonlyMap<string, Told> = new Map();
  #set: ResourceSet | undefined;
  /** Those of the last result. */
  #problems: TranslateResult['problems'] | undefined;
  /** Objects of `#set` that have something wrong with them by themselves. */
  readonly #flawed = new Map<string, Entry<unknown>>();

  constructor(log: ControllerLog) {
    this.#log = log;
  }

  report(set: ResourceSet, result: TranslateResult): void {
    const isOther = this.#follow(set);
    // Thousands of objects may have problems, while others are edited, and pods come and go.
    if (!isOther && result.problems === this.#problems) return;
    this.#problems = result.problems;
    const problems = collect(this.#flawed.values(), result);
    const told = new Map<string, Told>();
    for (const [object, { entry, found }] of problems) {
      told.set(object, { object, problems: new Set(found.map(problemKey)) });
      this.#warn(object, entry, found);
    }
    for (const object of this.#told.keys()) {
      // An object that is gone is not good again.
      if (!told.has(object) && exists(set, object)) this.#log('info', 'object is good again', { object });
    }
    this.#told = told;
  }

  /** @returns whether an object with something wrong with it has come, changed or gone */
  #follow(set: ResourceSet): boolean {
    const before = this.#set;
    let isOther = false;
    this.#set = set;
    for (const { field } of KINDS) {
      for (const change of entryChanges<unknown>(before?.[field] ?? NO_ENTRIES, set[field])) {
        if (change.before !== undefined) isOther = this.#flawed.delete(objectName(change.before)) || isOther;
        if (change.after === undefined || change.after.problems.length === 0) continue;
        this.#flawed.set(objectName(change.after), change.after);
        isOther = true;
      }
    }
    return isOther;
  }

  #warn(object: string, entry: Entry<unknown>, found: readonly Problem[]): void {
    const before = this.#told.get(object)?.problems;
    const fresh = found.filter((problem) => before?.has(problemKey(problem)) !== true);
    for (const { severity, reason, field, message, hint } of fresh.slice(0, MOST_TOLD)) {
      const { file } = entry.origin;
      this.#log('warn', 'object has a problem', { object, severity, reason, field, message, hint, file, line: entry.origin.lineOf(field) });
    }
    if (fresh.length > MOST_TOLD) this.#log('warn', 'object has further problems', { object, count: fresh.length - MOST_TOLD });
  }
}

interface Found {
  readonly entry: Entry<unknown>;
  readonly found: Problem[];
}

function collect(flawed: Iterable<Entry<unknown>>, result: TranslateResult): Map<string, Found> {
  const problems = new Map<string, Found>();
  const add = (entry: Entry<unknown>, problem: Problem): void => {
    const object = objectName(entry);
    const known = problems.get(object);
    if (known === undefined) problems.set(object, { entry, found: [problem] });
    else known.found.push(problem);
  };
  for (const entry of flawed) for (const problem of entry.problems) add(entry, problem);
  for (const { entry, problem } of result.problems) add(entry, problem);
  return problems;
}

const NO_ENTRIES: Entries<unknown> = new Map();

function exists(set: ResourceSet, object: string): boolean {
  const slash = object.indexOf('/');
  const entry = KINDS.map(({ field }) => set[field].get(object.slice(slash + 1)));
  return entry.some((one) => one !== undefined && objectName(one) === object);
}

function objectName({ kind, namespace, name }: Entry<unknown>): string {
  return namespace === '' ? `${kind}/${name}` : `${kind}/${namespace}/${name}`;
}

function problemKey({ field, message }: Problem): string {
  return `${field}\n${message}`;
}
