import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AggregatorRegistry } from 'prom-client';
import fc from '../../scripts/fast-check.ts';
import { mergedText } from './merged-text.ts';
import { counter, type MetricFamily } from './metric-family.ts';

const label = fc.oneof(fc.constantFrom('a', 'b', 'shop/web/80'), fc.string({ maxLength: 4 }));
const value = fc.oneof(fc.nat(), fc.double({ noNaN: true, noDefaultInfinity: true, min: 0, max: 1e6 }));
const family = (type: MetricFamily['type'], aggregator: MetricFamily['aggregator']): fc.Arbitrary<MetricFamily> =>
  fc
    .uniqueArray(fc.tuple(fc.record({ route: label, code: fc.constantFrom(200, 404) }), value), {
      maxLength: 5,
      selector: ([labels]) => JSON.stringify(labels),
    })
    .map((samples) => ({
      name: `tidegate_${type}_${aggregator}`,
      help: 'What it is.',
      type,
      aggregator,
      values: samples.map(([labels, one]) => ({
        labels,
        value: one,
        ...(type === 'histogram' ? { metricName: `tidegate_${type}_${aggregator}_bucket` } : {}),
      })),
    }));
const worker = fc.tuple(family('counter', 'sum'), family('gauge', 'sum'), family('gauge', 'max'), family('histogram', 'sum'));

/** Lines of a text, each family's samples in any order. */
function lines(text: string): string[][] {
  return text
    .trim()
    .split(/\n(?=# HELP)/)
    .map((part) => part.trim().split('\n').sort());
}

test("the text says what prom-client's own aggregation does", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(worker, { minLength: 1, maxLength: 3 }), async (workers) => {
      // Its types ask for instances of its own metrics.
      const expected = await AggregatorRegistry.aggregate(structuredClone(workers) as never).metrics();
      assert.deepEqual(lines(mergedText(workers)), lines(expected));
    }),
    { numRuns: 200 },
  );
});

test('a metric without labels, one without samples, and labels that need escapes', () => {
  const families = [
    counter('tidegate_a_total', 'Counted.', [{ labels: {}, value: 2 }]),
    counter('tidegate_b_total', 'Never.', []),
    counter('tidegate_c_total', 'Odd.', [{ labels: { route: 'a"b\\c\nd', code: 200 }, value: 0.5 }]),
  ];
  assert.equal(
    mergedText([families, families.slice(0, 1)]),
    [
      '# HELP tidegate_a_total Counted.\n# TYPE tidegate_a_total counter\ntidegate_a_total 4',
      '# HELP tidegate_b_total Never.\n# TYPE tidegate_b_total counter',
      '# HELP tidegate_c_total Odd.\n# TYPE tidegate_c_total counter\ntidegate_c_total{route="a\\"b\\\\c\\nd",code="200"} 0.5',
    ].join('\n\n'),
  );
});
