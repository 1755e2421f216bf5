import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { type Fate, PROMPT, Replica, World } from './election.fixture.ts';

const FOR_EVER = 1e9;

async function ledBy(world: World, replica: Replica): Promise<void> {
  replica.elector.start();
  await world.until(() => replica.elector.leading, 1000);
}

test('the first replica takes the Lease, as it should look', async () => {
  const world = new World();
  const one = new Replica(world, 'one');
  await ledBy(world, one);
  const { acquireTime, renewTime, ...rest } = world.lease ?? {};
  assert.deepEqual(rest, { holderIdentity: 'one', leaseDurationSeconds: 15, leaseTransitions: 0 });
  assert.match(`${acquireTime} ${renewTime}`, /^2026-01-01T00:00:00\.\d{6}Z 2026-01-01T00:00:00\.\d{6}Z$/);
  assert.deepEqual(world.log, ['one: info this replica leads']);
  await world.pass(60_000);
  assert.ok(one.elector.leading, 'and keeps it');
  assert.equal(world.lease?.acquireTime, acquireTime);
  assert.notEqual(world.lease?.renewTime, renewTime);
});

test('a leader that retires is followed at once', async () => {
  const world = new World();
  const [one, two] = [new Replica(world, 'one'), new Replica(world, 'two')];
  await ledBy(world, one);
  two.elector.start();
  await world.pass(30_000);
  assert.ok(!two.elector.leading);
  void one.elector.retire();
  assert.ok((await world.until(() => two.elector.leading, 15_000)) < 1500);
  assert.equal(world.lease?.holderIdentity, 'two');
  assert.equal(world.lease?.leaseTransitions, 1);
});

test('a given-up Lease has no holder and lasts a second', async () => {
  const world = new World();
  const one = new Replica(world, 'one');
  await ledBy(world, one);
  const retired = one.elector.retire();
  assert.ok(!one.elector.leading || (await world.pass(5)) === undefined);
  await world.pass(100);
  await retired;
  assert.equal(world.lease?.holderIdentity, '');
  assert.equal(world.lease?.leaseDurationSeconds, 1);
  assert.ok(!one.elector.leading);
});

test('a leader that dies without a word is followed within 15 s, whenever it dies', async () => {
  for (let moment = 0; moment < 2400; moment += 150) {
    const world = new World();
    const [one, two] = [new Replica(world, 'one', { random: () => 0.3 }), new Replica(world, 'two', { random: () => 0.9, skew: -3_600_000 })];
    await ledBy(world, one);
    two.elector.start();
    await world.pass(20_000 + moment);
    one.pause(FOR_EVER);
    const took = await world.until(() => two.elector.leading, 30_000);
    assert.ok(took <= 15_000 && took > 10_000, `${took} ms`);
  }
});

test('a term that ended without anybody looking is told, for what was not written meanwhile must be written', async () => {
  const world = new World();
  const one = new Replica(world, 'one');
  await ledBy(world, one);
  await world.pass(5000);
  one.pause(12_000);
  await world.pass(20_000);
  assert.ok(one.elector.leading);
  assert.deepEqual(world.log, ['one: info this replica leads', 'one: info this replica leads no more', 'one: info this replica leads']);
});

test('a leader that can not renew stops before the Lease can be taken, and what it writes has ended by then', async () => {
  const world = new World();
  const [one, two] = [new Replica(world, 'one'), new Replica(world, 'two')];
  await ledBy(world, one);
  two.elector.start();
  await world.pass(10_000);
  const renewed = Date.parse(String(world.lease?.renewTime)) - Date.parse('2026-01-01T00:00:00Z');
  world.fate = () => ({ ...PROMPT, lost: 'request' });
  await world.until(() => !one.elector.leading, 11_000);
  assert.ok(world.now - renewed <= 10_010);
  assert.equal(one.elector.writeTime, 0);
  world.fate = () => PROMPT;
  await world.until(() => two.elector.leading || one.elector.leading, 20_000);
});

test('a leader that was stopped for long does not write when it goes on', async () => {
  const world = new World();
  const [one, two] = [new Replica(world, 'one'), new Replica(world, 'two')];
  await ledBy(world, one);
  two.elector.start();
  await world.pass(10_000);
  one.pause(40_000);
  await world.pass(40_000);
  assert.ok(two.elector.leading);
  assert.ok(!one.elector.leading, 'at the very first moment');
  await world.pass(10_000);
  assert.ok(two.elector.leading && !one.elector.leading);
});

test("another's Lease is judged by when it was seen to change, not by the times in it", async () => {
  for (const renewTime of ['1999-01-01T00:00:00.000000Z', '2099-01-01T00:00:00.000000Z']) {
    const world = new World();
    world.lease = { holderIdentity: 'other', leaseDurationSeconds: 15, renewTime, acquireTime: renewTime, leaseTransitions: 4 };
    const one = new Replica(world, 'one');
    one.elector.start();
    const took = await world.until(() => one.elector.leading, 20_000);
    assert.ok(took > 12_000, `${took}`);
    assert.equal(world.lease.leaseTransitions, 5);
  }
});

test('trouble is told once for each kind, and its end makes it news again', async () => {
  const world = new World();
  const one = new Replica(world, 'one');
  world.fate = () => ({ ...PROMPT, lost: 'request' });
  one.elector.start();
  await world.pass(60_000);
  assert.deepEqual(world.log, ['one: warn the Lease can not be had TimedOut']);
});

test('whether anybody follows: a living successor is seen soon, a dead one by the end, nobody at the end', async () => {
  const world = new World();
  const [one, two] = [new Replica(world, 'one'), new Replica(world, 'two')];
  await ledBy(world, one);
  const alone = (replica: Replica, time: number): Promise<boolean> => replica.elector.nobodyFollows(replica.now() + time);
  const outcome = async (promise: Promise<boolean>): Promise<[boolean, number]> => {
    const started = world.now;
    let result: boolean | undefined;
    void promise.then((value) => (result = value));
    await world.until(() => result !== undefined, 60_000);
    return [result as boolean, world.now - started];
  };
  const retire = async (replica: Replica): Promise<void> => {
    let done = false;
    void replica.elector.retire().then(() => (done = true));
    await world.until(() => done, 10_000);
  };
  await retire(one);
  const [nobody, after] = await outcome(alone(one, 5000));
  assert.ok(nobody && after >= 5000);
  const asked = outcome(alone(one, 5000));
  two.elector.start();
  const [none, sooner] = await asked;
  assert.ok(!none && sooner < 2000, `${sooner}`);
  two.pause(FOR_EVER);
  assert.equal((await outcome(alone(one, 5000)))[0], false, 'it may be alive');
  assert.equal((await outcome(alone(one, 30_000)))[0], true, 'it is not');
});

const fate = fc.record({
  request: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 50 }) }, { weight: 1, arbitrary: fc.integer({ min: 50, max: 30_000 }) }),
  answer: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 50 }) }, { weight: 1, arbitrary: fc.integer({ min: 50, max: 30_000 }) }),
  lost: fc.oneof(
    { weight: 6, arbitrary: fc.constant('nothing' as const) },
    { weight: 1, arbitrary: fc.constant('request' as const) },
    { weight: 1, arbitrary: fc.constant('answer' as const) },
  ),
});
const replica = fc.record({
  rate: fc.double({ min: 0.97, max: 1.03, noNaN: true }),
  skew: fc.integer({ min: -1e9, max: 1e9 }),
  jitter: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 5 }),
  start: fc.integer({ min: 0, max: 20_000 }),
});
const incident = fc.record({
  at: fc.integer({ min: 0, max: 120_000 }),
  who: fc.nat({ max: 2 }),
  what: fc.oneof(fc.constant('pause' as const), fc.constant('retire' as const)),
  time: fc.integer({ min: 1, max: 40_000 }),
});

test('never two leaders at once, nor a write of the old one under the new one, whatever the network and the clocks do', async () => {
  let terms = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(replica, { minLength: 2, maxLength: 3 }),
      fc.array(fate, { minLength: 1, maxLength: 60 }),
      fc.array(incident, { maxLength: 6 }),
      async (members, fates, incidents) => {
        const world = new World();
        let call = 0;
        world.fate = () => fates[call++ % fates.length] as Fate;
        const replicas = members.map(({ rate, skew, jitter }, index) => {
          let turn = 0;
          return new Replica(world, `replica-${index}`, { rate, skew, random: () => jitter[turn++ % jitter.length] as number });
        });
        /** When the last write that each began as the leader must have ended, in the world's time. */
        const writesEnd = members.map(() => 0);
        let leader = -1;
        world.check = () => {
          const leading = replicas.flatMap(({ elector }, index) => (elector.leading ? [index] : []));
          assert.ok(leading.length <= 1, `${leading.join()} lead at ${world.now}`);
          const now = leading[0];
          if (now === undefined) return;
          if (now !== leader) {
            for (const [index, end] of writesEnd.entries()) assert.ok(index === now || end <= world.now, `${index} may write under ${now} at ${world.now}`);
            leader = now;
            terms++;
          }
          writesEnd[now] = world.now + (replicas[now] as Replica).elector.writeTime / (members[now] as { rate: number }).rate;
        };
        for (const [index, { start }] of members.entries()) world.at(start, () => (replicas[index] as Replica).elector.start());
        for (const { at, who, what, time } of incidents) {
          const one = replicas[who % replicas.length] as Replica;
          world.at(at, () => {
            if (what === 'pause') return one.pause(time);
            // Its writes have ended, as `retire` asks.
            void one.elector.retire().then(() => world.at(world.now + time, () => one.elector.start()));
            world.at(at, () => (writesEnd[who % replicas.length] = 0));
          });
        }
        await world.pass(130_000);
        world.fate = () => PROMPT;
        await world.pass(80_000);
        await world.until(() => replicas.some(({ writing }) => writing), 60_000);
      },
    ),
    { numRuns: 60 },
  );
  assert.ok(terms > 60, 'leaders do change in these worlds');
});
