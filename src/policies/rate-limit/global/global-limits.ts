/**
 * The limits of one route that the store counts, and what is asked of it about one request.
 *
 * Where one server has all keys, one call decides over all limits at once. In a cluster, limits of different slots are asked at
 * the same time, each slot for itself, and what one of them counted is given back when another one refuses. In between, another
 * request may find a place taken that is given back; so fewer may pass for a moment, and never more.
 */
import type { Exchange } from '../../../exchange/exchange.ts';
import { ExpressionError } from '../../../expressions/expression-error.ts';
import type { Limit } from '../../../snapshot/rate-limit.ts';
import { GlobalMeter } from './global-meter.ts';
import { ACTIONS, Action, FIELDS } from './limit-script.ts';
import type { LimitStore, StoreQuestion } from './limit-store.ts';

/** Meters that are asked in one call; places in the list of all. */
interface Group {
  readonly slot: number;
  readonly tag: string;
  readonly members: readonly number[];
}

/** What a request has used up of a limit. */
interface Held {
  readonly meter: GlobalMeter;
  readonly key: string;
  readonly cost: number;
  /** When the request leaves, on Redis' clock, in whole microseconds. */
  readonly leavesAt: number;
}

export class GlobalLimits {
  readonly meters: readonly GlobalMeter[];
  readonly #together: readonly Group[];
  readonly #bySlot: readonly Group[];

  /** @param limits of several with the same id the first counts */
  constructor(limits: readonly Limit[]) {
    const distinct = limits.filter((limit, index) => limits.findIndex((other) => other.id === limit.id) === index);
    this.meters = distinct.map((limit) => new GlobalMeter(limit));
    const slots = new Map<number, number[]>();
    for (const [index, { slot }] of this.meters.entries()) slots.set(slot, [...(slots.get(slot) ?? []), index]);
    this.#bySlot = [...slots].map(([slot, members]) => ({ slot, tag: (this.meters[members[0] as number] as GlobalMeter).tag, members }));
    const [first] = this.#bySlot;
    this.#together = first === undefined ? [] : [{ ...first, members: this.meters.map((_meter, index) => index) }];
  }

  /** Whether all that is to be asked would be taken now. */
  isTakenBy(store: LimitStore): boolean {
    for (const { slot } of this.#groups(store)) if (!store.takes(slot)) return false;
    return true;
  }

  question(exchange: Exchange, action: Action, store: LimitStore): GlobalQuestion {
    return new GlobalQuestion(this.meters, this.#groups(store), exchange, action, store);
  }

  /** Whether an enforced limit that nobody passes without the store is for this request. @throws ExpressionError */
  isDenied(exchange: Exchange): boolean {
    for (const { limit, isEnforced, demand } of this.meters) {
      if (limit.onStoreFailure !== 'Deny' || !isEnforced) continue;
      demand.read(exchange);
      if (demand.isAsked) return true;
    }
    return false;
  }

  #groups(store: LimitStore): readonly Group[] {
    return store.isCluster ? this.#bySlot : this.#together;
  }
}

/** One limit of a question. */
interface Part {
  readonly meter: GlobalMeter;
  readonly key: string;
  readonly cost: number;
  /** Once there: the answer with it, and where it stands there. */
  answer: readonly number[] | undefined;
  place: number;
}

/** What one request asks, and what it was told. */
export class GlobalQuestion {
  readonly #groups: readonly Group[];
  readonly #action: Action;
  readonly #store: LimitStore;
  /** For each meter; undefined: it is not for this request. */
  readonly #parts: readonly (Part | undefined)[];
  #pending = 0;
  #isFailed = false;

  /** @throws ExpressionError by an enforced limit that can't tell */
  constructor(meters: readonly GlobalMeter[], groups: readonly Group[], exchange: Exchange, action: Action, store: LimitStore) {
    this.#groups = groups;
    this.#action = action;
    this.#store = store;
    this.#parts = meters.map((meter) => partOf(meter, exchange));
  }

  /** Whether no limit is for this request. */
  get isEmpty(): boolean {
    return this.#parts.every((part) => part === undefined);
  }

  /**
   * @param done called once every answer is there, or will not come
   * @returns false when nothing was asked: then `done` is not called
   */
  ask(done: (isAnswered: boolean) => void): boolean {
    const finish = (): void => {
      this.#pending--;
      if (this.#pending === 0) done(!this.#isFailed);
    };
    for (const { slot, tag, members } of this.#groups) {
      const parts: Part[] = [];
      for (const index of members) {
        const part = this.#parts[index];
        if (part !== undefined) parts.push(part);
      }
      if (parts.length === 0) continue;
      if (this.#store.ask(slot, tag, this.#questionOf(parts, finish))) this.#pending++;
      else this.#isFailed = true;
    }
    return this.#pending > 0;
  }

  #questionOf(parts: readonly Part[], finish: () => void): StoreQuestion {
    return {
      keys: parts.map(({ key }) => key),
      args: [String(parts.length * ACTIONS + this.#action), ...parts.map(({ meter, cost }) => meter.definition(cost))],
      size: parts.length * FIELDS,
      onAnswer: (answer, from) => {
        for (const [index, part] of parts.entries()) {
          part.answer = answer;
          part.place = from + index * FIELDS;
        }
        finish();
      },
      onFailure: () => {
        this.#isFailed = true;
        finish();
      },
    };
  }

  /**
   * Lets the meters say what came of this request.
   * @param meters those that it was made of
   * @returns whether every enforced limit that was heard of allows it
   */
  read(meters: readonly GlobalMeter[]): boolean {
    let passes = true;
    for (let index = 0; index < meters.length; index++) {
      const meter = meters[index] as GlobalMeter;
      const part = this.#parts[index];
      meter.isAsked = part?.answer !== undefined;
      if (part?.answer === undefined) continue;
      meter.read(part.answer, part.place);
      if (meter.isEnforced && !meter.isAllowed) passes = false;
    }
    return passes;
  }

  /**
   * After `read`: gives back what was counted, since the request is refused by a limit of another server or of the pod. What
   * the meters say is as if it had not been.
   */
  giveBackAll(): void {
    const held = this.#held((meter) => meter.isTaken);
    for (const { meter, cost } of held) meter.untake(cost);
    this.#giveBack(held);
  }

  /** After `read`: what gives back the places in queues of a request that waits, should it not go on. */
  queueReturn(): () => void {
    const held = this.#held((meter) => meter.isTaken && meter.waits > 0);
    return () => this.#giveBack(held);
  }

  #held(isHeld: (meter: GlobalMeter) => boolean): Held[] {
    const held: Held[] = [];
    for (const part of this.#parts) {
      if (part?.answer === undefined || part.cost === 0 || !isHeld(part.meter)) continue;
      const { meter, key, cost, answer } = part;
      held.push({ meter, key, cost, leavesAt: Math.round((answer[0] as number) + meter.waits * 1000) });
    }
    return held;
  }

  #giveBack(held: readonly Held[]): void {
    for (const { meter, key, cost, leavesAt } of held) {
      // Where the store is down by now, what was counted runs out by itself.
      this.#store.ask(meter.slot, meter.tag, {
        keys: [key],
        args: [String(ACTIONS + Action.GiveBack), meter.definition(cost), String(leavesAt)],
        size: FIELDS,
        onAnswer: () => {},
        onFailure: () => {},
      });
    }
  }
}

/** A limit that nobody enforces never stands in the way, not even by failing: then it is not asked. */
function partOf(meter: GlobalMeter, exchange: Exchange): Part | undefined {
  const { demand } = meter;
  try {
    demand.read(exchange);
    return demand.isAsked ? { meter, key: meter.key(exchange), cost: demand.cost, answer: undefined, place: 0 } : undefined;
  } catch (error) {
    if (meter.isEnforced || !(error instanceof ExpressionError)) throw error;
    return undefined;
  }
}
