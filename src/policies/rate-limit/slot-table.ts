/**
 * A table of slots in shared memory, 16 to a set. A key belongs to one set, which its hash names, and takes any of the first
 * 15 slots there. A slot carries the key's hash, the time at which its state will be that of a key never seen before, and
 * the state. Only a slot whose time has come is given to another key, so a key that has used something up never gets it
 * back by being forgotten.
 *
 * Where all 15 are in use, newcomers of one limit share the 16th: together they get what one of them would. A newcomer that
 * finds a free slot again while the shared one is in use starts from the shared state, because some of that may be its own.
 * Where the shared slot is another limit's, newcomers are refused until a slot comes free.
 *
 * Everything here happens under the set's lock.
 */
export const SLOTS_PER_SET = 16;
const SHARED_SLOT = SLOTS_PER_SET - 1;

export interface TableLayout {
  /** A power of two. */
  readonly sets: number;
  /** Index of the first lock, in Int32s. */
  readonly locksAt: number;
  /** Index of the first set, in Float64s. */
  readonly slotsAt: number;
  /** Float64s of state that a slot has. */
  readonly state: number;
}

/** Where one key of one limit is kept. Found anew for each request; owned by the limit's meter. */
export class Place {
  /** Hash of limit and key. */
  first = 0;
  second = 0;
  /** Hash of the limit alone: whose the shared slot is. */
  readonly limitFirst: number;
  readonly limitSecond: number;
  readonly table: SlotTable;
  set = 0;
  /** -1: nowhere. */
  slot = -1;
  /** Whether the slot is the shared one. */
  isShared = false;
  /** Whether the state is, by now, that of a key never seen before. */
  hasRecovered = false;
  /** Index of the state to judge by, in Float64s. */
  readAt = 0;
  /** Index of the state to change; `readAt` may be another. */
  writeAt = 0;

  constructor(table: SlotTable, limitFirst: number, limitSecond: number) {
    this.table = table;
    this.limitFirst = limitFirst;
    this.limitSecond = limitSecond;
  }
}

export class SlotTable {
  readonly sets: number;
  readonly #ints: Int32Array;
  readonly #floats: Float64Array;
  readonly #locksAt: number;
  readonly #slotsAt: number;
  readonly #state: number;
  readonly #setFloats: number;

  constructor(ints: Int32Array, floats: Float64Array, layout: TableLayout) {
    this.#ints = ints;
    this.#floats = floats;
    this.sets = layout.sets;
    this.#locksAt = layout.locksAt;
    this.#slotsAt = layout.slotsAt;
    this.#state = layout.state;
    this.#setFloats = SlotTable.floatsPerSet(layout.state);
  }

  /** A set is a row of first hash words, one of second ones, one of times, and the states. */
  static floatsPerSet(state: number): number {
    return SLOTS_PER_SET * (1 + 1 + state);
  }

  setOf(firstHash: number): number {
    return firstHash & (this.sets - 1);
  }

  lockOf(set: number): number {
    return this.#locksAt + set;
  }

  /**
   * Finds the slot by which the key is to be judged and fills in the place; changes nothing in the table.
   * @param zeroState index of a state of zeros
   * @param others places of other limits of the same request; the first `count` of them are found already, and what they
   *   would take is taken
   * @returns false when there is none
   */
  locate(place: Place, now: number, zeroState: number, others: readonly { readonly place: Place }[], count: number): boolean {
    const base = this.#baseOf(place.set);
    const hashes = base * 2;
    const ints = this.#ints;
    const { first, second } = place;
    for (let slot = 0; slot < SHARED_SLOT; slot++) {
      if (ints[hashes + slot] === first && ints[hashes + SLOTS_PER_SET + slot] === second) {
        // A slot that has recovered may be what an earlier limit of this request is about to take.
        if (count > 0 && this.#isTaken(place, slot, others, count)) break;
        place.slot = slot;
        place.isShared = false;
        place.hasRecovered = this.#recoversAt(base, slot) <= now;
        place.readAt = place.writeAt = this.#stateAt(base, slot);
        return true;
      }
    }
    return this.#locateNewcomer(place, base, now, zeroState, others, count);
  }

  #locateNewcomer(place: Place, base: number, now: number, zeroState: number, others: readonly { readonly place: Place }[], count: number): boolean {
    const ints = this.#ints;
    const hashes = base * 2;
    const sharedIsInUse = this.#recoversAt(base, SHARED_SLOT) > now;
    const sharedIsOwn = ints[hashes + SHARED_SLOT] === place.limitFirst && ints[hashes + SLOTS_PER_SET + SHARED_SLOT] === place.limitSecond;
    const readAt = sharedIsInUse && sharedIsOwn ? this.#stateAt(base, SHARED_SLOT) : zeroState;
    for (let slot = 0; slot < SLOTS_PER_SET; slot++) {
      const isFree = slot === SHARED_SLOT ? !sharedIsInUse || sharedIsOwn : this.#recoversAt(base, slot) <= now;
      if (!isFree || this.#isTaken(place, slot, others, count)) continue;
      place.slot = slot;
      place.isShared = slot === SHARED_SLOT;
      place.hasRecovered = readAt === zeroState;
      place.readAt = readAt;
      place.writeAt = this.#stateAt(base, slot);
      return true;
    }
    place.slot = -1;
    return false;
  }

  #isTaken(place: Place, slot: number, others: readonly { readonly place: Place }[], count: number): boolean {
    for (let index = 0; index < count; index++) {
      const other = (others[index] as { readonly place: Place }).place;
      if (other.slot === slot && other.set === place.set && other.table === this) return true;
    }
    return false;
  }

  /** Before the state of a place is changed: takes the slot from a key that no longer needs it. */
  open(place: Place): void {
    const hashes = this.#baseOf(place.set) * 2;
    const ints = this.#ints;
    if (ints[hashes + place.slot] === ownFirst(place) && ints[hashes + SLOTS_PER_SET + place.slot] === ownSecond(place)) return;
    // Nobody's until `settle`: a worker that dies in between leaves a free slot.
    ints[hashes + place.slot] = 0;
    ints[hashes + SLOTS_PER_SET + place.slot] = 0;
  }

  /**
   * After the state of a place was changed.
   * @param recoversAt when the state will be that of a key never seen before
   */
  settle(place: Place, recoversAt: number): void {
    const base = this.#baseOf(place.set);
    const hashes = base * 2;
    this.#floats[base + SLOTS_PER_SET + place.slot] = recoversAt;
    this.#ints[hashes + place.slot] = ownFirst(place);
    this.#ints[hashes + SLOTS_PER_SET + place.slot] = ownSecond(place);
  }

  /** When the first slot of the place's set comes free. */
  nextFree(place: Place): number {
    const base = this.#baseOf(place.set);
    let next = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < SLOTS_PER_SET; slot++) next = Math.min(next, this.#recoversAt(base, slot));
    return next;
  }

  #baseOf(set: number): number {
    return this.#slotsAt + set * this.#setFloats;
  }

  #recoversAt(base: number, slot: number): number {
    return this.#floats[base + SLOTS_PER_SET + slot] as number;
  }

  #stateAt(base: number, slot: number): number {
    return base + SLOTS_PER_SET * 2 + slot * this.#state;
  }
}

/** The shared slot is its limit's, any other one its key's. */
function ownFirst(place: Place): number {
  return place.isShared ? place.limitFirst : place.first;
}

function ownSecond(place: Place): number {
  return place.isShared ? place.limitSecond : place.second;
}
