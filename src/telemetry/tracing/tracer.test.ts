import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { parseTraceparent } from '../../exchange/trace-context.ts';
import type { Span } from './span.ts';
import { Tracer } from './tracer.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

/** Its timer does not keep the test alive. */
function tracer(ratio: number, spans: Span[] = []): Tracer {
  return new Tracer(ratio, (some) => spans.push(...some));
}

test('a share of the traces is recorded, each by its own number', () => {
  const half = tracer(0.5);
  const again = tracer(0.5);
  const [all, none] = [tracer(1), tracer(0)];
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9a-f]{32}$/), (id) => {
      assert.equal(half.begin(id, undefined, false) === undefined, again.begin(id, undefined, false) === undefined);
      assert.notEqual(all.begin(id, undefined, false), undefined);
      assert.equal(none.begin(id, undefined, false), undefined);
    }),
  );
  let recorded = 0;
  for (let number = 0; number < 1000; number++) {
    if (half.begin(`${'0'.repeat(24)}${((number * 4_294_967) % 2 ** 32).toString(16).padStart(8, '0')}`, undefined, false) !== undefined) recorded++;
  }
  assert.ok(recorded > 400 && recorded < 600, `${recorded} of 1000`);
});

test('who is trusted decides, and nobody else', () => {
  const sampled = parseTraceparent(`00-${TRACE}-${PARENT}-01`);
  const unsampled = parseTraceparent(`00-${TRACE}-${PARENT}-00`);
  assert.deepEqual([sampled?.isSampled, unsampled?.isSampled], [true, false]);
  assert.equal(tracer(0).begin(TRACE, sampled, true)?.parentSpanId, PARENT);
  assert.equal(tracer(0).begin(TRACE, sampled, false), undefined);
  assert.equal(tracer(1).begin(TRACE, unsampled, true), undefined);
  assert.equal(tracer(1).begin(TRACE, unsampled, false)?.parentSpanId, PARENT);
});

test('spans have times of day, and are handed on in batches', () => {
  const spans: Span[] = [];
  const one = tracer(1, spans);
  const context = one.begin(TRACE, undefined, false);
  assert.ok(context);
  const now = performance.now();
  const before = Date.now();
  for (let count = 0; count < 300; count++) {
    one.end(context, { kind: 'server', name: 'GET', startedAt: now - 5, endedAt: now, attributes: {}, isError: false });
  }
  assert.equal(spans.length, 256);
  one.flush();
  assert.equal(spans.length, 300);
  const [span] = spans as [Span];
  assert.ok(Math.abs(span.endTime - before) < 1000 && Math.abs(span.endTime - span.startTime - 5) < 0.001);
});
