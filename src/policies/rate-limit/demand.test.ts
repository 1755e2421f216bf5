/** RateLimitPolicy: keys of claims, consumers and expressions, `when`, `cost`, and what happens when expressions fail. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../../exchange/fields.ts';
import type { Identity } from '../../exchange/identity.ts';
import type { Limit, LimitKeyPart } from '../../snapshot/rate-limit.ts';
import { contextOf, noDecisions } from '../context.fixture.ts';
import { exchangeOf, type RequestSpec } from '../exchange.fixture.ts';
import { type LimitDecisions, Verdict } from '../policy.ts';
import { limitOf, SimulatedTime } from './limiter.fixture.ts';
import { RateLimiter } from './limiter.ts';
import { rateLimit } from './rate-limit.ts';

type Ask = RequestSpec & { readonly identity?: Partial<Identity> };

class Route {
  readonly time = new SimulatedTime(Date.UTC(2026, 0, 31, 23, 0));
  readonly decisions = new Map<string, LimitDecisions>();
  readonly #limiter = new RateLimiter(RateLimiter.allocate({ counterSets: 64, logSets: 64, time: this.time }), 0, this.time);
  readonly #filter;

  constructor(limits: readonly Limit[]) {
    this.#filter = rateLimit.compile(
      limits,
      contextOf({
        rateLimiter: this.#limiter,
        limitDecisions: (_policy, limit) => {
          const decisions = noDecisions();
          this.decisions.set(limit, decisions);
          return decisions;
        },
      }),
    );
  }

  /** The status (200: passed on), the reason, and what the answer says. */
  ask({ identity, ...request }: Ask = {}): { status: number; reason: string | undefined; fields: Record<string, string> } {
    const exchange = exchangeOf(request);
    if (identity !== undefined) exchange.identity = { subject: 'ada', claims: {}, consumer: undefined, groups: [], method: 'jwt', ...identity };
    const verdict = this.#filter.onRequest?.(exchange);
    assert.equal(verdict === Verdict.Answered, exchange.reply !== undefined);
    const status = exchange.reply?.status ?? 200;
    const fields = Fields.of(exchange.reply?.fields ?? []);
    this.#filter.onResponse?.(exchange, status, fields);
    const found: Record<string, string> = {};
    fields.forEach((name, value) => {
      found[name.toLowerCase()] = value;
    });
    return { status, reason: exchange.reply?.reason, fields: found };
  }

  statuses(...requests: readonly Ask[]): number[] {
    return requests.map((request) => this.ask(request).status);
  }
}

function keyed(...key: readonly LimitKeyPart[]): Route {
  return new Route([limitOf({ requests: 1, period: 60_000, key })]);
}

describe('keys', () => {
  it('are claims: each value is one, missing ones are one', () => {
    const route = keyed({ type: 'Claim', name: 'sub' });
    const of = (claims: Record<string, unknown>) => ({ identity: { claims } });
    assert.deepEqual(route.statuses(of({ sub: 'a' }), of({ sub: 'b' }), of({ sub: 'a' }), of({}), {}, of({ sub: null })), [200, 200, 429, 200, 429, 429]);
    assert.deepEqual(route.statuses(of({ sub: 7 }), of({ sub: '7' }), of({ sub: ['x'] }), of({ sub: ['x'] })), [200, 429, 200, 429]);
    assert.deepEqual(keyed({ type: 'Claim', name: 'constructor' }).statuses(of({}), of({ constructor: 'x' })), [200, 200]);
  });

  it('are consumers', () => {
    const of = (consumer: string | undefined) => ({ identity: { consumer } });
    assert.deepEqual(keyed({ type: 'Consumer' }).statuses(of('acme'), of('globex'), of('acme'), of(undefined), {}), [200, 200, 429, 200, 429]);
  });

  it('are expressions; null is a missing value', () => {
    const route = keyed({ type: 'Expression', expression: "request.headers['x-tenant'] + request.path" });
    const of = (tenant: string, path: string) => ({ url: `http://a.test${path}`, headers: { 'x-tenant': tenant } });
    assert.deepEqual(route.statuses(of('a', '/1'), of('a', '/2'), of('b', '/1'), of('a', '/1')), [200, 200, 200, 429]);
    const subjects = keyed({ type: 'Expression', expression: 'identity.subject' });
    assert.deepEqual(subjects.statuses({}, {}, { identity: { subject: 'x' } }, { identity: { subject: 'x' } }), [200, 429, 200, 429]);
  });

  it('take parts together', () => {
    const route = keyed({ type: 'Consumer' }, { type: 'Expression', expression: 'request.method' });
    const of = (consumer: string, method: string) => ({ method, identity: { consumer } });
    assert.deepEqual(route.statuses(of('a', 'GET'), of('a', 'PUT'), of('b', 'GET'), of('a', 'GET')), [200, 200, 200, 429]);
  });
});

describe('when', () => {
  it('a limit is for some requests: others are neither counted nor told of it', () => {
    const route = new Route([limitOf({ name: 'writes', requests: 1, period: 60_000, when: "request.method == 'POST'" })]);
    const read = route.ask();
    assert.deepEqual([read.status, read.fields], [200, {}]);
    assert.equal(route.ask({ method: 'POST' }).fields['x-ratelimit-remaining'], '0');
    assert.equal(route.ask({ method: 'POST' }).status, 429);
    assert.deepEqual(route.ask().fields, {});
    assert.deepEqual(route.decisions.get('writes'), { allowed: 1, refused: 1, shadowRefused: 0, nearlyRefused: 1 });
  });

  it('groups have limits of their own in one policy', () => {
    const group = (name: string, requests: number) =>
      limitOf({ id: name, name, requests, period: 60_000, key: [{ type: 'Consumer' }], when: `'${name}' in identity.groups` });
    const route = new Route([
      group('gold', 3),
      group('silver', 1),
      limitOf({ id: 'rest', name: 'rest', requests: 2, period: 60_000, when: 'size(identity.groups) == 0' }),
    ]);
    const gold = { identity: { consumer: 'acme', groups: ['gold'] } };
    const silver = { identity: { consumer: 'globex', groups: ['silver'] } };
    assert.deepEqual(route.statuses(gold, gold, gold, gold), [200, 200, 200, 429]);
    assert.deepEqual(route.statuses(silver, silver), [200, 429]);
    assert.deepEqual(route.statuses({}, {}, {}), [200, 200, 429]);
    assert.equal(route.ask(silver).fields['ratelimit-policy'], '"silver";q=1;w=60');
    assert.match(route.ask(gold).fields.ratelimit ?? '', /^"gold";r=0;t=\d+$/);
    // Of both: the tightest answers.
    const both = route.ask({ identity: { consumer: 'initech', groups: ['gold', 'silver'] } });
    assert.equal(both.fields['x-ratelimit-limit'], '1');
    assert.equal(both.fields['ratelimit-policy'], '"gold";q=3;w=60, "silver";q=1;w=60');
  });

  it('limits that are not for a request keep no slot from those that are', () => {
    const limits = Array.from({ length: 12 }, (_, index) =>
      limitOf({ id: `${index}`, name: `n${index}`, requests: 1, period: 60_000, ...(index % 2 === 0 ? { when: "request.method == 'POST'" } : {}) }),
    );
    const route = new Route(limits);
    assert.deepEqual(route.statuses({}, {}, { method: 'POST' }), [200, 429, 429]);
    route.time.pass(60_000);
    assert.deepEqual(route.statuses({ method: 'POST' }, { method: 'POST' }, {}), [200, 429, 429]);
  });
});

describe('cost', () => {
  const cost = "request.method == 'POST' ? 5 : int(request.query.n)";
  const get = (n: string) => ({ url: `http://a.test/?n=${n}` });

  for (const algorithm of ['TokenBucket', 'FixedWindow', 'SlidingWindow'] as const) {
    it(`counts as much: ${algorithm}`, () => {
      const route = new Route([limitOf({ algorithm, requests: 10, period: 60_000, cost })]);
      assert.equal(route.ask({ method: 'POST' }).fields['x-ratelimit-remaining'], '5');
      assert.equal(route.ask(get('0')).fields['x-ratelimit-remaining'], '5');
      assert.deepEqual(route.statuses(get('3'), get('3'), get('2'), get('1'), get('0')), [200, 429, 200, 429, 200]);
    });

    it(`refuses what costs more than there ever is: ${algorithm}`, () => {
      const route = new Route([limitOf({ algorithm, requests: 10, period: 60_000, cost })]);
      const refused = route.ask(get('11'));
      assert.deepEqual([refused.status, refused.fields['x-ratelimit-remaining']], [429, '10']);
      assert.match(refused.fields['retry-after'] ?? '', /^[1-9]\d*$/);
      assert.equal(route.ask(get('10')).status, 200);
      route.time.pass(600_000);
      assert.equal(route.ask(get('9007199254740991')).status, 429);
    });
  }

  it('takes as many places in the queue of a leaky bucket', () => {
    const route = new Route([limitOf({ algorithm: 'LeakyBucket', requests: 10, period: 1000, burst: 9, cost })]);
    assert.equal(route.ask(get('4')).fields['x-ratelimit-remaining'], '6');
    assert.equal(route.ask(get('7')).status, 429);
    route.time.pass(100);
    assert.equal(route.ask(get('7')).status, 200);
  });
});

describe('expressions that fail', () => {
  const cases: readonly (readonly [name: string, limit: Partial<Limit>, reason: string])[] = [
    ['when', { when: "request.headers['x-a'] == 'b'" }, 'expression_failed'],
    ['when that is no bool', { when: 'request.path' }, 'expression_failed'],
    ['cost', { cost: 'int(request.query.n)' }, 'expression_failed'],
    ['cost below zero', { cost: '0 - size(request.method)' }, 'expression_failed'],
    ['cost that is no whole number', { cost: 'double(size(request.method)) / 2 > 1.0 ? dyn(1.5) : dyn(1)' }, 'expression_failed'],
    ['key', { key: [{ type: 'Expression', expression: 'identity.claims.sub' }] }, 'expression_failed'],
    [
      'too costly',
      { when: "request.path.split('').all(a, request.path.split('').all(b, request.path.split('').all(c, a == b || a != b)))" },
      'expression_too_costly',
    ],
  ];
  const url = `http://a.test/${'x'.repeat(300)}`;
  for (const [name, limit, reason] of cases) {
    it(`are 503, never a pass: ${name}`, () => {
      const route = new Route([limitOf({ id: 'other', name: 'other' }), limitOf({ name: 'failing', ...limit })]);
      const { status, reason: told, fields } = route.ask({ url });
      assert.deepEqual([status, told, fields], [503, reason, {}]);
      assert.equal(route.decisions.get('other')?.allowed, 0);
    });

    it(`are none in mode Shadow: ${name}`, () => {
      const route = new Route([limitOf({ id: 'other', name: 'other' }), limitOf({ name: 'failing', ...limit, mode: 'Shadow' })]);
      assert.equal(route.ask({ url }).status, 200);
      assert.equal(route.decisions.get('other')?.allowed, 1);
      assert.deepEqual(route.decisions.get('failing'), { allowed: 0, refused: 0, shadowRefused: 0, nearlyRefused: 0 });
    });
  }
});

it('a spike limit and a monthly quota hold together', () => {
  const key: readonly LimitKeyPart[] = [{ type: 'Consumer' }];
  const route = new Route([
    limitOf({ id: 'spike', name: 'spike', requests: 2, period: 1000, burst: 2, key }),
    limitOf({ id: 'month', name: 'month', algorithm: 'FixedWindow', calendar: 'Month', requests: 5, key, cost: "request.method == 'POST' ? 2 : 1" }),
  ]);
  const get = { identity: { consumer: 'acme' } };
  const post = { ...get, method: 'POST' };
  assert.deepEqual(route.statuses(get, get), [200, 200]);
  // Refused by the spike limit: the quota is not used up by it.
  const spike = route.ask(get);
  assert.deepEqual([spike.status, spike.fields['x-ratelimit-limit'], spike.fields['retry-after']], [429, '2', '1']);
  assert.match(spike.fields.ratelimit ?? '', /"month";r=3;/);
  route.time.pass(1000);
  assert.equal(route.ask(post).fields['x-ratelimit-remaining'], '1');
  // Refused by the quota: the spike limit keeps its token.
  assert.deepEqual(route.statuses(post, get, get), [429, 200, 429]);
  route.time.pass(10_000);
  const used = route.ask(get);
  assert.deepEqual([used.status, used.fields['x-ratelimit-limit']], [429, '5']);
  // January ends in less than an hour; February has 28 days.
  assert.ok(Number(used.fields['retry-after']) < 3600);
  assert.match(used.fields['ratelimit-policy'] ?? '', new RegExp(`"month";q=5;w=${31 * 86_400}`));
  route.time.pass(3_600_000);
  const next = route.ask(get);
  assert.equal(next.status, 200);
  assert.match(next.fields['ratelimit-policy'] ?? '', new RegExp(`"month";q=5;w=${28 * 86_400}`));
  assert.equal(route.ask({ identity: { consumer: 'globex' } }).status, 200);
});
