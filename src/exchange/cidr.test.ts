import assert from 'node:assert/strict';
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { CidrSet, parseCidr } from './cidr.ts';

for (const text of [
  '10.0.0.0/8',
  '10.1.2.3',
  '0.0.0.0/0',
  '255.255.255.255/32',
  '10.1.2.3/8',
  '::/0',
  '::1',
  '2001:db8::/32',
  'fe80::/10',
  '::ffff:10.0.0.0/104',
  '1:2:3:4:5:6:7:8',
  '1:2:3:4:5:6:7::',
  '::1.2.3.4/128',
]) {
  test(`${text} is one`, () => assert.ok(parseCidr(text) !== undefined));
}
for (const text of [
  '',
  '/',
  '10.0.0.0/',
  '10.0.0.0/33',
  '10.0.0.0/-1',
  '10.0.0.0/08',
  '10.0.0.0/8 ',
  ' 10.0.0.0/8',
  '10.0.0/8',
  '10.0.0.0.0',
  '256.0.0.1',
  '010.0.0.1',
  '1.2.3.4a',
  '::/129',
  ':::',
  '1::2::3',
  '1:2:3',
  '12345::',
  'g::',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:1.2.3.4',
  '::1%eth0',
  '[::1]',
  'localhost',
  '::ffff:1.2.3',
  '1:',
  ':1',
]) {
  test(`${JSON.stringify(text)} is none`, () => assert.equal(parseCidr(text), undefined));
}

const cases: readonly (readonly [readonly string[], string, boolean])[] = [
  [[], '10.0.0.1', false],
  [['10.0.0.0/8'], '10.255.0.1', true],
  [['10.0.0.0/8'], '11.0.0.0', false],
  [['10.0.0.0/8'], '9.255.255.255', false],
  [['10.0.0.0/8'], '::ffff:10.1.1.1', true],
  [['10.0.0.0/8'], '::ffff:a01:101', true],
  [['::ffff:10.0.0.0/104'], '10.1.1.1', true],
  [['0.0.0.0/0'], '::1', false],
  [['::/0'], '10.0.0.1', false],
  [['::/0'], 'fe80::1', true],
  [['fe80::/10'], 'fe80::1%eth0', true],
  [['10.0.0.0/8', '10.1.0.0/16', '10.2.0.0/16'], '10.200.0.1', true],
  [['10.1.0.0/16', '10.0.0.0/8', '12.0.0.0/8'], '11.0.0.1', false],
  [['10.0.0.5/8'], '10.9.9.9', true],
  [['0.0.0.0/0'], 'nonsense', false],
  [['0.0.0.0/0', '::/0'], '', false],
];
for (const [cidrs, address, expected] of cases) {
  test(`${address || 'no address'} is ${expected ? '' : 'not '}in [${cidrs.join(', ')}]`, () => {
    const set = new CidrSet(cidrs);
    assert.equal(set.has(address), expected);
    assert.equal(set.has(address), expected, 'asked again');
  });
}

const octet = fc.constantFrom(0, 1, 10, 127, 128, 254, 255);
const ipv4 = fc.array(octet, { minLength: 4, maxLength: 4 }).map((octets) => octets.join('.'));
// Not ffff, so that none is IPv4-mapped: BlockList gives those another meaning.
const group = fc.constantFrom('0', '1', 'fffe', '8000', '7fff', 'abc');
const ipv6 = fc.oneof(
  fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(':')),
  fc.tuple(fc.array(group, { maxLength: 3 }), fc.array(group, { maxLength: 3 })).map(([head, tail]) => `${head.join(':')}::${tail.join(':')}`),
);
const cidr = fc.oneof(fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })), fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })));

test('agrees with the BlockList of Node', () => {
  fc.assert(
    fc.property(fc.array(cidr, { maxLength: 6 }), fc.oneof(ipv4, ipv6), (cidrs, address) => {
      const list = new BlockList();
      const family = isIPv4(address) ? 'ipv4' : 'ipv6';
      for (const [net, length] of cidrs) if ((isIPv4(net) ? 'ipv4' : 'ipv6') === family) list.addSubnet(net, length, family);
      assert.equal(new CidrSet(cidrs.map(([net, length]) => `${net}/${length}`)).has(address), list.check(address, family));
    }),
    { numRuns: 5_000 },
  );
});

test('takes for an address what Node takes for one', () => {
  const texts = fc.oneof(
    fc.array(fc.constantFrom('1', '0', 'ffff', ':', ':', '::', '1.2.3.4', '12345', 'g'), { maxLength: 16 }).map((list) => list.join('')),
    fc.array(fc.constantFrom('1', '0', '25', '255', '256', '.', '.', '01'), { maxLength: 8 }).map((list) => list.join('')),
  );
  fc.assert(
    fc.property(texts, (text) => {
      assert.equal(parseCidr(text) !== undefined, isIPv4(text) || isIPv6(text), text);
    }),
    { numRuns: 10_000 },
  );
});
