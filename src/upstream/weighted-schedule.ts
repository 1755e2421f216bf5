/** Picks over which shares are exact. */
export const WINDOW = 100;

/**
 * Spreads picks by weight so that in every run of 100 consecutive ones, wherever it begins, each index comes up within one
 * of its exact share (its quota rounded down or up); and in the long run its share is exact as well.
 *
 * Smooth weighted round-robin alone does not hold that: it bounds how far each index is from its due since the beginning, so
 * the two ends of a run can err in opposite directions. So the last 100 picks are kept. Each new pick drops the oldest of
 * them; if the index that drops out would fall below its rounded-down quota, it must come again, else whoever has the
 * greatest claim and has not reached its rounded-up quota is next. Where smooth round-robin by itself keeps within the
 * quotas, that gives the very same sequence. Counts within the quotas always sum up to 100, so there always is a next one.
 */
export class WeightedSchedule {
  readonly #weights: Float64Array;
  readonly #total: number;
  /** Quotas in 100 picks, rounded down and up. */
  readonly #floors: Uint8Array;
  readonly #ceilings: Uint8Array;
  /** What each index is owed, in picks times `total`; they sum up to 0. */
  readonly #credits: Float64Array;
  /** How often each index is among the last 100. */
  readonly #counts: Uint8Array;
  /** The last 100 picks, as a ring; `position` is the oldest. */
  readonly #last = new Uint16Array(WINDOW);
  #position = 0;

  /**
   * @param weights positive and finite, at least one; whole numbers up to 10^12 are exact
   * @param random where in the sequence to begin: schedules that are made anew often must not begin alike
   */
  constructor(weights: readonly number[], random: () => number) {
    const size = weights.length;
    this.#weights = Float64Array.from(weights);
    this.#total = weights.reduce((sum, weight) => sum + weight, 0);
    this.#floors = new Uint8Array(size);
    this.#ceilings = new Uint8Array(size);
    for (let index = 0; index < size; index++) {
      const share = (weights[index] as number) * WINDOW;
      const rest = share % this.#total;
      const floor = Math.round((share - rest) / this.#total);
      this.#floors[index] = floor;
      this.#ceilings[index] = rest > 0 ? floor + 1 : floor;
    }
    this.#credits = this.#claimsAt(Math.floor(random() * Math.min(this.#total, Number.MAX_SAFE_INTEGER)));
    this.#counts = this.#imagineHistory(random);
  }

  /** The index of the next one. */
  next(): number {
    const credits = this.#credits;
    const counts = this.#counts;
    const weights = this.#weights;
    const oldest = this.#last[this.#position] as number;
    let pick = oldest;
    for (let index = 0; index < credits.length; index++) credits[index] = (credits[index] as number) + (weights[index] as number);
    if ((counts[oldest] as number) > (this.#floors[oldest] as number)) {
      counts[oldest] = (counts[oldest] as number) - 1;
      // Equal claims go to the first, as in smooth round-robin: else the sequence would leave it for no reason.
      pick = -1;
      for (let index = 0; index < credits.length; index++) {
        if ((counts[index] as number) >= (this.#ceilings[index] as number)) continue;
        if (pick < 0 || (credits[index] as number) > (credits[pick] as number)) pick = index;
      }
      counts[pick] = (counts[pick] as number) + 1;
      this.#last[this.#position] = pick;
    }
    credits[pick] = (credits[pick] as number) - this.#total;
    this.#position = this.#position + 1 === WINDOW ? 0 : this.#position + 1;
    return pick;
  }

  /**
   * Credits as they might be after so many picks: each due is rounded down or up, the largest fractions up. Drawing the
   * moment at random makes every index as likely to be next as its weight says, however rarely it comes up.
   */
  #claimsAt(picks: number): Float64Array {
    const total = this.#total;
    const owed = this.#weights.map((weight) => ((picks % total) * weight) % total);
    const roundedUp = Math.round(owed.reduce((sum, value) => sum + value, 0) / total);
    for (const index of byValue(owed).slice(0, roundedUp)) owed[index] = (owed[index] as number) - total;
    return owed;
  }

  /** Fills the last 100 picks with what might have come before, and gives their counts. */
  #imagineHistory(random: () => number): Uint8Array {
    const claims = Float64Array.from(this.#credits);
    const counts = this.#smooth(this.#weights, this.#total, this.#credits);
    if (counts.every((count, index) => count >= (this.#floors[index] as number) && count <= (this.#ceilings[index] as number))) return counts;
    // Smooth round-robin does not keep within the quotas: take the quotas themselves as weights, those owed most rounded up.
    const quotas = Uint8Array.from(this.#floors);
    const owed = claims.map((claim, index) => {
      const open = (this.#ceilings[index] as number) > (this.#floors[index] as number);
      return open ? claim + (this.#weights[index] as number) * WINDOW - (this.#floors[index] as number) * this.#total : Number.NEGATIVE_INFINITY;
    });
    const missing = WINDOW - quotas.reduce((sum, quota) => sum + quota, 0);
    for (const index of byValue(owed).slice(0, missing)) quotas[index] = (quotas[index] as number) + 1;
    this.#smooth(quotas, WINDOW, new Float64Array(quotas.length));
    this.#position = Math.floor(random() * WINDOW);
    for (let index = 0; index < quotas.length; index++) {
      const due = (this.#weights[index] as number) * WINDOW - (quotas[index] as number) * this.#total;
      this.#credits[index] = (claims[index] as number) + due;
    }
    return quotas;
  }

  /** 100 steps of smooth weighted round-robin into `#last`. */
  #smooth(weights: Float64Array | Uint8Array, total: number, credits: Float64Array): Uint8Array {
    const counts = new Uint8Array(weights.length);
    for (let step = 0; step < WINDOW; step++) {
      let pick = 0;
      for (let index = 0; index < credits.length; index++) {
        credits[index] = (credits[index] as number) + (weights[index] as number);
        if ((credits[index] as number) > (credits[pick] as number)) pick = index;
      }
      credits[pick] = (credits[pick] as number) - total;
      counts[pick] = (counts[pick] as number) + 1;
      this.#last[step] = pick;
    }
    return counts;
  }
}

/** Indexes, those with the greatest values first. */
function byValue(values: Float64Array): number[] {
  return [...values.keys()].sort((one, other) => (values[other] as number) - (values[one] as number));
}
