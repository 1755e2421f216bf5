import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exchangeOf } from '../exchange.fixture.ts';
import { Credentials } from './credentials.ts';
import { Refusal } from './method.ts';

/** What is found in a header with that prefix; undefined where there is none. */
function found(prefix: string, ...values: string[]): string | undefined {
  const exchange = exchangeOf();
  for (const value of values) exchange.requestFields.append('X-Key', value);
  const credential = new Credentials([{ type: 'Header', name: 'x-key', prefix }]).find(exchange);
  return credential instanceof Refusal ? credential.reply.reason : credential;
}

describe('prefixes', () => {
  for (const [prefix, value, text] of [
    ['', 'abc', 'abc'],
    ['', '', ''],
    ['Bearer ', 'Bearer abc', 'abc'],
    ['Bearer ', 'bEARER abc', 'abc'],
    ['Bearer ', 'Bearer  \t abc d', 'abc d'],
    ['Bearer ', 'Bearer', ''],
    ['Bearer ', 'BEARER', ''],
    ['Bearer ', 'Beare', undefined],
    ['Bearer ', '', undefined],
    ['Bearer ', 'Bearerabc', undefined],
    ['Bearer ', 'Bearer\tabc', undefined],
    ['Bearer ', 'Basic abcdef', undefined],
    ['Bearer ', 'xBearer abc', undefined],
    ['key=', 'KEY=abc', 'abc'],
    ['key=', 'key= abc', ' abc'],
    ['key=', 'key=', ''],
    ['key=', 'key', undefined],
    // Characters that differ in the same bit as the cases of a letter do.
    ['k@[', 'K`{abc', undefined],
    ['k@[', 'K@[abc', 'abc'],
  ] as const) {
    test(`${JSON.stringify(value)} behind ${JSON.stringify(prefix)}`, () => assert.equal(found(prefix, value), text));
  }
  test('however it was written before', () => {
    const credentials = new Credentials([{ type: 'Header', name: 'x-key', prefix: 'Bearer ' }]);
    for (const [value, text] of [
      ['', undefined],
      ['BEARER abc', 'abc'],
      ['BEARER abc', 'abc'],
      ['BEARER \xa0abc', 'abc'],
      ['BEARER', ''],
      ['', undefined],
      ['BEARE', undefined],
      ['BEARERabc', undefined],
      ['Bearer \tabc', 'abc'],
      ['BEARER abc', 'abc'],
      ['xEARER abc', undefined],
    ] as const) {
      const exchange = exchangeOf();
      exchange.requestFields.append('X-Key', value);
      assert.equal(credentials.find(exchange), text, JSON.stringify(value));
    }
  });
  test('a header that is there twice is refused where one of them has the prefix', () => {
    assert.equal(found('Bearer ', 'Bearer a', 'Basic b'), 'repeated_credential');
    assert.equal(found('Bearer ', 'Basic a', 'Basic b'), undefined);
  });
});

test('what is taken away is the header with the prefix, in any case', () => {
  const credentials = new Credentials([{ type: 'Header', name: 'authorization', prefix: 'Bearer ' }]);
  for (const [value, rest] of [
    ['bearer abc', ''],
    ['Basic abc', 'Authorization: Basic abc\r\n'],
  ] as const) {
    const exchange = exchangeOf();
    exchange.requestFields.remove('host');
    exchange.requestFields.append('Authorization', value);
    credentials.strip(exchange);
    assert.equal(exchange.requestFields.serialize(), rest);
  }
});
