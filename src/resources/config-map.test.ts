import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMapSchema } from './config-map.ts';

test('a descriptor set that happens to be UTF-8 is binary data, too; other texts are not kept', () => {
  const bytes = Buffer.from('\n\u00c2\u0080\u0001a');
  const { binaryData } = configMapSchema.parse({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'shop', namespace: 'shop' },
    data: { 'shop.pb': bytes.toString('utf8'), note: 'a text', both: '\ntext' },
    binaryData: { both: 'AAAA' },
  });
  assert.deepEqual(binaryData, { 'shop.pb': bytes.toString('base64'), both: 'AAAA' });
});

test('a ConfigMap without any has none', () => {
  const parsed = configMapSchema.parse({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'shop', namespace: 'shop' }, data: { note: 'a text' } });
  assert.ok(!('binaryData' in parsed));
});
