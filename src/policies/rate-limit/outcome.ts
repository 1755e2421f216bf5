/** What becomes of a request once its limits have decided, whoever keeps their counters. */
import type { Exchange, Reply } from '../../exchange/exchange.ts';
import type { Limit, LimitKeyPart } from '../../snapshot/rate-limit.ts';
import { describeDuration } from '../../snapshot/words.ts';
import type { LimitDecisions } from '../policy.ts';
import { wholeSeconds } from './limit-headers.ts';
import type { ShownMeter } from './meter.ts';

/** Waits shorter than this many milliseconds are none: timers are no finer. */
export const SHORTEST_WAIT = 0.05;

/**
 * Counts what each limit decided: `allowed` where it counted the request, `refused` where it is why the request is
 * refused, `shadowRefused` where it would be. A limit that allows a request that another one refuses decided nothing.
 * @returns milliseconds that the request must wait: the longest of its waits, each queue keeping its own pace
 */
export function countDecisions(meters: readonly ShownMeter[], counted: readonly LimitDecisions[], exchange: Exchange): number {
  let waits = 0;
  for (let index = 0; index < meters.length; index++) {
    const meter = meters[index] as ShownMeter;
    const decisions = counted[index] as LimitDecisions;
    if (!meter.isAsked) continue;
    if (meter.isTaken) {
      decisions.allowed++;
      if (meter.remaining * 10 < meter.capacity) decisions.nearlyRefused++;
      if (meter.isEnforced && meter.waits > waits) waits = meter.waits;
    } else if (!meter.isAllowed) {
      if (meter.isEnforced) {
        decisions.refused++;
      } else {
        decisions.shadowRefused++;
        exchange.shadowRefusals = exchange.shadowRefusals === '' ? meter.limit.name : `${exchange.shadowRefusals},${meter.limit.name}`;
      }
    }
  }
  return waits;
}

/** RFC 6585 section 4. */
export function refusal(tightest: ShownMeter): Reply {
  return {
    status: 429,
    reason: 'rate_limited',
    detail: 'Too many requests; try again later.',
    // A client that comes back in the very second it is told must not be early.
    fields: [['Retry-After', String(Math.max(1, wholeSeconds(tightest.retryIn)))]],
  };
}

/** For `explain`. */
export function describeLimit({ name, algorithm, requests, period, calendar, burst, key, when, cost, mode, onStoreFailure }: Limit): string {
  const bucket = algorithm === 'TokenBucket' || algorithm === 'LeakyBucket' ? `, burst ${burst}` : '';
  const costs = cost === undefined ? '' : `, each costs ${cost}`;
  const condition = when === undefined ? '' : `, when ${when}`;
  const scope = onStoreFailure === undefined ? '' : `, over all replicas (without Redis: ${onStoreFailure})`;
  const by = key.length === 0 ? '' : `, by ${key.map(describePart).join(' and ')}`;
  return `${name}: ${algorithm} ${requests} per ${calendar ?? describeDuration(period)}${bucket}${by}${costs}${condition}${scope}${mode === 'Shadow' ? ' (Shadow)' : ''}`;
}

function describePart({ type, name, expression }: LimitKeyPart): string {
  const what = name ?? expression;
  return what === undefined ? type : `${type} ${what}`;
}
