/** What translation finds wrong with objects: each problem on its object alone, with the condition that it makes False. */
import type { Entry, Problem } from '../resources/resource-set.ts';

/** A problem that only shows beside other objects; those of an object by itself are in its entry already. */
export interface Finding {
  readonly entry: Entry<unknown>;
  readonly problem: Problem;
}

/** `told`: no condition, the object does all that it says. */
export type Consequence = 'Accepted' | 'ResolvedRefs' | 'told';

export interface Issue {
  readonly consequence: Consequence;
  readonly problem: Problem;
}

const NONE: readonly Issue[] = [];

export class Issues {
  readonly #byEntry = new Map<Entry<unknown>, Issue[]>();

  add(entry: Entry<unknown>, consequence: Consequence, problem: Problem): void {
    const list = this.#byEntry.get(entry);
    if (list === undefined) this.#byEntry.set(entry, [{ consequence, problem }]);
    else list.push({ consequence, problem });
  }

  of(entry: Entry<unknown>): readonly Issue[] {
    return this.#byEntry.get(entry) ?? NONE;
  }

  findings(): Finding[] {
    const found: Finding[] = [];
    for (const [entry, issues] of this.#byEntry) {
      for (const { problem } of issues) found.push({ entry, problem });
    }
    return found;
  }
}
