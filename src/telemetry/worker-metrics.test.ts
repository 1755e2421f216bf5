import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkerMetrics } from './worker-metrics.ts';

function samples(metrics: WorkerMetrics): string[] {
  return metrics.families([], {}).flatMap(({ values }) =>
    values.flatMap(({ labels, metricName, value }) => {
      const name = labels.route ?? labels.upstream;
      return name === undefined ? [] : [`${name} ${metricName ?? ''} ${labels.le ?? ''} ${value}`];
    }),
  );
}

test('thousands of routes and upstreams that had no request add nothing to a scrape', () => {
  const metrics = new WorkerMetrics();
  for (let index = 0; index < 3000; index++) {
    metrics.route(`route-${index}`);
    metrics.upstream(`upstream-${index}`);
  }
  assert.deepEqual(samples(metrics), []);
  metrics.route('route-7').count('GET', 200, 0.003);
  metrics.upstream('upstream-7').count(200, 0.002);
  const told = samples(metrics);
  // A count by status, 16 buckets, sum and count of each.
  assert.equal(told.length, 2 * 19);
  assert.ok(told.every((sample) => /^(route|upstream)-7 /.test(sample)));
  assert.ok(told.includes('route-7 tidegate_request_duration_seconds_bucket 0.0025 0'));
  assert.ok(told.includes('route-7 tidegate_request_duration_seconds_bucket 0.005 1'));
  assert.ok(told.includes('upstream-7 tidegate_upstream_duration_seconds_bucket 0.0025 1'));
});
