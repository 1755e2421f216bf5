/** Distance between ranks that are given in a row: room for many objects to come between two. */
const STEP = 2 ** 20;

/**
 * Numbers that put objects in order, kept from one set to the next: an object that comes or goes changes the numbers of no
 * other, so that unchanged entries stay the very same.
 */
export class AgeRanks {
  #ranks: ReadonlyMap<string, number> = new Map();

  /**
   * @param ids unique, in the order wanted
   * @returns a number for each, ascending; an id that had one before keeps it wherever the order allows
   */
  assign(ids: readonly string[]): ReadonlyMap<string, number> {
    const known = ids.map((id) => this.#ranks.get(id));
    const kept = longestAscending(known);
    const ranks = new Map<string, number>();
    for (let index = 0; index < ids.length; ) {
      if (kept.has(index)) {
        ranks.set(ids[index] as string, known[index] as number);
        index++;
        continue;
      }
      let end = index;
      while (end < ids.length && !kept.has(end)) end++;
      const low = index === 0 ? undefined : (ranks.get(ids[index - 1] as string) as number);
      const high = end === ids.length ? undefined : (known[end] as number);
      for (const [place, rank] of between(low, high, end - index).entries()) ranks.set(ids[index + place] as string, rank);
      index = end;
    }
    if (!isAscending(ids, ranks)) {
      // No room left between two: everything is numbered anew.
      for (const [index, id] of ids.entries()) ranks.set(id, (index + 1) * STEP);
    }
    this.#ranks = ranks;
    return ranks;
  }
}

function between(low: number | undefined, high: number | undefined, count: number): number[] {
  if (high === undefined) return Array.from({ length: count }, (_, index) => (low ?? 0) + (index + 1) * STEP);
  const from = low ?? high - (count + 1) * STEP;
  const step = (high - from) / (count + 1);
  return Array.from({ length: count }, (_, index) => from + (index + 1) * step);
}

function isAscending(ids: readonly string[], ranks: ReadonlyMap<string, number>): boolean {
  let before = Number.NEGATIVE_INFINITY;
  for (const id of ids) {
    const rank = ranks.get(id) as number;
    if (rank <= before) return false;
    before = rank;
  }
  return true;
}

/** Indices of the longest ascending run of numbers that can be picked from the list without changing its order. */
function longestAscending(numbers: readonly (number | undefined)[]): ReadonlySet<number> {
  const tails: number[] = [];
  const before: number[] = [];
  for (const [index, number] of numbers.entries()) {
    if (number === undefined) continue;
    let low = 0;
    let high = tails.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((numbers[tails[middle] as number] as number) < number) low = middle + 1;
      else high = middle;
    }
    before[index] = low === 0 ? -1 : (tails[low - 1] as number);
    tails[low] = index;
  }
  const picked = new Set<number>();
  for (let index = tails.at(-1) ?? -1; index >= 0; index = before[index] as number) picked.add(index);
  return picked;
}
