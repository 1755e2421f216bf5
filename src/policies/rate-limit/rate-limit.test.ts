import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import type { Exchange } from '../../exchange/exchange.ts';
import { Fields } from '../../exchange/fields.ts';
import type { Limit } from '../../snapshot/rate-limit.ts';
import { contextOf, noDecisions } from '../context.fixture.ts';
import { exchangeOf, type RequestSpec } from '../exchange.fixture.ts';
import { type Filter, type LimitDecisions, Verdict } from '../policy.ts';
import { limitOf, SimulatedTime } from './limiter.fixture.ts';
import { RateLimiter } from './limiter.ts';
import { rateLimit } from './rate-limit.ts';

const MINUTE = 60_000;

/** A route with these limits, as the proxy runs it. */
class LimitedRoute {
  readonly time: SimulatedTime;
  readonly limiter: RateLimiter;
  readonly decisions = new Map<string, LimitDecisions>();
  filter: Filter;

  constructor(limits: readonly Limit[], start?: number) {
    this.time = new SimulatedTime(start);
    this.limiter = new RateLimiter(RateLimiter.allocate({ counterSets: 64, logSets: 64, time: this.time }), 0, this.time);
    this.filter = this.compile(limits);
  }

  compile(limits: readonly Limit[]): Filter {
    return rateLimit.compile(
      limits,
      contextOf({
        rateLimiter: this.limiter,
        limitDecisions: (policy, limit) => {
          const key = `${policy} ${limit}`;
          const decisions = this.decisions.get(key) ?? noDecisions();
          this.decisions.set(key, decisions);
          return decisions;
        },
      }),
    );
  }

  request(request: RequestSpec = {}): Answer {
    const exchange = exchangeOf(request);
    let resumed = 0;
    exchange.resume = () => resumed++;
    const verdict = this.filter.onRequest?.(exchange);
    return { exchange, verdict, resumed: () => resumed };
  }

  /** The rate-limit fields of an answer, and Retry-After. */
  fieldsOf({ exchange }: Answer, backend = new Fields()): Record<string, string> {
    for (const [name, value] of exchange.reply?.fields ?? []) backend.append(name, value);
    this.filter.onResponse?.(exchange, exchange.reply?.status ?? 200, backend);
    const fields: Record<string, string> = {};
    backend.forEach((name, value) => {
      assert.equal(fields[name], undefined, `${name} is there twice`);
      fields[name] = value;
    });
    return fields;
  }

  pass(milliseconds: number): void {
    this.time.pass(milliseconds);
    this.limiter.departures.run();
  }
}

interface Answer {
  readonly exchange: Exchange;
  readonly verdict: Verdict | undefined;
  readonly resumed: () => number;
}

describe('what answers say', () => {
  it('says it for a token bucket: burst, whole tokens, until full', () => {
    const route = new LimitedRoute([limitOf({ name: 'per-client', requests: 100, period: MINUTE, burst: 20 })]);
    assert.deepEqual(route.fieldsOf(route.request()), {
      'X-RateLimit-Limit': '20',
      'X-RateLimit-Remaining': '19',
      'X-RateLimit-Reset': '1',
      'RateLimit-Policy': '"per-client";q=100;w=60',
      RateLimit: '"per-client";r=19;t=1',
    });
    for (let index = 0; index < 19; index++) route.request();
    const refused = route.request();
    assert.equal(refused.verdict, Verdict.Answered);
    assert.equal(refused.exchange.reply?.status, 429);
    assert.equal(refused.exchange.reply?.reason, 'rate_limited');
    assert.deepEqual(route.fieldsOf(refused), {
      'Retry-After': '1',
      'X-RateLimit-Limit': '20',
      'X-RateLimit-Remaining': '0',
      'X-RateLimit-Reset': '12',
      'RateLimit-Policy': '"per-client";q=100;w=60',
      RateLimit: '"per-client";r=0;t=12',
    });
  });

  it('says it for a leaky bucket: burst + 1, free places, until empty', () => {
    const route = new LimitedRoute([limitOf({ name: 'even', algorithm: 'LeakyBucket', requests: 2, period: 1000, burst: 3 })]);
    assert.deepEqual(route.fieldsOf(route.request()), {
      'X-RateLimit-Limit': '4',
      'X-RateLimit-Remaining': '3',
      'X-RateLimit-Reset': '1',
      'RateLimit-Policy': '"even";q=2;w=1',
      RateLimit: '"even";r=3;t=1',
    });
  });

  it('says it for windows: what is left, until the end or until full', () => {
    const route = new LimitedRoute(
      [
        limitOf({ id: '1', name: 'fixed', algorithm: 'FixedWindow', requests: 7, period: MINUTE }),
        limitOf({ id: '2', name: 'sliding', algorithm: 'SlidingWindow', requests: 5, period: 90_500 }),
        limitOf({ id: '3', name: 'day', algorithm: 'FixedWindow', requests: 8, calendar: 'Day' }),
        limitOf({ id: '4', name: 'month', algorithm: 'FixedWindow', requests: 9, calendar: 'Month' }),
      ],
      Date.UTC(2028, 1, 10, 23, 59, 20),
    );
    assert.deepEqual(route.fieldsOf(route.request()), {
      'X-RateLimit-Limit': '5',
      'X-RateLimit-Remaining': '4',
      'X-RateLimit-Reset': '91',
      'RateLimit-Policy': '"fixed";q=7;w=60, "sliding";q=5;w=91, "day";q=8;w=86400, "month";q=9;w=2505600',
      RateLimit: '"fixed";r=6;t=40, "sliding";r=4;t=91, "day";r=7;t=40, "month";r=8;t=1641640',
    });
    route.pass(30 * 86_400_000);
    assert.match(route.fieldsOf(route.request())['RateLimit-Policy'] ?? '', /"month";q=9;w=2678400$/);
  });

  it('never speaks of more than a period, at whatever fraction of a millisecond', () => {
    const route = new LimitedRoute([limitOf({ algorithm: 'SlidingWindow', requests: 1, period: 3_600_000 })]);
    route.pass(0.12345);
    assert.equal(route.fieldsOf(route.request())['X-RateLimit-Reset'], '3600');
    route.pass(0.00001);
    const refused = route.fieldsOf(route.request());
    assert.equal(refused['X-RateLimit-Reset'], '3600');
    assert.equal(refused['Retry-After'], '3600');
  });

  it('speaks of the limit with the fewest requests left, and of those the one that takes longest', () => {
    const route = new LimitedRoute([
      limitOf({ id: '1', requests: 3, period: 1000 }),
      limitOf({ id: '2', requests: 2, period: 1000, burst: 2 }),
      limitOf({ id: '3', requests: 2, period: MINUTE, burst: 2 }),
    ]);
    const fields = route.fieldsOf(route.request());
    assert.equal(fields['X-RateLimit-Remaining'], '1');
    assert.equal(fields['X-RateLimit-Reset'], '30');
  });

  it('speaks, of limits that refuse, of the one that does so longest, and says when to come back', () => {
    const route = new LimitedRoute([
      limitOf({ id: '1', requests: 1, period: 30_000 }),
      limitOf({ id: '2', requests: 1, period: 90_000 }),
      limitOf({ id: '3', requests: 1, period: MINUTE }),
      limitOf({ id: '4', requests: 100, period: 86_400_000 }),
    ]);
    route.request();
    const fields = route.fieldsOf(route.request());
    assert.equal(fields['Retry-After'], '90');
    assert.equal(fields['X-RateLimit-Reset'], '90');
    assert.equal(fields['X-RateLimit-Limit'], '1');
  });

  it("replaces a backend's own word, whatever its spelling", () => {
    const route = new LimitedRoute([limitOf({ requests: 5 })]);
    const backend = Fields.of([
      ['x-ratelimit-limit', '1'],
      ['X-RATELIMIT-REMAINING', '1'],
      ['RateLimit', '"x";r=1'],
      ['X-Other', 'stays'],
    ]);
    const fields = route.fieldsOf(route.request(), backend);
    assert.equal(fields['X-RateLimit-Limit'], '5');
    assert.equal(fields['X-Other'], 'stays');
    assert.equal(Object.keys(fields).length, 6);
  });

  it('is on answers that were given before the limits were asked, and those count nothing', () => {
    const route = new LimitedRoute([limitOf({ requests: 5 })]);
    const early: Answer = { exchange: exchangeOf(), verdict: undefined, resumed: () => 0 };
    assert.equal(route.fieldsOf(early)['X-RateLimit-Remaining'], '5');
    assert.equal(route.fieldsOf(route.request())['X-RateLimit-Remaining'], '4');
  });

  it('tells refused clients a time at which they pass, and says so in every answer', () => {
    const limits = fc.record({
      algorithm: fc.constantFrom('TokenBucket' as const, 'FixedWindow' as const, 'SlidingWindow' as const),
      requests: fc.integer({ min: 1, max: 60 }),
      period: fc.constantFrom(700, 1000, 3001, MINUTE),
    });
    fc.assert(
      fc.property(limits, fc.array(fc.integer({ min: 0, max: 2000 }), { maxLength: 80 }), (limit, passes) => {
        const route = new LimitedRoute([limitOf(limit)]);
        for (const pass of passes) {
          route.pass(pass);
          const answer = route.request();
          const fields = route.fieldsOf(answer);
          assert.equal(Object.keys(fields).length, answer.verdict === Verdict.Answered ? 6 : 5);
          if (answer.verdict !== Verdict.Answered) continue;
          const seconds = Number(fields['Retry-After']);
          assert.ok(Number.isInteger(seconds) && seconds >= 1);
          route.pass(seconds * 1000);
          assert.equal(route.request().verdict, Verdict.Continue);
        }
      }),
    );
  });
});

describe('mode Shadow', () => {
  it('counts and is logged, and neither refuses nor shows', () => {
    const route = new LimitedRoute([
      limitOf({ id: '1', name: 'trial', requests: 1, period: MINUTE, mode: 'Shadow' }),
      limitOf({ id: '2', name: 'real', requests: 3, period: MINUTE }),
    ]);
    const answers = [1, 2, 3, 4].map(() => route.request());
    assert.deepEqual(
      answers.map(({ verdict }) => verdict),
      [Verdict.Continue, Verdict.Continue, Verdict.Continue, Verdict.Answered],
    );
    assert.deepEqual(
      answers.map(({ exchange }) => exchange.shadowRefusals),
      ['', 'trial', 'trial', 'trial'],
    );
    for (const answer of answers) assert.equal(JSON.stringify(route.fieldsOf(answer)).includes('trial'), false);
    assert.deepEqual(route.decisions.get('default/policy trial'), { allowed: 1, refused: 0, shadowRefused: 3, nearlyRefused: 1 });
    assert.deepEqual(route.decisions.get('default/policy real'), { allowed: 3, refused: 1, shadowRefused: 0, nearlyRefused: 1 });
  });

  it('alone shows nothing at all', () => {
    const route = new LimitedRoute([limitOf({ requests: 1, mode: 'Shadow' }), limitOf({ id: 'b', name: 'b', requests: 1, mode: 'Shadow' })]);
    route.request();
    const second = route.request();
    assert.equal(second.verdict, Verdict.Continue);
    assert.equal(second.exchange.shadowRefusals, 'test,b');
    assert.deepEqual(route.fieldsOf(second), {});
  });

  it('lets nobody wait', () => {
    const route = new LimitedRoute([limitOf({ algorithm: 'LeakyBucket', requests: 1, period: MINUTE, burst: 5, mode: 'Shadow' })]);
    for (let index = 0; index < 7; index++) assert.equal(route.request().verdict, Verdict.Continue);
  });
});

describe('reloads', () => {
  it('refill nothing, and new requests or burst keep what was used', () => {
    const limit = limitOf({ requests: 10, period: MINUTE });
    const route = new LimitedRoute([limit]);
    for (let index = 0; index < 4; index++) route.request();
    route.filter = route.compile([{ ...limit, name: 'renamed' }]);
    assert.equal(route.fieldsOf(route.request())['X-RateLimit-Remaining'], '5');
    route.filter = route.compile([{ ...limit, burst: 20 }]);
    assert.equal(route.fieldsOf(route.request())['X-RateLimit-Remaining'], '14');
    route.filter = route.compile([{ ...limit, burst: 2 }]);
    assert.equal(route.request().verdict, Verdict.Answered);
  });
});

describe('a leaky bucket', () => {
  const even = (limit: Partial<Limit> = {}) => limitOf({ algorithm: 'LeakyBucket', requests: 10, period: 1000, burst: 3, ...limit });

  it('lets requests leave at an even pace, keeps burst waiting and refuses the next at once', () => {
    const route = new LimitedRoute([even()]);
    const answers = Array.from({ length: 6 }, () => route.request());
    assert.deepEqual(
      answers.map(({ verdict }) => verdict),
      [Verdict.Continue, Verdict.Waiting, Verdict.Waiting, Verdict.Waiting, Verdict.Answered, Verdict.Answered],
    );
    const resumed = () => answers.map((answer) => answer.resumed());
    route.pass(99);
    assert.deepEqual(resumed(), [0, 0, 0, 0, 0, 0]);
    route.pass(1.001);
    assert.deepEqual(resumed(), [0, 1, 0, 0, 0, 0]);
    assert.equal(route.request().verdict, Verdict.Waiting);
    assert.equal(route.request().verdict, Verdict.Answered);
    route.pass(200);
    assert.deepEqual(resumed(), [0, 1, 1, 1, 0, 0]);
    assert.equal(route.fieldsOf(answers[3] as Answer)['X-RateLimit-Remaining'], '0');
  });

  it('without a queue lets one through each interval and refuses all others', () => {
    const route = new LimitedRoute([even({ burst: 0 })]);
    const verdicts: (Verdict | undefined)[] = [];
    for (let index = 0; index < 21; index++) {
      verdicts.push(route.request().verdict);
      route.pass(50);
    }
    assert.equal(verdicts.filter((verdict) => verdict === Verdict.Continue).length, 11);
    assert.equal(verdicts.includes(Verdict.Waiting), false);
  });

  it('gives the place of one that goes away to the next, if nobody queues behind it', () => {
    const route = new LimitedRoute([even()]);
    const [, , , last] = Array.from({ length: 4 }, () => route.request());
    assert.equal(route.request().verdict, Verdict.Answered);
    last?.exchange.onAbandoned?.();
    // The proxy may say so twice.
    last?.exchange.onAbandoned?.();
    const next = route.request();
    assert.equal(next.verdict, Verdict.Waiting);
    assert.equal(route.request().verdict, Verdict.Answered);
    route.pass(300.001);
    assert.equal(next.resumed(), 1);
    assert.equal(last?.resumed(), 0);
  });

  it('keeps the place of one in the middle that goes away, so that no two leave at once', () => {
    const route = new LimitedRoute([even()]);
    const answers = Array.from({ length: 4 }, () => route.request());
    answers[2]?.exchange.onAbandoned?.();
    assert.equal(route.request().verdict, Verdict.Answered);
    route.pass(300.001);
    assert.deepEqual(
      answers.map((answer) => answer.resumed()),
      [0, 1, 0, 1],
    );
  });

  it('makes a request that waits in several queues wait for the longest', () => {
    const route = new LimitedRoute([even({ id: '1' }), even({ id: '2', requests: 5 })]);
    route.request();
    const second = route.request();
    route.pass(199);
    assert.equal(second.resumed(), 0);
    route.pass(1.001);
    assert.equal(second.resumed(), 1);
  });

  it('leaves at an even pace whatever comes when, and whoever gives up', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.integer({ min: 0, max: 250 }).map((pass) => ({ pass })) },
      { weight: 4, arbitrary: fc.constant({ arrive: true }) },
      { weight: 2, arbitrary: fc.nat({ max: 30 }).map((abandon) => ({ abandon })) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const route = new LimitedRoute([even()]);
        const left: number[] = [];
        const waiting: Answer[] = [];
        for (const next of steps) {
          if ('pass' in next) {
            // In small steps, to see when each leaves.
            for (let ms = 0; ms < next.pass; ms += 5) {
              route.pass(5);
              for (let index = waiting.length - 1; index >= 0; index--) {
                if (waiting[index]?.resumed() === 0) continue;
                waiting.splice(index, 1);
                left.push(route.time.elapsed);
              }
            }
          } else if ('abandon' in next) {
            const [gone] = waiting.splice(next.abandon % Math.max(1, waiting.length), 1);
            gone?.exchange.onAbandoned?.();
          } else {
            const answer = route.request();
            if (answer.verdict === Verdict.Continue) left.push(route.time.elapsed);
            if (answer.verdict === Verdict.Waiting) waiting.push(answer);
            assert.ok(waiting.length <= 3);
          }
          for (let index = 1; index < left.length; index++) {
            const gap = (left[index] as number) - (left[index - 1] as number);
            assert.ok(gap >= 95, `${gap} ms between two`);
          }
        }
      }),
    );
  });
});

describe('explain', () => {
  it('names the limits', () => {
    const route = new LimitedRoute([
      limitOf({ name: 'a', requests: 100, period: MINUTE, burst: 20, key: [{ type: 'ClientIP' }, { type: 'Header', name: 'x-user' }] }),
      limitOf({ id: 'b', name: 'b', algorithm: 'FixedWindow', requests: 5, calendar: 'Day', mode: 'Shadow' }),
      limitOf({
        id: 'c',
        name: 'c',
        algorithm: 'FixedWindow',
        key: [{ type: 'Expression', expression: 'identity.subject' }],
        when: 'has(identity.subject)',
        cost: '2',
      }),
    ]);
    assert.equal(
      route.filter.describe(),
      'a: TokenBucket 100 per 1m, burst 20, by ClientIP and Header x-user; b: FixedWindow 5 per Day (Shadow); c: FixedWindow 10 per 1s, by Expression identity.subject, each costs 2, when has(identity.subject)',
    );
  });
});
