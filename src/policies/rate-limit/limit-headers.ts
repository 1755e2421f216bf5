import { FieldKind, maskOf } from '../../exchange/field-names.ts';
import { type Fields, otherNames } from '../../exchange/fields.ts';
import { latin1Copy } from '../../exchange/latin1-copy.ts';
import type { ShownMeter } from './meter.ts';

/** What an answer says about its limits; a backend's own word on the same is replaced. */
const NAMES = otherNames(['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset', 'ratelimit-policy', 'ratelimit']);
const MASK = maskOf(FieldKind.Other);

/**
 * The fields that tell clients of the limits of a route: `X-RateLimit-*` for the tightest limit, and for all of them
 * `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers; structured fields, RFC 9651). Limits in mode
 * Shadow are not in them.
 *
 * The tightest limit of a refused request is, of those that refuse it, the one that does so longest; of any other request
 * the one with the fewest requests left, and of several such the one that takes longest to reset.
 */
export class LimitHeaders {
  readonly #meters: readonly ShownMeter[];
  /** What of the text never changes, for each meter: up to Remaining, of its item in RateLimit-Policy, of that in RateLimit. */
  readonly #heads: readonly string[];
  readonly #policies: readonly string[];
  readonly #items: readonly string[];
  /** What stands between Reset and the first item of RateLimit, where it never changes. */
  readonly #middle: string | undefined;
  /** Whether some of the limits are not for every request. */
  readonly #isConditional: boolean;
  /** The text of the last call, and what it says of each meter: with the same again, it is the same. */
  #last = '';
  #lastTightest = -1;
  readonly #lastLeft: number[];
  readonly #lastSeconds: number[];
  /** `#last` is in one piece. */
  #isFlat = false;

  constructor(meters: readonly ShownMeter[]) {
    this.#meters = meters.filter((meter) => meter.isEnforced);
    this.#heads = this.#meters.map((meter) => `X-RateLimit-Limit: ${meter.capacity}\r\nX-RateLimit-Remaining: `);
    this.#policies = this.#meters.map(({ limit }) => `${quoted(limit.name)};q=${limit.requests};w=`);
    this.#items = this.#meters.map(({ limit }) => `${quoted(limit.name)};r=`);
    this.#lastLeft = this.#meters.map(() => -1);
    this.#lastSeconds = this.#meters.map(() => -1);
    this.#isConditional = this.#meters.some(({ limit }) => limit.when !== undefined);
    this.#middle = this.#isConditional || this.#meters.some(({ limit }) => limit.calendar === 'Month') ? undefined : this.#renderMiddle(0);
  }

  /** Whether there is anything to show. */
  get isEmpty(): boolean {
    return this.#meters.length === 0;
  }

  /** The limit that decides what the answer shows, after a decision of which some limit was asked. */
  tightest(): ShownMeter {
    return this.#meters[this.#tightestIndex()] as ShownMeter;
  }

  /** -1 when no limit is for this request. */
  #tightestIndex(): number {
    let tightest = -1;
    for (let index = 0; index < this.#meters.length; index++) {
      const meter = this.#meters[index] as ShownMeter;
      if (meter.isAsked && (tightest < 0 || isTighter(meter, this.#meters[tightest] as ShownMeter))) tightest = index;
    }
    return tightest;
  }

  /** The field lines after a decision of the limiter; none when no limit is for this request. @param now on the limiter's clock */
  render(now: number): string {
    const tightest = this.#tightestIndex();
    if (tightest < 0) return '';
    if (this.#middle === undefined) return this.#renderAnew(tightest, this.#renderMiddle(now));
    if (this.#hasChanged(tightest)) {
      this.#last = this.#renderAnew(tightest, this.#middle);
      this.#isFlat = false;
    } else if (!this.#isFlat) {
      // In pieces it would be put together anew in the head of each answer.
      this.#last = latin1Copy(this.#last);
      this.#isFlat = true;
    }
    return this.#last;
  }

  /** Whether the text says something else than last time; keeps what it says now. Where it does not hang on the time or the request. */
  #hasChanged(tightest: number): boolean {
    const meters = this.#meters;
    let hasChanged = tightest !== this.#lastTightest;
    this.#lastTightest = tightest;
    for (let at = 0; at < meters.length; at++) {
      const { isAsked, remaining, resetsIn } = meters[at] as ShownMeter;
      const left = isAsked ? remaining : -1;
      const seconds = wholeSeconds(resetsIn);
      if (left === this.#lastLeft[at] && seconds === this.#lastSeconds[at]) continue;
      this.#lastLeft[at] = left;
      this.#lastSeconds[at] = seconds;
      hasChanged = true;
    }
    return hasChanged;
  }

  #renderAnew(tightest: number, middle: string): string {
    const meters = this.#meters;
    let remaining = '';
    let reset = '';
    let items = '';
    for (let at = meters.length - 1; at >= 0; at--) {
      const meter = meters[at] as ShownMeter;
      if (!meter.isAsked) continue;
      const left = String(meter.remaining);
      const seconds = String(wholeSeconds(meter.resetsIn));
      items = `${this.#items[at]}${left};t=${seconds}${items === '' ? '\r\n' : ', '}${items}`;
      if (at === tightest) {
        remaining = left;
        reset = seconds;
      }
    }
    return `${this.#heads[tightest]}${remaining}\r\nX-RateLimit-Reset: ${reset}${middle}${items}`;
  }

  #renderMiddle(now: number): string {
    const policies = this.#meters.flatMap((meter, index) =>
      this.#isConditional && !meter.isAsked ? [] : [`${this.#policies[index]}${wholeSeconds(meter.windowLength(now))}`],
    );
    return `\r\nRateLimit-Policy: ${policies.join(', ')}\r\nRateLimit: `;
  }

  /** @param lines made by `render` */
  static write(fields: Fields, lines: string): void {
    fields.removeOthers(NAMES);
    if (lines !== '') fields.appendLines(lines, MASK);
  }
}

function isTighter(meter: ShownMeter, other: ShownMeter): boolean {
  if (meter.isAllowed !== other.isAllowed) return other.isAllowed;
  if (!meter.isAllowed) return meter.retryIn > other.retryIn;
  if (meter.remaining !== other.remaining) return meter.remaining < other.remaining;
  return meter.resetsIn > other.resetsIn;
}

/** Integers of structured fields have no more digits (RFC 9651 section 3.3.1); a long queue at a slow pace would. */
const MAX_INTEGER = 999_999_999_999_999;

/** Whole seconds, rounded up. A millionth is rounding: a minute that is left is 60 seconds, not 61. */
export function wholeSeconds(milliseconds: number): number {
  return Math.min(MAX_INTEGER, Math.max(0, Math.ceil(milliseconds / 1000 - 1e-6)));
}

/** RFC 9651 section 4.1.6; names of limits are ASCII. */
function quoted(name: string): string {
  return `"${name.replace(/[\\"]/g, '\\$&')}"`;
}
