import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { describe, test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { addressBytes, addressText, canonicalAddress } from './address-bytes.ts';
import { type ProxiedEnds, readProxyHeader, writeProxyHeader } from './proxy-header.ts';

const SIGNATURE = '0d0a0d0a000d0a515549540a';

function v1(line: string): ReturnType<typeof readProxyHeader> {
  return readProxyHeader(Buffer.from(line, 'latin1'));
}

function v2(hex: string): ReturnType<typeof readProxyHeader> {
  return readProxyHeader(Buffer.from(SIGNATURE + hex.replaceAll(' ', ''), 'hex'));
}

const ends = (sourceAddress: string, sourcePort: number, destinationAddress: string, destinationPort: number): ProxiedEnds => ({
  sourceAddress,
  sourcePort,
  destinationAddress,
  destinationPort,
});

describe('version 1', () => {
  test('says whose connection it is, and where the header ends', () => {
    const line = 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n';
    assert.deepEqual(v1(`${line}GET / HTTP/1.1\r\n`), { length: line.length, ends: ends('192.0.2.7', 56_324, '198.51.100.1', 443) });
  });

  test('has one text for one IPv6 address, and the longest header', () => {
    const line = 'PROXY TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n';
    assert.deepEqual(v1(line), { length: line.length, ends: ends('2001:db8::1', 65_535, 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 65_535) });
  });

  test('an IPv4-mapped address is IPv4', () => {
    assert.deepEqual(v1('PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n'), { length: 37, ends: ends('192.0.2.7', 1, '::1', 2) });
  });

  test('UNKNOWN keeps the real address, whatever follows', () => {
    assert.deepEqual(v1('PROXY UNKNOWN\r\nx'), { length: 15, ends: undefined });
    assert.deepEqual(v1('PROXY UNKNOWN ffff:f::1 whatever  1 2 3\r\n'), { length: 41, ends: undefined });
  });

  for (const [what, line] of [
    ['a bare LF', 'PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n'],
    ['two spaces', 'PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n'],
    ['a space at the end', 'PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n'],
    ['a tab', 'PROXY\tTCP4 192.0.2.7 198.51.100.1 1 2\r\n'],
    ['no destination port', 'PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n'],
    ['a port beyond 65535', 'PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n'],
    ['a port with a leading zero', 'PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n'],
    ['a port with a sign', 'PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n'],
    ['an octal address', 'PROXY TCP4 192.0.02.7 198.51.100.1 1 2\r\n'],
    ['a name', 'PROXY TCP4 localhost 198.51.100.1 1 2\r\n'],
    ['an address of the other family', 'PROXY TCP4 2001:db8::1 198.51.100.1 1 2\r\n'],
    ['a zone', 'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n'],
    ['another protocol', 'PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n'],
    ['lower case', 'proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n'],
    ['UNKNOWN and more in one word', 'PROXY UNKNOWNS\r\n'],
    ['108 bytes', `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`],
    ['no end within 107 bytes', `PROXY UNKNOWN ${'x'.repeat(200)}`],
    ['a request', 'GET / HTTP/1.1\r\n'],
    ['a TLS record', '\x16\x03\x01'],
    ['an empty line before it', '\r\nPROXY UNKNOWN\r\n'],
  ] as const) {
    test(`${what} is refused`, () => assert.equal(v1(line), 'bad'));
  }

  test('107 bytes are taken', () => assert.deepEqual(v1(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`), { length: 107, ends: undefined }));
});

describe('version 2', () => {
  test('TCP over IPv4', () => {
    assert.deepEqual(v2('21 11 000c c0000207 c6336401 dc04 01bb 474554'), { length: 28, ends: ends('192.0.2.7', 56_324, '198.51.100.1', 443) });
  });

  test('TCP over IPv6, with TLVs behind the addresses', () => {
    const addresses = '20010db8000000000000000000000001 20010db8000000000000000000000002 0001 0002';
    assert.deepEqual(v2(`21 21 002b ${addresses} 04 0004 00000000`), { length: 59, ends: ends('2001:db8::1', 1, '2001:db8::2', 2) });
  });

  test('LOCAL keeps the real address, whatever family and block it has', () => {
    assert.deepEqual(v2('20 00 0000'), { length: 16, ends: undefined });
    assert.deepEqual(v2('20 11 000c c0000207 c6336401 dc04 01bb'), { length: 28, ends: undefined });
    assert.deepEqual(v2('20 ff 0003 010203'), { length: 19, ends: undefined });
  });

  for (const [what, family, addresses] of [
    ['a Unix socket', '31', '00'.repeat(216)],
    ['a Unix socket for datagrams', '32', '00'.repeat(216)],
    ['UDP over IPv4', '12', 'c0000207 c6336401 dc04 01bb'],
    ['UDP over IPv6', '22', '00'.repeat(36)],
  ] as const) {
    const size = addresses.replaceAll(' ', '').length / 2;
    test(`${what} keeps it, for it is valid and says nothing of use`, () => {
      assert.deepEqual(v2(`21 ${family} ${size.toString(16).padStart(4, '0')} ${addresses}`), { length: 16 + size, ends: undefined });
    });
  }

  test('PROXY without a family keeps it, too', () => assert.deepEqual(v2('21 00 0002 0102'), { length: 18, ends: undefined }));

  for (const [what, hex] of [
    ['version 1 in its place', '11 11 000c c0000207 c6336401 dc04 01bb'],
    ['version 3', '31 11 000c c0000207 c6336401 dc04 01bb'],
    ['an unknown command', '22 11 000c c0000207 c6336401 dc04 01bb'],
    ['an unknown family', '21 41 000c c0000207 c6336401 dc04 01bb'],
    ['an unknown transport', '21 13 000c c0000207 c6336401 dc04 01bb'],
    ['a family without a transport', '21 10 000c c0000207 c6336401 dc04 01bb'],
    ['a block too short for its addresses', '21 11 000b c0000207 c6336401 dc04 01'],
    ['the same for IPv6', '21 21 000c c0000207 c6336401 dc04 01bb'],
    ['more than 4,096 bytes', '21 11 0ff1'],
  ] as const) {
    test(`${what} is refused`, () => assert.equal(v2(hex), 'bad'));
  }

  test('4,096 bytes are taken', () => {
    assert.deepEqual(v2(`21 11 0ff0 c0000207 c6336401 dc04 01bb ${'00'.repeat(4068)}`), {
      length: 4096,
      ends: ends('192.0.2.7', 56_324, '198.51.100.1', 443),
    });
  });
});

const ipv4 = fc.ipV4();
const ipv6 = fc.ipV6().filter((address) => canonicalAddress(address)?.includes(':') === true);
const port = fc.nat(65_535);

test('what is written is read back, in both versions, at any split', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('V1' as const, 'V2' as const),
      fc.oneof(fc.tuple(ipv4, ipv4), fc.tuple(ipv6, ipv6)),
      port,
      port,
      fc.uint8Array(),
      (version, [source, destination], sourcePort, destinationPort, rest) => {
        const header = writeProxyHeader(version, ends(source, sourcePort, destination, destinationPort));
        const all = Buffer.concat([header, rest]);
        for (let length = 0; length < header.length; length++) assert.equal(readProxyHeader(all.subarray(0, length)), 'more', `${length} bytes`);
        const expected = ends(canonicalAddress(source) as string, sourcePort, canonicalAddress(destination) as string, destinationPort);
        for (const length of [header.length, all.length]) assert.deepEqual(readProxyHeader(all.subarray(0, length)), { length: header.length, ends: expected });
      },
    ),
  );
});

test('ends of two families are written as IPv6, and mean the same', () => {
  for (const version of ['V1', 'V2'] as const) {
    const header = writeProxyHeader(version, ends('192.0.2.7', 1, '2001:db8::1', 2));
    assert.deepEqual(readProxyHeader(header), { length: header.length, ends: ends('192.0.2.7', 1, '2001:db8::1', 2) });
  }
  assert.equal(String(writeProxyHeader('V1', ends('192.0.2.7', 1, '2001:db8::1', 2))), 'PROXY TCP6 ::ffff:c000:207 2001:db8::1 1 2\r\n');
});

test('nobody to speak of is UNKNOWN, or LOCAL', () => {
  for (const none of [undefined, ends('', 0, '198.51.100.1', 443)]) {
    assert.equal(String(writeProxyHeader('V1', none)), 'PROXY UNKNOWN\r\n');
    assert.equal(writeProxyHeader('V2', none).toString('hex'), `${SIGNATURE}20000000`);
  }
});

test('never throws, and once it has judged, more bytes change nothing', () => {
  const begin = fc.constantFrom(
    Buffer.alloc(0),
    Buffer.from('PROXY '),
    Buffer.from('PROXY TCP4 '),
    Buffer.from(`${SIGNATURE}2111`, 'hex'),
    Buffer.from(SIGNATURE, 'hex'),
  );
  fc.assert(
    fc.property(begin, fc.uint8Array({ maxLength: 200 }), (start, junk) => {
      const bytes = Buffer.concat([start, junk]);
      const whole = readProxyHeader(bytes);
      for (let length = 0; length < bytes.length; length++) {
        const part = readProxyHeader(bytes.subarray(0, length));
        if (part !== 'more') assert.deepEqual(part, whole);
      }
      if (typeof whole === 'object') assert.ok(whole.length <= bytes.length);
    }),
    { numRuns: 500 },
  );
});

test('addresses: text to bytes and back is one text for one address', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const text = addressText(bytes, 0, 16);
      if (!text.includes(':')) return;
      assert.ok(isIPv6(text), text);
      assert.equal(addressBytes(text)?.compare(bytes), 0, text);
      assert.equal(canonicalAddress(text.toUpperCase()), text);
      // The URL standard writes addresses as RFC 5952 does, but for IPv4-mapped ones.
      assert.equal(new URL(`http://[${text}]/`).hostname, `[${text}]`);
    }),
  );
  for (const [given, text] of [
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:1:0:0:0:0:1', '0:0:1::1'],
    ['1:0:0:2:0:0:3:4', '1::2:0:0:3:4'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['::FFFF:10.0.0.1', '10.0.0.1'],
    ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
  ] as const) {
    assert.equal(canonicalAddress(given), text);
  }
  for (const none of ['', 'x', '1.2.3', 'fe80::1%1', '1:2']) assert.equal(canonicalAddress(none), undefined);
});
