import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isSaneRequestId, isTraceparent, newRequestId, newTraceId, newTraceparent } from './request-id.ts';

it('makes ids that differ, over many refills of the pool', () => {
  const seen = new Set<string>();
  for (let index = 0; index < 2000; index++) {
    const id = newRequestId();
    assert.match(id, /^[0-9a-f]{32}$/);
    seen.add(id);
    const traceparent = newTraceparent(newTraceId());
    assert.match(traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    assert.ok(isTraceparent(traceparent));
    seen.add(traceparent);
  }
  assert.equal(seen.size, 4000);
});

it('takes ids of others that can do no harm', () => {
  for (const id of ['a', '0b7e5ee6-7b7a-4f6d-9b3a-3c1f0f0f0f0f', 'Root=1-67891233-abcdef012345678912345678;Self=x', 'a'.repeat(128)])
    assert.ok(isSaneRequestId(id), id);
  for (const id of ['', 'a b', 'a"b', 'a\\b', '<script>', 'a\tb', 'ä', 'ї', 'a'.repeat(129), '{}', 'a\r\nb']) assert.ok(!isSaneRequestId(id), id);
});

it('judges trace contexts as the recommendation says', () => {
  const trace = '0af7651916cd43dd8448eb211c80319c';
  const parent = 'b7ad6b7169203331';
  for (const good of [`00-${trace}-${parent}-01`, `00-${trace}-${parent}-00`, `cc-${trace}-${parent}-01`, `cc-${trace}-${parent}-01-more`])
    assert.ok(isTraceparent(good), good);
  for (const bad of [
    '',
    `ff-${trace}-${parent}-01`,
    `00-${trace}-${parent}-01-more`,
    `00-${trace}-${parent}-01x`,
    `cc-${trace}-${parent}-01x`,
    `00-${'0'.repeat(32)}-${parent}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${parent}-01`,
    `00-${trace}_${parent}-01`,
    `00-${trace}-${parent}-0`,
    `0x-${trace}-${parent}-01`,
  ]) {
    assert.ok(!isTraceparent(bad), bad);
  }
});
