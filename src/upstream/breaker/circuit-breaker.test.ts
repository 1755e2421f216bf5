/** The failure-rate breaker and the request limit, over several workers in one thread, with a clock that stands. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { CIRCUIT_BREAKER } from '../../snapshot/defaults.ts';
import type { CircuitBreaker as Settings } from '../../snapshot/upstream.ts';
import { BreakerMemory, Permit } from './breaker-memory.ts';
import { CircuitBreaker, Refusal } from './circuit-breaker.ts';

const WORKERS = 2;
const SLOT = 1;
/** Threads' clocks begin at different times. */
const OFFSETS = [5_000_000, 7_654_321];

interface Setup {
  readonly memory: BreakerMemory;
  readonly buffer: SharedArrayBuffer;
  readonly breakers: readonly CircuitBreaker[];
  /** The clock that all share; `at(worker)` is what that one's own reads. */
  time: number;
  at(worker: number): number;
}

function setUp(change: Partial<Settings> = {}): Setup {
  const buffer = BreakerMemory.allocate(WORKERS, 4);
  const settings = { ...CIRCUIT_BREAKER, ...change };
  const breakers = OFFSETS.map((offset, worker) => new CircuitBreaker(settings, new BreakerMemory(buffer, WORKERS, worker), SLOT, offset));
  return {
    memory: new BreakerMemory(buffer, WORKERS, 0),
    buffer,
    breakers,
    time: 10_000_000,
    at(worker) {
      return this.time - (OFFSETS[worker] as number);
    },
  };
}

/** One try from its beginning to its end. @returns whether it was let through */
function once(setup: Setup, worker: number, failed: boolean): boolean {
  const breaker = setup.breakers[worker] as CircuitBreaker;
  const ticket = breaker.admit(setup.at(worker));
  if (ticket < 0) return false;
  breaker.settle(ticket, failed, setup.at(worker));
  breaker.release(ticket, true);
  return true;
}

/** Makes it open. */
function trip(setup: Setup): void {
  for (let number = 0; number < 100 && state(setup) === 'closed'; number++) once(setup, number % WORKERS, true);
  assert.equal(state(setup), 'open');
}

/** What every worker says of it. */
function state(setup: Setup): string {
  const states = setup.breakers.map((breaker, worker) => breaker.state(setup.at(worker)));
  assert.equal(new Set(states).size, 1, String(states));
  return String(states[0]);
}

const admit = (setup: Setup, worker: number): number => setup.breakers[worker]?.admit(setup.at(worker)) ?? Number.NaN;

describe('circuit breaker', () => {
  it('opens at the share of failures, counted over all workers, not below it and not with fewer requests', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 30 }),
        fc.array(fc.record({ worker: fc.nat(WORKERS - 1), failed: fc.boolean() }), { maxLength: 60 }),
        (failurePercent, minRequests, tries) => {
          const setup = setUp({ failurePercent, minRequests });
          let all = 0;
          let failures = 0;
          for (const { worker, failed } of tries) {
            assert.ok(once(setup, worker, failed));
            all++;
            if (failed) failures++;
            const mustOpen = failed && all >= minRequests && failures * 100 >= failurePercent * all;
            assert.equal(state(setup), mustOpen ? 'open' : 'closed', `${failures} of ${all}`);
            if (mustOpen) return;
          }
        },
      ),
    );
  });

  it('forgets what is older than the window', () => {
    const setup = setUp({ minRequests: 10, window: 10_000 });
    for (let number = 0; number < 9; number++) once(setup, number % WORKERS, true);
    setup.time += 10_000;
    for (let number = 0; number < 9; number++) once(setup, number % WORKERS, true);
    assert.equal(state(setup), 'closed');
    setup.time += 8_000;
    once(setup, 0, true);
    assert.equal(state(setup), 'open');
  });

  it('open, lets nothing through in any worker until its time is over, and says how long that is', () => {
    const setup = setUp({ openFor: 30_000 });
    trip(setup);
    for (const worker of [0, 1]) assert.equal(admit(setup, worker), Refusal.Open);
    setup.time += 29_000;
    assert.equal(setup.breakers[1]?.opensIn(setup.at(1)), 1_000);
    for (const worker of [0, 1]) assert.equal(admit(setup, worker), Refusal.Open);
    setup.time += 1_000;
    assert.equal(state(setup), 'half_open');
    assert.ok(admit(setup, 0) >= 0);
  });

  it('half open, lets exactly so many through, over all workers, and closes when all went well', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.array(fc.nat(WORKERS - 1), { minLength: 20, maxLength: 40 }), (halfOpenRequests, workers) => {
        const setup = setUp({ halfOpenRequests });
        trip(setup);
        setup.time += CIRCUIT_BREAKER.openFor;
        const admitted = workers.map((worker) => ({ worker, ticket: admit(setup, worker) })).filter(({ ticket }) => ticket >= 0);
        assert.equal(admitted.length, halfOpenRequests);
        for (const [index, { worker, ticket }] of admitted.entries()) {
          assert.equal(state(setup), 'half_open', `${index} of ${halfOpenRequests}`);
          setup.breakers[worker]?.settle(ticket, false, setup.at(worker));
          setup.breakers[worker]?.release(ticket, true);
        }
        assert.equal(state(setup), 'closed');
        assert.ok(once(setup, 0, true), 'and what failed before it opened is forgotten');
        assert.equal(state(setup), 'closed');
      }),
    );
  });

  it('half open, is open again with the first failure, and what the other trials come to does not matter', () => {
    const setup = setUp();
    trip(setup);
    setup.time += CIRCUIT_BREAKER.openFor;
    const tickets = [0, 1, 0].map((worker) => ({ worker, ticket: admit(setup, worker) }));
    const [first, ...rest] = tickets;
    setup.breakers[first?.worker ?? 0]?.settle(first?.ticket ?? 0, true, setup.at(0));
    assert.equal(state(setup), 'open');
    for (const { worker, ticket } of rest) setup.breakers[worker]?.settle(ticket, false, setup.at(worker));
    assert.equal(state(setup), 'open');
    setup.time += CIRCUIT_BREAKER.openFor - 1;
    assert.equal(admit(setup, 0), Refusal.Open);
    setup.time += 1;
    assert.ok(admit(setup, 0) >= 0);
  });

  it('a trial of which nothing became known makes room for another', () => {
    const setup = setUp({ halfOpenRequests: 1 });
    trip(setup);
    setup.time += CIRCUIT_BREAKER.openFor;
    const ticket = admit(setup, 0);
    assert.equal(admit(setup, 1), Refusal.Open);
    setup.breakers[0]?.release(ticket, false);
    assert.ok(admit(setup, 1) >= 0);
  });

  it('half open, is never stuck, whatever its settings become meanwhile', () => {
    // Fewer trials than have gone well already: nobody is left who would close it.
    const fewer = setUp({ halfOpenRequests: 5 });
    trip(fewer);
    fewer.time += CIRCUIT_BREAKER.openFor;
    for (let number = 0; number < 3; number++) assert.ok(once(fewer, 0, false));
    for (const breaker of fewer.breakers) breaker.settings = { ...breaker.settings, halfOpenRequests: 2 };
    assert.ok(once(fewer, 1, false));
    assert.equal(state(fewer), 'closed');
    // No breaker while a trial ends, and one again after that.
    const without = setUp({ halfOpenRequests: 1 });
    trip(without);
    without.time += CIRCUIT_BREAKER.openFor;
    const ticket = admit(without, 0);
    for (const breaker of without.breakers) breaker.settings = { ...breaker.settings, failurePercent: 0 };
    without.breakers[0]?.settle(ticket, false, without.at(0));
    without.breakers[0]?.release(ticket, true);
    for (const breaker of without.breakers) breaker.settings = { ...breaker.settings, failurePercent: 50 };
    assert.ok(once(without, 1, false));
    assert.equal(state(without), 'closed');
  });

  it('what began before it opened neither counts afterwards nor makes it close', () => {
    const setup = setUp({ minRequests: 1, halfOpenRequests: 2 });
    const early = admit(setup, 0);
    trip(setup);
    setup.breakers[0]?.settle(early, false, setup.at(0));
    assert.equal(state(setup), 'open');
    setup.time += CIRCUIT_BREAKER.openFor;
    for (const worker of [0, 1]) once(setup, worker, false);
    assert.equal(state(setup), 'closed');
    setup.breakers[0]?.turnBad(early, setup.at(0), setup.at(0));
    assert.equal(state(setup), 'closed');
  });

  it('an answer that is cut after its head counts as failed', () => {
    const setup = setUp({ minRequests: 2, failurePercent: 50 });
    const tickets = [0, 1].map((worker) => ({ worker, ticket: admit(setup, worker) }));
    for (const { worker, ticket } of tickets) setup.breakers[worker]?.settle(ticket, false, setup.at(worker));
    assert.equal(state(setup), 'closed');
    setup.breakers[0]?.turnBad(tickets[0]?.ticket ?? 0, setup.at(0), setup.at(0));
    assert.equal(state(setup), 'open');
  });

  it('a trial whose answer is cut after its head has failed, also where the trials have closed it meanwhile', () => {
    for (const trials of [1, 2]) {
      const setup = setUp({ halfOpenRequests: trials, minRequests: 20, window: 10_000 });
      trip(setup);
      setup.time += CIRCUIT_BREAKER.openFor;
      const ticket = admit(setup, 0);
      setup.breakers[0]?.settle(ticket, false, setup.at(0));
      assert.equal(state(setup), trials === 1 ? 'closed' : 'half_open');
      setup.time += 9_000;
      setup.breakers[0]?.turnBad(ticket, setup.at(0) - 9_000, setup.at(0));
      setup.breakers[0]?.release(ticket, true);
      assert.equal(state(setup), 'open');
      assert.equal(admit(setup, 1), Refusal.Open);
      // And its time begins anew.
      setup.time += CIRCUIT_BREAKER.openFor - 1;
      assert.equal(admit(setup, 1), Refusal.Open);
      setup.time += 1;
      for (let number = 0; number < trials; number++) assert.ok(once(setup, 1, false));
      assert.equal(state(setup), 'closed');
      // A second word of the first trial concerns another time.
      setup.breakers[0]?.turnBad(ticket, setup.at(0), setup.at(0));
      assert.equal(state(setup), 'closed');
    }
  });

  it('a trial whose answer is cut long after its head is one failure among others', () => {
    const setup = setUp({ halfOpenRequests: 1, minRequests: 2, failurePercent: 50, window: 10_000 });
    trip(setup);
    setup.time += CIRCUIT_BREAKER.openFor;
    const ticket = admit(setup, 0);
    setup.breakers[0]?.settle(ticket, false, setup.at(0));
    setup.time += 60_000;
    for (let number = 0; number < 2; number++) once(setup, 1, false);
    const cut = () => setup.breakers[0]?.turnBad(ticket, setup.at(0) - 60_000, setup.at(0));
    setup.breakers[0]?.release(ticket, true);
    cut();
    assert.equal(state(setup), 'open', 'one of two, where half is enough');
  });

  it('with failurePercent 0 never opens', () => {
    const setup = setUp({ failurePercent: 0 });
    for (let number = 0; number < 100; number++) assert.ok(once(setup, number % WORKERS, true));
    assert.equal(state(setup), 'closed');
  });

  it('lets exactly maxRequests in, whichever workers they come to, and again as many as were given back', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.record({ worker: fc.nat(WORKERS - 1), ends: fc.boolean() }), { maxLength: 100 }),
        (most, steps) => {
          const setup = setUp({ maxRequests: most });
          const held: { worker: number; ticket: number }[] = [];
          for (const { worker, ends } of steps) {
            const ended = ends ? held.pop() : undefined;
            if (ended !== undefined) setup.breakers[ended.worker]?.release(ended.ticket, false);
            const ticket = admit(setup, worker);
            assert.equal(ticket >= 0, held.length < most);
            if (ticket >= 0) held.push({ worker, ticket });
            else assert.equal(ticket, Refusal.MaxRequests);
            assert.equal(setup.memory.held(SLOT, Permit.Request), held.length);
          }
        },
      ),
    );
  });

  it('a trial that finds no room among the requests is none', () => {
    const setup = setUp({ maxRequests: 1, halfOpenRequests: 2, minRequests: 1 });
    once(setup, 0, true);
    setup.time += CIRCUIT_BREAKER.openFor;
    const first = admit(setup, 0);
    for (let number = 0; number < 5; number++) assert.equal(admit(setup, 1), Refusal.MaxRequests);
    setup.breakers[0]?.settle(first, false, setup.at(0));
    setup.breakers[0]?.release(first, true);
    assert.ok(once(setup, 1, false));
    assert.equal(state(setup), 'closed');
  });

  it('a worker that dies gives back what it held, and its trials open the breaker again', () => {
    const setup = setUp({ maxRequests: 3, halfOpenRequests: 2 });
    const { memory } = setup;
    assert.ok(admit(setup, 0) >= 0);
    for (let number = 0; number < 2; number++) assert.ok(admit(setup, 1) >= 0);
    assert.equal(admit(setup, 0), Refusal.MaxRequests);
    memory.releaseWorker(1, 4, setup.time);
    assert.equal(memory.held(SLOT, Permit.Request), 1);
    memory.releaseWorker(0, 4, setup.time);
    assert.equal(memory.held(SLOT, Permit.Request), 0);
    trip(setup);
    setup.time += CIRCUIT_BREAKER.openFor;
    assert.ok(admit(setup, 1) >= 0);
    memory.releaseWorker(1, 4, setup.time);
    assert.equal(state(setup), 'open');
    setup.time += CIRCUIT_BREAKER.openFor;
    for (let number = 0; number < 2; number++) assert.ok(once(setup, 0, false));
    assert.equal(state(setup), 'closed');
  });

  it('a slot that goes to another upstream begins closed, and what the old one still holds comes back', () => {
    const setup = setUp();
    const ticket = admit(setup, 0);
    trip(setup);
    setup.memory.reset(SLOT);
    assert.equal(state(setup), 'closed');
    setup.breakers[0]?.release(ticket, false);
    assert.equal(setup.memory.held(SLOT, Permit.Request), 0);
  });
});
