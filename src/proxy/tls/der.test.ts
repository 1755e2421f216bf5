import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as der from './der.ts';

const hex = (bytes: Buffer) => bytes.toString('hex');

describe('DER', () => {
  it('writes lengths in the short and the long form', () => {
    assert.equal(hex(der.octetString(Buffer.alloc(0))), '0400');
    assert.equal(hex(der.octetString(Buffer.alloc(127)).subarray(0, 2)), '047f');
    assert.equal(hex(der.octetString(Buffer.alloc(128)).subarray(0, 3)), '048180');
    assert.equal(hex(der.octetString(Buffer.alloc(256)).subarray(0, 4)), '04820100');
    assert.equal(hex(der.octetString(Buffer.alloc(65_536)).subarray(0, 5)), '0483010000');
  });

  it('writes integers as short as they go, and never negative', () => {
    assert.equal(hex(der.unsignedInteger(Buffer.from([0]))), '020100');
    assert.equal(hex(der.unsignedInteger(Buffer.from([0, 0, 0x7f]))), '02017f');
    assert.equal(hex(der.unsignedInteger(Buffer.from([0x80]))), '02020080');
    assert.equal(hex(der.unsignedInteger(Buffer.from([0, 0xff, 1]))), '020300ff01');
  });

  it('writes object identifiers', () => {
    // The example of X.690 section 8.19.5, and RFC 8017's sha256WithRSAEncryption.
    assert.equal(hex(der.objectIdentifier('2.999.3')), '0603883703');
    assert.equal(hex(der.objectIdentifier('1.2.840.113549.1.1.11')), '06092a864886f70d01010b');
  });

  it('writes dates up to 2049 and from 2050 on in their two ways', () => {
    assert.equal(hex(der.time(new Date('2049-12-31T23:59:59Z'))), `170d${Buffer.from('491231235959Z').toString('hex')}`);
    assert.equal(hex(der.time(new Date('2050-01-01T00:00:00.999Z'))), `180f${Buffer.from('20500101000000Z').toString('hex')}`);
  });

  it('nests', () => {
    assert.equal(hex(der.sequence(der.bool(true), der.setOf(der.utf8String('é')))), '3009' + '0101ff' + '3104' + '0c02c3a9');
    assert.equal(hex(der.explicit(3, der.bool(false))), 'a303010100');
    assert.equal(hex(der.implicit(2, Buffer.from('a'))), '820161');
    assert.equal(hex(der.bitString(Buffer.from([0x80]))), '03020080');
  });
});
