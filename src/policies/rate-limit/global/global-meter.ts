/** One limit of one route whose counters replicas share, as a worker runs it. */
import { hash } from 'node:crypto';
import type { Exchange } from '../../../exchange/exchange.ts';
import type { Limit } from '../../../snapshot/rate-limit.ts';
import { Demand } from '../demand.ts';
import { keyValue } from '../limit-key.ts';
import type { ShownMeter } from '../meter.ts';
import { ALLOWED, Field, TAKEN } from './limit-script.ts';
import { slotOf } from './slot.ts';

/** A cost beyond that is as good as any; its digits are no exponent. */
const MOST = 1_000_000_000_000;

/** For the layout of keys and states: with another, nothing of before is read. */
const LAYOUT = 1;

/**
 * It is used for one request at a time: what it says is that of the last answer that it was given.
 *
 * Its keys are `tidegate:1:{limit}:key`, both parts digests. So all of a limit is in one slot of a cluster, and neither
 * addresses nor credentials that keys are made of can be read in Redis.
 */
export class GlobalMeter implements ShownMeter {
  readonly limit: Limit;
  readonly isEnforced: boolean;
  readonly capacity: number;
  readonly slot: number;
  /** What stands in braces in its keys. */
  readonly tag: string;
  /** What a request asks of this limit; read for each. */
  readonly demand: Demand;
  isAsked = true;
  isAllowed = false;
  isTaken = false;
  remaining = 0;
  resetsIn = 0;
  retryIn = 0;
  waits = 0;
  readonly #prefix: string;
  readonly #head: string;
  readonly #whole: string;
  /** Redis' clock at the last answer (ms). */
  #now = 0;
  #lastText: string | undefined = undefined;
  #lastKey = '';

  constructor(limit: Limit) {
    this.limit = limit;
    this.isEnforced = limit.mode === 'Enforce';
    this.capacity = capacityOf(limit);
    this.demand = new Demand(limit);
    this.tag = digest(limit.id);
    this.slot = slotOf(this.tag);
    this.#prefix = `tidegate:${LAYOUT}:{${this.tag}}:`;
    this.#head = `${letterOf(limit)} ${limit.requests} ${periodOf(limit)} ${this.capacity} ${this.isEnforced ? 1 : 0} `;
    this.#whole = `${this.#head}1`;
  }

  /** The definition that the script reads. @param cost of the request; a whole number */
  definition(cost: number): string {
    return cost === 1 ? this.#whole : `${this.#head}${Math.min(MOST, cost)}`;
  }

  /** The bucket of a request. @throws ExpressionError */
  key(exchange: Exchange): string {
    const parts = this.limit.key;
    let text = '';
    if (parts.length === 1) {
      text = keyValue(parts[0] as Limit['key'][number], exchange);
    } else {
      // With lengths before them, no two lists of values are one text.
      for (const part of parts) {
        const value = keyValue(part, exchange);
        text += `${value.length}:${value}`;
      }
    }
    if (text !== this.#lastText) {
      this.#lastKey = this.#prefix + digest(text);
      this.#lastText = text;
    }
    return this.#lastKey;
  }

  /** Takes over what the script answered. @param from index of this limit's first number */
  read(answer: readonly number[], from: number): void {
    const verdict = answer[from + Field.Verdict] as number;
    this.#now = (answer[0] as number) / 1000;
    this.isAllowed = (verdict & ALLOWED) !== 0;
    this.isTaken = (verdict & TAKEN) !== 0;
    this.remaining = answer[from + Field.Remaining] as number;
    this.resetsIn = (answer[from + Field.ResetsIn] as number) / 1000;
    this.retryIn = (answer[from + Field.RetryIn] as number) / 1000;
    this.waits = (answer[from + Field.Waits] as number) / 1000;
  }

  /** What the last answer counted was given back. @param cost of it */
  untake(cost: number): void {
    this.isTaken = false;
    this.remaining = Math.min(this.capacity, this.remaining + cost);
  }

  windowLength(): number {
    if (this.limit.calendar !== 'Month') return periodOf(this.limit) / 1000;
    const date = new Date(this.#now);
    return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) - Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
  }
}

function capacityOf({ algorithm, requests, burst }: Limit): number {
  if (algorithm === 'LeakyBucket') return burst + 1;
  return algorithm === 'TokenBucket' ? burst : requests;
}

function letterOf({ algorithm, calendar }: Limit): string {
  return calendar === 'Month' ? 'M' : algorithm.charAt(0);
}

/** In microseconds; a month has none. */
function periodOf({ period, calendar }: Limit): number {
  return calendar === undefined ? period * 1000 : calendar === 'Day' ? 86_400_000_000 : 0;
}

/** 128 bits, in 22 letters. */
function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}
