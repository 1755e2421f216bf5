import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { Consumers } from './consumers.ts';
import { publishedConsumer } from './context.fixture.ts';
import { DigestTable } from './digest-table.ts';

const digest = (text: string): Buffer => hash('sha256', text, 'buffer');

describe('the table of digests', () => {
  it('is a map, whatever is put there and taken away', () => {
    const step = fc.record({ key: fc.integer({ min: 0, max: 60 }), value: fc.option(fc.nat(1000), { nil: undefined }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const table = new DigestTable();
        const model = new Map<number, number>();
        for (const { key, value } of steps) {
          // Many share their first bytes, as digests seldom do.
          const bytes = digest(String(key));
          bytes.writeUInt32LE(key % 7, 0);
          if (value === undefined) {
            table.delete(bytes);
            model.delete(key);
          } else {
            table.set(bytes, value);
            model.set(key, value);
          }
          assert.equal(table.size, model.size);
          assert.equal(table.get(bytes), model.get(key) ?? -1);
        }
        for (let key = 0; key <= 60; key++) {
          const bytes = digest(String(key));
          bytes.writeUInt32LE(key % 7, 0);
          assert.equal(table.get(bytes), model.get(key) ?? -1);
        }
      }),
    );
  });

  it('holds a hundred thousand in 6 MB, and gives room back', () => {
    const table = new DigestTable();
    for (let index = 0; index < 100_000; index++) table.set(digest(`key-${index}`), index);
    assert.equal(table.get(digest('key-77777')), 77_777);
    assert.equal(table.get(digest('key-100000')), -1);
    assert.ok(table.bytes < 6_000_000, `${table.bytes} bytes`);
    for (let round = 0; round < 3; round++) {
      for (let index = 0; index < 100_000; index++) table.delete(digest(`key-${round}-${index}`));
      for (let index = 0; index < 1000; index++) {
        table.delete(digest(`key-${round * 1000 + index}`));
        table.set(digest(`new-${round}-${index}`), index);
      }
    }
    assert.equal(table.size, 100_000);
    assert.ok(table.bytes < 6_000_000, `${table.bytes} bytes`);
  });
});

describe('consumers of a worker', () => {
  const consumers = new Consumers();
  const name = (found: { readonly name: string } | undefined) => found?.name;

  it('are found by keys, users, subjects and claims, within their namespace', () => {
    consumers.put([
      publishedConsumer({
        name: 'acme',
        groups: ['gold'],
        keys: ['one', 'two'],
        basicUsers: ['alice'],
        certificateSubjects: ['CN=acme'],
        jwt: { claim: 'azp', value: 'acme' },
      }),
      publishedConsumer({ name: 'globex', keys: ['three'], jwt: { claim: 'azp', value: '7' } }),
      publishedConsumer({ name: 'acme', namespace: 'blog', keys: ['one'] }),
    ]);
    assert.equal(name(consumers.byKey('shop', digest('one'))), 'acme');
    assert.equal(name(consumers.byKey('shop', digest('two'))), 'acme');
    assert.deepEqual(consumers.byKey('shop', digest('two'))?.groups, ['gold']);
    assert.deepEqual(consumers.byKey('blog', digest('one'))?.groups, []);
    assert.equal(consumers.byKey('blog', digest('two')), undefined);
    assert.equal(consumers.byKey('other', digest('one')), undefined);
    assert.equal(name(consumers.byUser('shop', 'alice')), 'acme');
    assert.equal(consumers.byUser('blog', 'alice'), undefined);
    assert.equal(name(consumers.bySubject('shop', 'CN=acme')), 'acme');
    assert.equal(name(consumers.byClaims('shop', { azp: 'acme' })), 'acme');
    assert.equal(name(consumers.byClaims('shop', { azp: ['x', 'acme'] })), 'acme');
    assert.equal(name(consumers.byClaims('shop', { azp: 7 })), 'globex');
    for (const claims of [{}, { azp: null }, { azp: { acme: 1 } }, { AZP: 'acme' }, Object.create({ azp: 'acme' })]) {
      assert.equal(consumers.byClaims('shop', claims), undefined);
    }
  });

  it('change one by one: a key that goes is gone, one that another has taken stays', () => {
    const version = consumers.version;
    consumers.put([publishedConsumer({ name: 'acme', keys: ['two', 'four'] }), publishedConsumer({ name: 'initech', keys: ['three'] })]);
    consumers.remove(['shop/globex']);
    assert.notEqual(consumers.version, version);
    assert.equal(consumers.byKey('shop', digest('one')), undefined);
    assert.equal(name(consumers.byKey('shop', digest('four'))), 'acme');
    assert.equal(name(consumers.byKey('shop', digest('three'))), 'initech');
    assert.equal(consumers.byUser('shop', 'alice'), undefined);
    assert.equal(consumers.byClaims('shop', { azp: 'acme' }), undefined);
    assert.equal(consumers.size, 3);
  });
});
