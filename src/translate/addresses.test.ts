import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressKey, forbiddenAddress, isForbiddenName } from './addresses.ts';

for (const address of ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1']) {
  test(`${address} is loopback`, () => {
    assert.equal(forbiddenAddress(address, false), 'a loopback address');
    assert.equal(forbiddenAddress(address, true), undefined);
  });
}

for (const address of [
  '0.0.0.0',
  '169.254.169.254',
  '224.0.0.1',
  '239.1.1.1',
  '255.255.255.255',
  '::',
  'fe80::1',
  'febf::1',
  'ff02::1',
  '::ffff:169.254.1.1',
]) {
  test(`${address} is refused everywhere`, () => {
    assert.notEqual(forbiddenAddress(address, true), undefined);
  });
}

for (const address of ['10.0.0.1', '192.168.0.1', '126.255.255.255', '128.0.0.1', '169.253.255.255', '2001:db8::1', 'fec0::1', 'fd00::1']) {
  test(`${address} may be used`, () => {
    assert.equal(forbiddenAddress(address, false), undefined);
  });
}

for (const name of ['localhost', 'LOCALHOST.', 'a.localhost', '127.0.0.1', '::1']) {
  test(`the name ${name} leads to the machine itself`, () => {
    assert.equal(isForbiddenName(name, false), true);
    assert.equal(isForbiddenName(name, true), false);
  });
}

for (const name of ['127.1', '0x7f000001', '2130706433', '0x7f.1', '169.254.169.254']) {
  test(`the name ${name} is an address that is refused everywhere`, () => {
    assert.equal(isForbiddenName(name, true), true);
  });
}

for (const name of ['example.com', 'a1.example.com', '1.example.com', 'localhost.example.com', '10.0.0.1']) {
  test(`the name ${name} may be used`, () => {
    assert.equal(isForbiddenName(name, false), false);
  });
}

test('keys are equal for one address however it is written', () => {
  assert.equal(addressKey('2001:DB8::1'), addressKey('2001:db8:0:0:0:0:0:1'));
  assert.equal(addressKey('::ffff:10.0.0.1'), addressKey('10.0.0.1'));
  assert.equal(addressKey('::FFFF:0a00:1'), addressKey('10.0.0.1'));
  assert.equal(addressKey('fd00::1%eth0'), addressKey('fd00::1'));
  assert.notEqual(addressKey('2001:db8::1'), addressKey('2001:db8::2'));
  assert.notEqual(addressKey('10.0.0.1'), addressKey('10.0.0.2'));
});
