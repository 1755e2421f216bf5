import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import type { Backend } from '../snapshot/route.ts';
import { BackendPicker, type PickedBackend } from './backend-picker.ts';
import type { Balanced } from './balancers/balancer.ts';
import type { EndpointState } from './endpoint-state.ts';
import { endpoint, fakeContext, seeded, upstream } from './fixtures.ts';
import { Upstreams } from './upstreams.ts';

/** Upstreams by name; those in `empty` have no endpoint. */
function upstreamsOf(names: readonly string[], empty: readonly string[] = []): Upstreams {
  const upstreams = new Upstreams(fakeContext());
  upstreams.put({
    upstreams: new Map(names.map((key) => [key, upstream({ key })])),
    endpoints: new Map(names.map((key, index) => [key, empty.includes(key) ? [] : [endpoint(index)]])),
  });
  return upstreams;
}

const to = (name: string, weight = 1, backup = false): Backend => ({ upstream: name, weight, backup });
const unresolved = (weight = 1, backup = false): Backend => ({ unresolvedStatus: 500, weight, backup });

/** How often each backend is picked, by index; the last entry counts picks of none. */
function tally(picker: BackendPicker, picks: number): number[] {
  const counts = new Array<number>(picker.backends.length + 1).fill(0);
  for (let number = 0; number < picks; number++) {
    const place = picker.pick()?.index ?? picker.backends.length;
    counts[place] = (counts[place] as number) + 1;
  }
  return counts;
}

const pickerOf = (backends: readonly Backend[], upstreams: Upstreams, seed = 1) => new BackendPicker(backends, upstreams, seeded(seed));

describe('backend picker', () => {
  it('gives the backend with its upstream and place', () => {
    const upstreams = upstreamsOf(['a']);
    const spec = to('a');
    const picked = pickerOf([to('gone', 0), spec], upstreams).pick();
    assert.deepEqual([picked?.index, picked?.spec, picked?.upstream], [1, spec, upstreams.get('a')]);
  });

  it('keeps to the weights within one in every run of 100, whatever they are and wherever the run begins', () => {
    const weights = fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 2, maxLength: 6 }).filter((list) => list.some((weight) => weight > 0));
    fc.assert(
      fc.property(weights, fc.nat(), fc.nat({ max: 200 }), (list, seed, offset) => {
        const names = list.map((_, index) => `u${index}`);
        const picker = pickerOf(
          names.map((name, index) => to(name, list[index])),
          upstreamsOf(names),
          seed,
        );
        tally(picker, offset);
        const total = list.reduce((sum, weight) => sum + weight, 0);
        tally(picker, 100).forEach((count, index) => {
          assert.ok(Math.abs(count - (100 * (list[index] ?? 0)) / total) <= 1, `${count} for ${list[index]} of ${total}`);
        });
      }),
      { numRuns: 200 },
    );
  });

  it('gives nothing to weight 0', () => {
    assert.deepEqual(tally(pickerOf([to('a', 0), to('b', 3)], upstreamsOf(['a', 'b'])), 100), [0, 100, 0]);
    assert.deepEqual(tally(pickerOf([to('a', 0)], upstreamsOf(['a'])), 10), [0, 10]);
  });

  it('has none without backends', () => {
    assert.equal(pickerOf([], upstreamsOf([])).pick(), undefined);
  });

  it('gives the share of a backend without endpoints to the others, in their proportion', () => {
    assert.deepEqual(tally(pickerOf([to('a', 50), to('b', 30), to('c', 10)], upstreamsOf(['a', 'b', 'c'], ['a'])), 100), [0, 75, 25, 0]);
  });

  it('has none when no backend has endpoints, or is known', () => {
    assert.deepEqual(tally(pickerOf([to('a'), to('b'), to('stranger')], upstreamsOf(['a', 'b'], ['a', 'b'])), 10), [0, 0, 0, 10]);
  });

  it('follows endpoints as they come and go', () => {
    const upstreams = upstreamsOf(['a', 'b'], ['b']);
    const picker = pickerOf([to('a'), to('b')], upstreams);
    assert.deepEqual(tally(picker, 100), [100, 0, 0]);
    upstreams.applyEndpoints(new Map([['b', [endpoint(7)]]]));
    assert.deepEqual(tally(picker, 100), [50, 50, 0]);
    upstreams.applyEndpoints(new Map([['a', [endpoint(0, { state: 'Terminating' })]]]));
    assert.deepEqual(tally(picker, 100), [50, 50, 0]);
    upstreams.applyEndpoints(new Map([['a', []]]));
    assert.deepEqual(tally(picker, 100), [0, 100, 0]);
    upstreams.applyEndpoints(new Map([['b', []]]));
    assert.deepEqual(tally(picker, 100), [0, 0, 100]);
  });

  it('keeps its place in the sequence while endpoints of other routes come and go', () => {
    const upstreams = upstreamsOf(['a', 'b', 'other']);
    const backends = [to('a', 37), to('b', 11)];
    const picker = pickerOf(backends, upstreams);
    const undisturbed = pickerOf(backends, upstreamsOf(['a', 'b']));
    for (let number = 0; number < 500; number++) {
      upstreams.applyEndpoints(new Map([['other', number % 2 === 0 ? [] : [endpoint(3)]]]));
      assert.equal(picker.pick()?.index, undisturbed.pick()?.index);
    }
  });

  describe('backends that can not be resolved', () => {
    it('take their share', () => {
      const picker = pickerOf([unresolved(1), to('a', 3)], upstreamsOf(['a']));
      assert.deepEqual(tally(picker, 100), [25, 75, 0]);
      assert.equal(picker.backends[0]?.upstream, undefined);
    });

    it('take no more than that when another has no endpoints', () => {
      assert.deepEqual(tally(pickerOf([unresolved(20), to('a', 50), to('b', 20), to('c', 10)], upstreamsOf(['a', 'b', 'c'], ['a'])), 300), [60, 0, 160, 80, 0]);
    });

    it('take no more than that when no other has endpoints, and none is picked for the rest', () => {
      assert.deepEqual(tally(pickerOf([unresolved(1), to('a', 3)], upstreamsOf(['a'], ['a'])), 100), [25, 0, 75]);
    });

    it('take everything when they are alone', () => {
      assert.deepEqual(tally(pickerOf([unresolved(1), unresolved(1), to('a', 0)], upstreamsOf(['a'])), 100), [50, 50, 0, 0]);
    });
  });

  describe('backups', () => {
    it('get nothing while another has an endpoint', () => {
      assert.deepEqual(tally(pickerOf([to('a', 1), to('b', 1), to('dr', 100, true)], upstreamsOf(['a', 'b', 'dr'], ['a'])), 100), [0, 100, 0, 0]);
    });

    it('take everything, by their weights, while no other has one', () => {
      const upstreams = upstreamsOf(['a', 'dr1', 'dr2'], ['a']);
      const picker = pickerOf([to('a', 9), to('dr1', 3, true), to('dr2', 1, true), unresolved(5)], upstreams);
      assert.deepEqual(tally(picker, 100), [0, 75, 25, 0, 0]);
      upstreams.applyEndpoints(new Map([['a', [endpoint(5)]]]));
      assert.deepEqual(tally(picker, 140), [90, 0, 0, 50, 0]);
    });

    it('serve where there is no other', () => {
      assert.deepEqual(tally(pickerOf([to('a', 1, true), to('b', 0)], upstreamsOf(['a', 'b'])), 10), [10, 0, 0]);
    });

    it('without an endpoint leave things as they are', () => {
      assert.deepEqual(tally(pickerOf([to('a', 1), unresolved(1), to('dr', 1, true)], upstreamsOf(['a', 'dr'], ['a', 'dr'])), 100), [0, 50, 0, 50]);
    });

    it('with weight 0 get nothing', () => {
      assert.deepEqual(tally(pickerOf([to('a', 1), to('dr', 0, true)], upstreamsOf(['a', 'dr'], ['a'])), 10), [0, 0, 10]);
    });
  });

  describe('another one for a request that its endpoint refused', () => {
    const request: Balanced = {
      clientAddress: '10.0.0.1',
      path: '/',
      requestFields: { get: () => undefined },
      cookie: () => undefined,
      queryParam: () => undefined,
    };
    const failedOf = (picker: BackendPicker, index: number) => {
      const backend = picker.backends[index] as PickedBackend;
      const [endpoint] = backend.upstream?.endpoints ?? [];
      return [backend, endpoint as EndpointState] as const;
    };

    it('is spread by weight, and takes no turn in the sequence of picks', () => {
      const backends = [to('a', 50), to('b', 30), to('c', 20), to('d', 0), to('e', 9, true)];
      const upstreams = upstreamsOf(['a', 'b', 'c', 'd', 'e']);
      const picker = pickerOf(backends, upstreams);
      const undisturbed = pickerOf(backends, upstreams);
      const counts = new Map<number, number>();
      for (let number = 0; number < 1_000; number++) {
        assert.equal(picker.pick()?.index, undisturbed.pick()?.index);
        const [backend, endpoint] = failedOf(picker, 0);
        const index = picker.pickOther(request, backend, endpoint)?.backend.index ?? -1;
        counts.set(index, (counts.get(index) ?? 0) + 1);
      }
      assert.deepEqual([...counts.keys()].sort(), [1, 2]);
      assert.ok(Math.abs((counts.get(1) ?? 0) - 600) < 60, `${counts.get(1)}`);
    });

    it('is a backup where no other has an endpoint, and none where there is none', () => {
      const picker = pickerOf([to('a'), to('b'), unresolved(), to('c', 1, true)], upstreamsOf(['a', 'b', 'c'], ['b']));
      assert.equal(picker.pickOther(request, ...failedOf(picker, 0))?.backend.index, 3);
      const lone = pickerOf([to('a'), to('a'), unresolved(), to('b', 1, true)], upstreamsOf(['a', 'b'], ['b']));
      assert.equal(lone.pickOther(request, ...failedOf(lone, 0)), undefined);
    });
  });

  it('names the heaviest one that is no backup, the first of equals', () => {
    const upstreams = upstreamsOf(['a', 'b', 'c'], ['a', 'b', 'c']);
    assert.equal(pickerOf([unresolved(9), to('a', 2), to('b', 3), to('c', 3), to('a', 8, true)], upstreams).heaviest?.index, 2);
    assert.equal(pickerOf([to('a', 0), to('b', 1, true), to('c', 2, true)], upstreams).heaviest?.index, 2);
    assert.equal(pickerOf([unresolved()], upstreams).heaviest, undefined);
  });
});
