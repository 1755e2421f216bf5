import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { parseJson } from './json.ts';

const parse = (text: string): unknown => parseJson(Buffer.from(text));

describe('JSON of bodies', () => {
  test('whole numbers of 64 bits are exact; others are doubles, as JSON.parse has them', () => {
    assert.deepEqual(parse('[9007199254740993, -9223372036854775808, 9223372036854775807]'), [9007199254740993n, -9223372036854775808n, 9223372036854775807n]);
    assert.deepEqual(parse('{"a":9223372036854775808,"b":1234567890123456,"c":123456789012345678.5,"d":1234567890123456e3}'), {
      ...{ a: Number('9223372036854775808'), b: 1234567890123456, c: Number('123456789012345678.5'), d: 1234567890123456e3 },
    });
    assert.equal(parse(' 9007199254740993 '), 9007199254740993n);
  });

  test('digits in strings are text, whatever stands around them', () => {
    assert.deepEqual(parse('{"a\\"9007199254740993":"9007199254740993\\\\","b":[9007199254740993]}'), {
      ...{ 'a"9007199254740993': '9007199254740993\\', b: [9007199254740993n] },
    });
  });

  test('a member called __proto__ is a member', () => {
    const value = parse('{"__proto__":9007199254740993}') as object;
    assert.deepEqual(Object.getOwnPropertyNames(value), ['__proto__']);
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
  });

  for (const text of [
    '{9007199254740993:1}',
    '09007199254740993',
    '9007199254740993 9007199254740993',
    '"a"9007199254740993',
    '9007199254740993"a"',
    '[9007199254740993',
    '"9007199254740993',
    '-',
    '+9007199254740993',
    '--9007199254740993',
  ]) {
    test(`refused: ${text}`, () => assert.throws(() => parse(text), SyntaxError));
  }

  test('as JSON.parse has it, but for long whole numbers', () => {
    const number = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }));
    const text = fc.oneof(
      fc.json(),
      fc
        .array(fc.oneof(number.map(String), fc.constantFrom('[', ']', '{', '}', ',', ':', '"', '\\', ' ', '"x":', '1234567890123456789')))
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(text, (json) => {
        let wanted: unknown;
        try {
          wanted = JSON.parse(json);
        } catch {
          assert.throws(() => parse(json), SyntaxError);
          return;
        }
        assert.deepEqual(doubles(parse(json)), wanted);
      }),
      { numRuns: 2000 },
    );
  });

  test('many long numbers cost no more than many others', () => {
    const list = `[${Array.from({ length: 60_000 }, () => '9007199254740993').join(',')}]`;
    assert.equal((parse(list) as unknown[]).length, 60_000);
  });
});

function doubles(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(doubles);
  if (typeof value === 'object' && value !== null) {
    const copy = {};
    for (const [key, inner] of Object.entries(value))
      Object.defineProperty(copy, key, { value: doubles(inner), writable: true, enumerable: true, configurable: true });
    return copy;
  }
  return value;
}
