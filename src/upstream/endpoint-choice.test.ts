import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import type { HealthCheck } from '../snapshot/upstream.ts';
import { type Candidate, chooseEndpoints } from './endpoint-choice.ts';

interface Named extends Candidate {
  readonly name: string;
}

const one = (name: string, change: Partial<Candidate> = {}): Named => ({
  name,
  state: 'Ready',
  isUsable: true,
  zone: undefined,
  forZones: undefined,
  ...change,
});
const PANIC = (panicThresholdPercent: number): HealthCheck => ({ panicThresholdPercent });
const settings = (change: { zoneAware?: true; healthCheck?: HealthCheck } = {}) => ({
  loadBalancer: { type: 'RoundRobin' as const, ...(change.zoneAware === undefined ? {} : { zoneAware: change.zoneAware }) },
  ...(change.healthCheck === undefined ? {} : { healthCheck: change.healthCheck }),
});
const names = (all: readonly Named[], how: Parameters<typeof settings>[0] = {}, zone = ''): string =>
  chooseEndpoints(all, settings(how), zone)
    .inUse.map(({ name }) => name)
    .join('');
const bad = (name: string): Named => one(name, { isUsable: false });
const going = (name: string): Named => one(name, { state: 'Terminating' });
/** So many endpoints of each zone, named after it. */
const zones = (counts: Readonly<Record<string, number>>): Named[] =>
  Object.entries(counts).flatMap(([zone, count]) => Array.from({ length: count }, () => one(zone, { zone })));

describe('endpoints in use', () => {
  it('are those that are ready and healthy; without one, those that are terminating', () => {
    assert.equal(names([one('a'), bad('b'), going('c')]), 'a');
    assert.equal(names([bad('b'), going('c'), one('d', { state: 'Terminating', isUsable: false })]), 'c');
    assert.equal(names([bad('a'), bad('b')]), '');
    assert.equal(names([]), '');
  });

  it('are all ready ones below the panic threshold', () => {
    assert.equal(names([one('a'), bad('b')], { healthCheck: PANIC(50) }), 'a');
    assert.equal(names([one('a'), bad('b')], { healthCheck: PANIC(51) }), 'ab');
    assert.equal(names([bad('a'), bad('b'), going('c')], { healthCheck: PANIC(1) }), 'ab');
    assert.equal(names([bad('a'), bad('b')], { healthCheck: PANIC(0) }), '');
    assert.equal(names([going('c')], { healthCheck: PANIC(100) }), 'c');
  });
});

describe('zones', () => {
  const hinted = (name: string, ...forZones: string[]): Named => one(name, { forZones });

  it('hints are followed, zone-aware or not, where each endpoint has some', () => {
    const all = [hinted('a', 'x'), hinted('b', 'x', 'y'), hinted('c', 'y')];
    assert.equal(names(all, {}, 'x'), 'ab');
    assert.equal(names(all, { zoneAware: true }, 'y'), 'bc');
    assert.equal(names(all, {}, ''), 'abc', 'the own zone is unknown');
    assert.equal(names(all, {}, 'z'), 'abc', 'nobody is for us');
    assert.equal(names([...all, one('d')], {}, 'x'), 'abcd', 'somebody has none');
  });

  it('a hinted endpoint that is not healthy is not used', () => {
    const all = [one('a', { forZones: ['x'], isUsable: false }), hinted('b', 'x'), hinted('c', 'y')];
    assert.equal(names(all, {}, 'x'), 'b');
    assert.equal(names([all[0] as Named, all[2] as Named], {}, 'x'), 'c');
  });

  it('a zone keeps its traffic from half of the mean on', () => {
    const aware = { zoneAware: true } as const;
    assert.equal(names(zones({ x: 1, y: 3 }), aware, 'x'), 'x');
    assert.equal(names(zones({ x: 1, y: 4 }), aware, 'x'), 'xyyyy');
    assert.equal(names(zones({ x: 1, y: 2, z: 3 }), aware, 'x'), 'x');
    assert.equal(names(zones({ x: 1, y: 3, z: 3 }), aware, 'x'), 'xyyyzzz');
    assert.equal(names(zones({ x: 1, y: 3 }), {}, 'x'), 'xyyy', 'only where it is asked for');
    assert.equal(names(zones({ y: 3 }), aware, 'x'), 'yyy');
    assert.equal(names([...zones({ x: 1 }), one('?')], aware, 'x'), 'x');
  });

  it('below the panic threshold zones count no more', () => {
    const all = [one('x', { zone: 'x' }), one('y', { zone: 'y', isUsable: false }), one('z', { zone: 'z', isUsable: false })];
    assert.equal(names(all, { zoneAware: true, healthCheck: PANIC(50) }, 'x'), 'xyz');
  });

  const candidate = fc.record({
    name: fc.constant(''),
    state: fc.constantFrom('Ready' as const, 'Terminating' as const),
    isUsable: fc.boolean(),
    zone: fc.constantFrom(undefined, 'x', 'y', 'z'),
    forZones: fc.constantFrom(undefined, [], ['x'], ['y', 'z']),
  });

  it('whatever there is: somebody is in use where anybody could be, and who could be is either in use or elsewhere', () => {
    fc.assert(
      fc.property(fc.array(candidate, { maxLength: 12 }), fc.boolean(), fc.nat(100), fc.constantFrom('', 'x', 'w'), (all, zoneAware, panic, zone) => {
        const { inUse, elsewhere } = chooseEndpoints(all, settings({ ...(zoneAware ? { zoneAware } : {}), healthCheck: PANIC(panic) }), zone);
        const usable = all.filter(({ isUsable }) => isUsable);
        if (usable.length > 0) assert.ok(inUse.length > 0);
        assert.equal(new Set([...inUse, ...elsewhere]).size, inUse.length + elsewhere.length);
        for (const entry of usable.filter(({ state }) => state === 'Ready')) assert.ok(inUse.includes(entry) || elsewhere.includes(entry));
        if (inUse.some(({ isUsable }) => !isUsable)) assert.ok(usable.filter(({ state }) => state === 'Ready').length * 100 < panic * all.length);
      }),
    );
  });
});
