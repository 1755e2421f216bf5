import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LoadBalancer } from '../../snapshot/upstream.ts';
import { fakeContext } from '../fixtures.ts';
import { describeBalancer } from './balancer.suite.ts';
import { ConsistentHash } from './consistent-hash.ts';
import { balancers, createBalancer, sameLoadBalancer } from './index.ts';
import { LeastRequest } from './least-request.ts';
import { PeakEwma } from './peak-ewma.ts';
import { Random } from './random.ts';
import { RoundRobin } from './round-robin.ts';
import { SourceIp } from './source-ip.ts';

const byRequest = new Set<string>(['SourceIP', 'ConsistentHash']);

for (const type of Object.keys(balancers) as LoadBalancer['type'][]) {
  describeBalancer(type, (context) => createBalancer({ type }, context), byRequest.has(type));
}
for (const type of ['SourceIP', 'Header', 'Cookie', 'QueryParam', 'Path'] as const) {
  const settings: LoadBalancer = { type: 'ConsistentHash', consistentHash: { type, name: 'key' } };
  describeBalancer(`ConsistentHash by ${type}`, (context) => createBalancer(settings, context), true);
}

describe('registry of balancers', () => {
  it('makes each by its name', () => {
    const classes = { RoundRobin, LeastRequest, Random, PeakEWMA: PeakEwma, SourceIP: SourceIp, ConsistentHash };
    assert.deepEqual(Object.keys(balancers).sort(), Object.keys(classes).sort());
    for (const [type, expected] of Object.entries(classes)) {
      assert.ok(createBalancer({ type: type as LoadBalancer['type'] }, fakeContext()) instanceof expected);
    }
  });

  it('tells settings apart', () => {
    const header = (name: string): LoadBalancer => ({ type: 'ConsistentHash', consistentHash: { type: 'Header', name } });
    assert.ok(sameLoadBalancer({ type: 'Random' }, { type: 'Random' }));
    assert.ok(sameLoadBalancer(header('a'), header('a')));
    assert.ok(!sameLoadBalancer(header('a'), header('b')));
    assert.ok(!sameLoadBalancer(header('a'), { type: 'ConsistentHash', consistentHash: { type: 'Cookie', name: 'a' } }));
    assert.ok(!sameLoadBalancer({ type: 'Random' }, { type: 'RoundRobin' }));
  });
});
