const FIRST_ROOM = 8;

/**
 * The open streams of one connection, by identifier. Not a Map: one of those is made anew after so many additions and
 * removals, and the former one, once the collector has taken it for long-lived, keeps alive all that it held and its
 * successor, too; streams come and go by the thousand.
 */
export class StreamTable<Stream extends { readonly id: number }> {
  size = 0;
  /** Open addressing with linear probing, at most half full; its length is a power of two. */
  #slots: (Stream | undefined)[] = new Array(FIRST_ROOM).fill(undefined);

  get(id: number): Stream | undefined {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = home(id, mask); ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  /** @param stream whose identifier no other one in the table has */
  add(stream: Stream): void {
    if (++this.size * 2 > this.#slots.length) this.#grow();
    this.#place(stream);
  }

  /** @returns whether it was there */
  delete(id: number): boolean {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let gap = home(id, mask);
    for (; slots[gap]?.id !== id; gap = (gap + 1) & mask) if (slots[gap] === undefined) return false;
    this.size--;
    // Those behind that would not be found past the gap move up.
    for (let at = (gap + 1) & mask; ; at = (at + 1) & mask) {
      const next = slots[at];
      if (next === undefined) break;
      if (((at - home(next.id, mask)) & mask) < ((at - gap) & mask)) continue;
      slots[gap] = next;
      gap = at;
    }
    slots[gap] = undefined;
    return true;
  }

  /** All of now, by identifier. */
  values(): Stream[] {
    const streams: Stream[] = [];
    if (this.size > 0) for (const stream of this.#slots) if (stream !== undefined) streams.push(stream);
    return streams.length < 2 ? streams : streams.sort(byId);
  }

  clear(): void {
    this.#slots = new Array(FIRST_ROOM).fill(undefined);
    this.size = 0;
  }

  #place(stream: Stream): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = home(stream.id, mask);
    while (slots[at] !== undefined) at = (at + 1) & mask;
    slots[at] = stream;
  }

  #grow(): void {
    const former = this.#slots;
    this.#slots = new Array(former.length * 2).fill(undefined);
    for (const stream of former) if (stream !== undefined) this.#place(stream);
  }
}

/** Identifiers of one side are all odd, or all even; neighbours get neighbouring places. */
function home(id: number, mask: number): number {
  return (id >>> 1) & mask;
}

function byId(left: { readonly id: number }, right: { readonly id: number }): number {
  return left.id - right.id;
}
