import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { FieldKind, kindOfText, maskOf } from '../../exchange/field-names.ts';
import { Fields, packLine } from '../../exchange/fields.ts';
import { HpackDecoder } from './decoder.ts';
import { HpackEncoder } from './encoder.ts';
import { decodePairs } from './hpack.fixture.ts';

const TEXTS = [
  'server: one\r\ndate: today\r\nx-a: 1\r\nx-b: 2\r\nx-c: 3\r\n',
  'server: one\r\ndate: today\r\nx-a: 2\r\nx-b: 1\r\nx-c: 3\r\n',
  'x-b: 2\r\nx-a: 1\r\nset-cookie: secret\r\nx-a: 1\r\n',
  'x-request-id: 12345\r\nserver: two\r\n',
  'server: two\r\nhost: b.example\r\nx-a: 1\r\n',
];
const ADDED = [
  'x-request-id: 678\r\n',
  'x-a: 1\r\nx-c: 3\r\n',
  'x-c: 3\r\nhost: a.example\r\n',
  'x-long: 0123456789012345678901234567890123456789\r\n',
  'x-b: 1\r\n',
];

/** As an engine makes them of a head. */
function fieldsOf(text: string): Fields {
  const lines: number[] = [];
  for (let start = 0; start < text.length; start = text.indexOf('\n', start) + 1) {
    const length = text.indexOf(':', start) - start;
    lines.push(packLine(start, length, kindOfText(text, start, length)));
  }
  return new Fields(text, lines, text.length, -1);
}

describe('Fields that come again', () => {
  // First: what pays is learnt over all connections of a thread, and the other test has made-up values.
  it('cost a byte each, once the table has them', () => {
    const encoder = new HpackEncoder();
    const [text] = TEXTS as [string];
    const lengths = Array.from({ length: 3 }, () => {
      const fields = fieldsOf(text);
      fields.removeKinds(maskOf(FieldKind.Date));
      fields.appendLines('x-d: 4\r\nx-e: 5\r\n', maskOf(FieldKind.Other));
      return encoder.response(200, fields).length;
    });
    assert.deepEqual(lengths.slice(1), [7, 7]);
  });

  it('are written so that the peer reads what they are, whatever came before', () => {
    const message = fc.record({
      text: fc.constantFrom('', ...TEXTS),
      // Of its own, with equal characters.
      isCopy: fc.boolean(),
      removed: fc.subarray(['server', 'date', 'x-a', 'x-b', 'x-c']),
      added: fc.subarray(ADDED, { maxLength: 3 }),
      pair: fc.option(fc.constantFrom('1', '2', '3')),
      isRequest: fc.boolean(),
      tableSize: fc.option(fc.constantFrom(0, 80, 120, 200, 4096), { freq: 8 }),
      times: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 40 }), (messages) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder();
        for (const { text, isCopy, removed, added, pair, isRequest, tableSize, times } of messages) {
          if (tableSize !== null) encoder.setMaxTableSize(tableSize);
          for (let time = 0; time < times; time++) {
            const fields = fieldsOf(isCopy ? Buffer.from(text).toString('latin1') : text);
            for (const name of removed) fields.remove(name);
            if (pair !== null) fields.append('x-c', pair);
            for (const lines of added) fields.appendLines(lines, -1);
            // Reading takes whole lines apart.
            const wanted: [string, string][] = isRequest ? [] : [[':status', '200']];
            const reading = fields.clone();
            const hosts = reading.getAll('host');
            const host = hosts.length === 1 ? hosts[0] : undefined;
            if (isRequest) wanted.push([':method', 'GET'], [':scheme', 'http'], [':path', '/']);
            if (isRequest && host !== undefined) wanted.push([':authority', host]);
            reading.forEach((name, value) => {
              if (!isRequest || name !== 'host') wanted.push([name, value]);
            });
            const block = isRequest ? encoder.request('GET', 'http', '/', fields) : encoder.response(200, fields);
            assert.deepEqual(decodePairs(decoder, Buffer.from(block, 'latin1')), wanted);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
