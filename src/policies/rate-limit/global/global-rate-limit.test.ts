/** Global limits beside those of the pod, with a store whose answers the test gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Exchange } from '../../../exchange/exchange.ts';
import { Fields } from '../../../exchange/fields.ts';
import type { Limit } from '../../../snapshot/rate-limit.ts';
import { contextOf } from '../../context.fixture.ts';
import { exchangeOf } from '../../exchange.fixture.ts';
import { type Filter, Verdict } from '../../policy.ts';
import { limitOf, SimulatedTime } from '../limiter.fixture.ts';
import { RateLimiter } from '../limiter.ts';
import { rateLimit } from '../rate-limit.ts';
import { ACTIONS, Action, ALLOWED, TAKEN } from './limit-script.ts';
import type { LimitStore, StoreQuestion } from './limit-store.ts';

const NOW = 1_000_000_000;

class Setup {
  readonly asked: StoreQuestion[] = [];
  isUp = true;
  readonly filter: Filter;

  constructor(limits: readonly Limit[]) {
    const time = new SimulatedTime();
    const store = {
      isCluster: false,
      takes: () => this.isUp,
      ask: (_slot: number, _tag: string, question: StoreQuestion) => {
        this.asked.push(question);
        return true;
      },
      metrics: { countFallback: () => {} },
    };
    const rateLimiter = new RateLimiter(RateLimiter.allocate({ counterSets: 4, logSets: 4, time }), 0, time);
    this.filter = rateLimit.compile(limits, contextOf({ rateLimiter, limitStore: store as unknown as LimitStore }));
  }

  /** A request that now waits for the store. */
  ask(): { readonly exchange: Exchange; readonly resumed: () => number } {
    const exchange = exchangeOf();
    let resumed = 0;
    exchange.resume = () => {
      resumed++;
    };
    assert.equal(this.filter.onRequest?.(exchange), Verdict.Waiting);
    return { exchange, resumed: () => resumed };
  }

  /** The store has counted the request. @param waits microseconds in a queue */
  answer(index: number, waits = 0): void {
    this.asked[index]?.onAnswer([NOW, ALLOWED | TAKEN, 4, 1000, 0, waits], 1);
  }

  /** What the store was asked to do, by the first word of each question. */
  get actions(): (keyof typeof Action)[] {
    const names = Object.keys(Action) as (keyof typeof Action)[];
    return this.asked.map(({ args }) => names.find((name) => Action[name] === Number(args[0]) % ACTIONS) as keyof typeof Action);
  }

  headers(exchange: Exchange, backend: Readonly<Record<string, string>>): string[] {
    const fields = Fields.of(Object.entries(backend));
    this.filter.onResponse?.(exchange, 200, fields);
    const found: string[] = [];
    fields.forEach((name, value) => void found.push(`${name}: ${value}`));
    return found;
  }
}

const here = limitOf({ id: 'here', name: 'here', requests: 1, burst: 1, period: 3_600_000 });
const everywhere = limitOf({ id: 'everywhere', name: 'everywhere', requests: 5, onStoreFailure: 'Allow' });

test('what the store has counted is given back when a limit of the pod has run out meanwhile', () => {
  const setup = new Setup([everywhere, here]);
  const [first, second] = [setup.ask(), setup.ask()];
  assert.deepEqual(setup.actions, ['Count', 'Count'], 'there was room for each of the two');
  setup.answer(0);
  setup.answer(1);
  assert.deepEqual([first.exchange.reply?.status, first.resumed()], [undefined, 1]);
  assert.deepEqual([second.exchange.reply?.status, second.resumed()], [429, 1]);
  assert.deepEqual(setup.actions.slice(2), ['GiveBack']);
  assert.deepEqual(setup.asked[2]?.keys, setup.asked[1]?.keys);
  assert.match(setup.headers(second.exchange, {}).join('\n'), /RateLimit: "everywhere";r=5;t=\d+, "here";r=0/, 'as if it had not been counted');
  assert.equal(setup.filter.onRequest?.(exchangeOf()), Verdict.Waiting);
  assert.equal(setup.actions.at(-1), 'Peek', 'one that the pod refuses anyway is not counted');
});

test('a client that leaves while the store is asked holds no place in a queue', () => {
  const setup = new Setup([limitOf({ ...everywhere, algorithm: 'LeakyBucket', burst: 5 })]);
  const { exchange, resumed } = setup.ask();
  exchange.onAbandoned?.();
  setup.answer(0, 700_000);
  assert.deepEqual(setup.actions, ['Count', 'GiveBack']);
  assert.equal(setup.asked[1]?.args[2], String(NOW + 700_000));
  const next = setup.ask();
  setup.answer(2, 600_000);
  assert.deepEqual(setup.actions.slice(2), ['Count']);
  next.exchange.onAbandoned?.();
  assert.deepEqual(setup.actions.slice(2), ['Count', 'GiveBack'], 'one that leaves the queue');
  const last = setup.ask();
  last.exchange.onAbandoned?.();
  setup.answer(4);
  assert.deepEqual(setup.actions.slice(4), ['Count'], 'one that had not to wait is counted');
  assert.deepEqual([resumed(), next.resumed(), last.resumed()], [0, 0, 0]);
});

test("while the store is down, a backend's own word on limits does not pass as ours", () => {
  const backend = { 'X-RateLimit-Remaining': '99', RateLimit: '"theirs";r=1', 'x-other': '1' };
  const setup = new Setup([everywhere]);
  setup.isUp = false;
  const exchange = exchangeOf();
  assert.equal(setup.filter.onRequest?.(exchange), Verdict.Continue);
  assert.deepEqual(setup.headers(exchange, backend), ['x-other: 1']);
  const shadow = new Setup([{ ...everywhere, mode: 'Shadow' }]);
  shadow.isUp = false;
  assert.equal(shadow.headers(exchangeOf(), backend).length, 3, 'a limit in Shadow says nothing, here as in the pod');
});
