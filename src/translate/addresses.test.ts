import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forbiddenAddress } from '../exchange/forbidden-address.ts';
import { addressKey, isApiServer, isForbiddenName } from './addresses.ts';

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

for (const [address, what] of [
  ['64:ff9b::a9fe:a9fe', 'a link-local, multicast or unspecified address'],
  ['64:ff9b::169.254.169.254', 'a link-local, multicast or unspecified address'],
  ['64:ff9b:1::a9fe:a9fe', 'a link-local, multicast or unspecified address'],
  ['2002:a9fe:a9fe::1', 'a link-local, multicast or unspecified address'],
  ['::169.254.169.254', 'a link-local, multicast or unspecified address'],
  ['64:ff9b::7f00:1', 'a loopback address'],
  ['2002:7f00:1::1', 'a loopback address'],
] as const) {
  test(`${address} is judged by the IPv4 address in it`, () => {
    assert.equal(forbiddenAddress(address, false), what);
  });
}

for (const address of ['fd00:ec2::254', 'FD00:0EC2:0:0::254', 'fd20:ce::254', '192.0.0.192', '168.63.129.16']) {
  test(`${address} is where a cloud keeps the machine's credentials`, () => {
    assert.equal(forbiddenAddress(address, true), "a cloud's metadata address");
    assert.equal(isForbiddenName(address, true), true);
  });
}

for (const address of ['64:ff9b::a00:1', '2002:a00:1::1', 'fd00:ec2::1', '100.100.100.200']) {
  test(`${address} may be used, too`, () => {
    assert.equal(forbiddenAddress(address, false), undefined);
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

test('the API server is known by its IPv4 address in an IPv6 one, too', () => {
  const apiServer = ['10.0.0.1 443'];
  for (const address of ['::ffff:10.0.0.1', '64:ff9b::a00:1', '2002:a00:1::1']) assert.equal(isApiServer(apiServer, address, 443), true, address);
  for (const address of ['64:ff9b::a00:2', '2002:a00:2::1', '2001:db8::a00:1']) assert.equal(isApiServer(apiServer, address, 443), false, address);
  assert.equal(isApiServer(apiServer, '64:ff9b::a00:1', 80), false);
});
