import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { endpoint, upstream } from '../fixtures.ts';
import { MonitorUnderTest, PASSIVE, slotted, TCP } from './health.fixture.ts';

const ACTIVE = { active: TCP, panicThresholdPercent: 0 };
const PASSIVELY = { passive: PASSIVE, panicThresholdPercent: 0 };
const KEY = 'shop/orders/80';

describe('active checks', () => {
  it('asks first within a second, then at the interval with a tenth of jitter, for as long as the endpoint is there', async () => {
    const test = new MonitorUnderTest();
    test.set(ACTIVE, slotted(1));
    await test.pass(60_000);
    const times = test.asked.map(({ at }) => at);
    assert.ok((times[0] as number) <= 2_000);
    const gaps = times.slice(1).map((at, index) => at - (times[index] as number));
    assert.ok(gaps.length >= 10);
    assert.ok(gaps.every((gap) => gap >= 4_500 && gap <= 5_500));
    assert.ok(Math.max(...gaps) - Math.min(...gaps) > 100, 'there is jitter');
    test.set(ACTIVE, []);
    const before = test.asked.length;
    await test.pass(60_000);
    assert.equal(test.asked.length, before);
    assert.equal(test.timers, 0);
  });

  it('uses a new endpoint at once, and no longer after three bad checks, and again after two good ones', async () => {
    const test = new MonitorUnderTest();
    test.set(ACTIVE, slotted(1));
    assert.ok(test.shared.isUsable(1));
    test.passes = () => false;
    while (test.asked.length < 2) await test.pass(100);
    assert.ok(test.shared.isUsable(1));
    while (test.asked.length < 3) await test.pass(100);
    assert.equal(test.shared.health(1), 'unhealthy');
    test.passes = () => true;
    while (test.asked.length < 4) await test.pass(100);
    assert.ok(!test.shared.isUsable(1));
    while (test.asked.length < 5) await test.pass(100);
    assert.ok(test.shared.isUsable(1));
    assert.ok(test.time - test.shared.inUseSince(1) <= 100, 'slow start begins again');
    assert.deepEqual(test.turned, [KEY, KEY]);
    assert.deepEqual(test.log, ['endpoint is unhealthy 10.0.0.1:8080', 'endpoint is healthy 10.0.0.1:8080']);
    assert.deepEqual(test.monitor.counts, [{ upstream: KEY, passed: 2, failed: 3, ejections: 0 }]);
  });

  it('takes no answer in time for a failure', async () => {
    const test = new MonitorUnderTest();
    test.passes = () => undefined;
    test.set({ ...ACTIVE, active: { ...TCP, unhealthyThreshold: 1 } }, slotted(1));
    await test.pass(2_100);
    assert.equal(test.shared.health(1), 'unhealthy');
  });

  it('keeps state and rhythm when something else of the upstream changes', async () => {
    const test = new MonitorUnderTest();
    test.passes = () => false;
    test.set(ACTIVE, slotted(1));
    await test.pass(15_000);
    assert.equal(test.shared.health(1), 'unhealthy');
    const before = test.asked.length;
    for (let reload = 0; reload < 20; reload++) {
      test.set({ ...ACTIVE, panicThresholdPercent: reload }, slotted(2));
      await test.pass(50);
    }
    assert.equal(test.shared.health(1), 'unhealthy');
    assert.ok(test.asked.filter(({ target }) => target.address === '10.0.0.1').length <= before + 1);
  });

  it('keeps the state when the check itself changes, and asks anew', async () => {
    const test = new MonitorUnderTest();
    test.passes = () => false;
    test.set(ACTIVE, slotted(1));
    await test.pass(15_000);
    const before = test.asked.length;
    test.set({ ...ACTIVE, active: { ...TCP, port: 9000, healthyThreshold: 1 } }, slotted(1));
    assert.equal(test.shared.health(1), 'unhealthy');
    test.passes = ({ port }) => port === 9000;
    await test.pass(1_000);
    assert.ok(test.asked.length > before);
    assert.ok(test.shared.isUsable(1));
  });

  it('lets go of an endpoint when the check does not exist any more', async () => {
    const test = new MonitorUnderTest();
    test.passes = () => false;
    test.set(ACTIVE, slotted(1));
    await test.pass(15_000);
    test.set(PASSIVELY, slotted(1));
    assert.ok(test.shared.isUsable(1));
  });

  it('asks where endpoints serve with the PROXY header that they expect, and elsewhere without', async () => {
    for (const [port, proxyProtocol] of [
      [undefined, 'V2'],
      [9000, undefined],
    ] as const) {
      const test = new MonitorUnderTest();
      const active = { ...TCP, ...(port === undefined ? {} : { port }) };
      test.monitor.update([{ upstream: upstream({ proxyProtocol: 'V2', healthCheck: { ...ACTIVE, active } }), endpoints: slotted(1) }], []);
      await test.pass(1_000);
      assert.deepEqual([test.asked[0]?.target.port, test.asked[0]?.target.proxyProtocol], [port ?? 8080, proxyProtocol]);
    }
  });

  it('an answer that came while the process stood still counts, whatever the clock says', async () => {
    const test = new MonitorUnderTest();
    test.passes = () => undefined;
    test.afterInput = (run) => {
      for (const { answer } of test.asked) answer(true);
      let turn = Promise.resolve();
      for (let count = 0; count < 5; count++) turn = turn.then(() => {});
      void turn.then(run);
    };
    test.set({ ...ACTIVE, active: { ...TCP, unhealthyThreshold: 1 } }, slotted(1));
    await test.pass(3_000);
    assert.ok(test.asked.length > 0);
    assert.ok(test.shared.isUsable(1));
    assert.equal(test.monitor.counts[0]?.failed, 0);
  });

  it('does not ask endpoints that are terminating', async () => {
    const test = new MonitorUnderTest();
    test.set(ACTIVE, [endpoint(1, { state: 'Terminating' }), endpoint(2)]);
    await test.pass(20_000);
    assert.deepEqual([...new Set(test.asked.map(({ target }) => target.address))], ['10.0.0.2']);
  });

  it('an answer that comes after the endpoint has gone says nothing of whoever has its slot', async () => {
    const test = new MonitorUnderTest();
    test.passes = () => undefined;
    test.set({ ...ACTIVE, active: { ...TCP, unhealthyThreshold: 1 } }, slotted(1));
    while (test.asked.length === 0) await test.pass(10);
    test.set({ ...ACTIVE, active: { ...TCP, unhealthyThreshold: 1 } }, [endpoint(7, { slot: 1 })]);
    for (const { answer } of test.asked) answer(false);
    await test.pass(0);
    assert.ok(test.shared.isUsable(1));
  });

  it('a slot that is given to another endpoint begins anew', async () => {
    const test = new MonitorUnderTest();
    test.passes = () => false;
    test.set(ACTIVE, slotted(1));
    await test.pass(15_000);
    test.set(ACTIVE, [endpoint(7, { slot: 1 })]);
    assert.ok(test.shared.isUsable(1));
  });

  it('fifteen hundred dead endpoints: at most 256 checks at once, no herd, and everybody’s turn comes', async () => {
    const test = new MonitorUnderTest(6_000);
    test.passes = () => undefined;
    const endpoints = slotted(1_500);
    test.set({ ...ACTIVE, active: { ...TCP, interval: 60_000, unhealthyThreshold: 1 } }, endpoints);
    for (let step = 0; step < 10; step++) await test.pass(1_000);
    assert.equal(test.mostAtOnce, 256);
    assert.ok(endpoints.every(({ slot }) => !test.shared.isUsable(slot)));
  });

  it('two thousand that answer are asked evenly over the first second', async () => {
    const test = new MonitorUnderTest(6_000);
    test.set(ACTIVE, slotted(2_000));
    await test.pass(1_000);
    const tenths = Array.from({ length: 10 }, (_, tenth) => test.asked.filter(({ at }) => Math.floor((at - 1_000) / 100) === tenth).length);
    assert.equal(test.asked.length, 2_000);
    for (const count of tenths) assert.ok(count > 120 && count < 280, tenths.join());
  });
});

describe('ejection', () => {
  const fail = (test: MonitorUnderTest, slot: number): void => {
    while (test.shared.countError(slot) < PASSIVE.consecutiveErrors);
    test.monitor.failing(KEY, `10.0.0.${slot}:8080`);
  };

  it('ejects, for longer each time, and forgives what is long ago', async () => {
    const test = new MonitorUnderTest();
    test.set(PASSIVELY, slotted(2));
    for (const seconds of [30, 60, 90]) {
      fail(test, 1);
      assert.equal(test.shared.health(1), 'ejected');
      await test.pass(seconds * 1_000 - 1);
      assert.equal(test.shared.health(1), 'ejected');
      await test.pass(1);
      assert.equal(test.shared.health(1), 'healthy', `after ${seconds} s`);
      assert.equal(test.shared.errors(1), 0);
    }
    await test.pass(61_000);
    fail(test, 1);
    await test.pass(59_999);
    assert.equal(test.shared.health(1), 'ejected', 'of three, two are forgiven');
    await test.pass(1);
    assert.equal(test.shared.health(1), 'healthy');
    assert.equal(test.monitor.counts[0]?.ejections, 4);
  });

  it('never lasts longer than five minutes', async () => {
    const test = new MonitorUnderTest();
    test.set(PASSIVELY, slotted(2));
    for (let times = 0; times < 14; times++) {
      fail(test, 1);
      await test.pass(300_000);
      assert.equal(test.shared.health(1), 'healthy');
    }
  });

  it('takes half of five, rounded down, and one more when another is back', async () => {
    const test = new MonitorUnderTest();
    test.set(PASSIVELY, slotted(5));
    for (let slot = 1; slot <= 5; slot++) fail(test, slot);
    assert.deepEqual(
      [1, 2, 3, 4, 5].map((slot) => test.shared.health(slot)),
      ['ejected', 'ejected', 'healthy', 'healthy', 'healthy'],
    );
    await test.pass(30_000);
    fail(test, 3);
    assert.equal(test.shared.health(3), 'ejected');
  });

  it('takes one of two, whatever the percentage, and never a lone one', () => {
    for (const [count, expected] of [
      [1, 0],
      [2, 1],
      [3, 1],
    ] as const) {
      const test = new MonitorUnderTest();
      test.set({ ...PASSIVELY, passive: { ...PASSIVE, maxEjectionPercent: 1 } }, slotted(count));
      for (let slot = 1; slot <= count; slot++) fail(test, slot);
      assert.equal([1, 2, 3].filter((slot) => test.shared.isEjected(slot)).length, expected);
    }
  });

  it('never takes the last one that checks have left', async () => {
    const test = new MonitorUnderTest();
    test.passes = ({ address }) => address === '10.0.0.1';
    test.set({ ...ACTIVE, ...PASSIVELY }, slotted(3));
    await test.pass(20_000);
    fail(test, 1);
    assert.ok(test.shared.isUsable(1));
  });

  it('counts terminating endpoints neither as some to eject nor as some that are left', () => {
    const test = new MonitorUnderTest();
    test.set(PASSIVELY, [endpoint(1), endpoint(2, { state: 'Terminating' }), endpoint(3, { state: 'Terminating' })]);
    fail(test, 1);
    fail(test, 2);
    assert.ok([1, 2, 3].every((slot) => test.shared.isUsable(slot)));
  });

  it('passes over what it is told too late: of endpoints that are gone, or have done well since', () => {
    const test = new MonitorUnderTest();
    test.set(PASSIVELY, slotted(3));
    test.monitor.failing(KEY, '10.9.9.9:80');
    test.monitor.failing('a/b/1', '10.0.0.1:8080');
    test.monitor.failing(KEY, '10.0.0.1:8080');
    assert.ok([1, 2, 3].every((slot) => test.shared.isUsable(slot)));
  });

  it('ends with the passive check', () => {
    const test = new MonitorUnderTest();
    test.set(PASSIVELY, slotted(2));
    fail(test, 1);
    test.set(ACTIVE, slotted(2));
    assert.ok(test.shared.isUsable(1));
  });

  it('begins anew when the policy comes back, and tells workers, who may have looked before', async () => {
    const test = new MonitorUnderTest();
    test.passes = ({ address }) => address !== '10.0.0.2';
    test.set({ ...ACTIVE, ...PASSIVELY }, slotted(3));
    await test.pass(20_000);
    fail(test, 1);
    test.monitor.update([], [KEY]);
    test.turned.length = 0;
    test.set({ ...ACTIVE, ...PASSIVELY }, slotted(3));
    assert.ok([1, 2, 3].every((slot) => test.shared.isUsable(slot)));
    assert.deepEqual(new Set(test.turned), new Set([KEY]));
    test.monitor.update([], [KEY]);
    test.turned.length = 0;
    test.set({ ...ACTIVE, ...PASSIVELY }, slotted(3));
    assert.deepEqual(test.turned, []);
  });

  it('goes on under another monitor, which also ends it in time', async () => {
    const test = new MonitorUnderTest();
    test.passes = ({ address }) => address !== '10.0.0.3';
    test.set({ ...ACTIVE, ...PASSIVELY }, slotted(4));
    await test.pass(20_000);
    fail(test, 1);
    await test.pass(10_000);
    test.replace();
    test.set({ ...ACTIVE, ...PASSIVELY }, slotted(4), true);
    assert.deepEqual(
      [1, 2, 3].map((slot) => test.shared.health(slot)),
      ['ejected', 'healthy', 'unhealthy'],
    );
    await test.pass(19_999);
    assert.equal(test.shared.health(1), 'ejected');
    await test.pass(1);
    assert.equal(test.shared.health(1), 'healthy');
    assert.equal(test.shared.health(3), 'unhealthy');
  });
});
