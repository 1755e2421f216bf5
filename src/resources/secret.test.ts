import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { decode } from './decode.ts';
import { type Fields, metadata } from './testdata/objects.ts';

describe('Secret', () => {
  const read = (file: string): string => readFileSync(join(import.meta.dirname, '../wire/testdata', file), 'utf8');
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const secret = (fields: Fields): Fields => ({ apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', ...fields });
  const good = secret({ data: { 'tls.crt': base64(read('rsa.crt')), 'tls.key': base64(read('rsa.key')) } });
  const tlsOf = (raw: unknown, now?: number) =>
    (decode(raw, now === undefined ? {} : { now })?.object as { tls?: { keyType: string; dnsNames: string[]; chain: string } } | undefined)?.tls;

  test('a pair, from data or stringData', () => {
    assert.equal(tlsOf(good)?.keyType, 'RSA');
    assert.deepEqual(tlsOf(good)?.dnsNames, ['rsa.test', 'localhost']);
    const plain = tlsOf(secret({ stringData: { 'tls.crt': `about it\n${read('ecdsa.crt')}`, 'tls.key': read('ecdsa.key') } }));
    assert.equal(plain?.keyType, 'ECDSA');
    assert.match(plain?.chain ?? '', /^-----BEGIN/);
  });

  test('stringData wins over data, and base64 may be broken into lines', () => {
    const crossed = secret({
      data: { 'tls.crt': base64(read('rsa.crt')).replace(/.{64}/g, '$&\n'), 'tls.key': base64(read('ecdsa.key')) },
      stringData: { 'tls.key': read('rsa.key') },
    });
    assert.equal(tlsOf(crossed)?.keyType, 'RSA');
  });

  test('no key shows in what is printed', () => {
    const text = `${JSON.stringify(decode(good))} ${Object.values(decode(good) ?? {}).join(' ')}`;
    assert.doesNotMatch(text, /PRIVATE/);
    assert.match(text, /redacted/);
  });

  const bad: readonly (readonly [string, Fields, string, RegExp])[] = [
    ['no certificate', { data: { 'tls.key': base64(read('rsa.key')) } }, 'data["tls.crt"]', /needs "tls.crt"/],
    ['no key', { data: { 'tls.crt': base64(read('rsa.crt')) } }, 'data["tls.key"]', /needs "tls.key"/],
    ['no base64', { data: { 'tls.crt': '-----', 'tls.key': base64('x') } }, 'data["tls.crt"]', /not base64/],
    ['no PEM', { data: { 'tls.crt': base64('hello'), 'tls.key': base64(read('rsa.key')) } }, 'data["tls.crt"]', /no PEM certificate/],
    [
      'a broken certificate',
      { stringData: { 'tls.crt': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 'tls.key': 'x' } },
      'stringData["tls.crt"]',
      /certificate 1/,
    ],
    ['a broken key', { stringData: { 'tls.crt': read('rsa.crt'), 'tls.key': 'x' } }, 'stringData["tls.key"]', /no private key/],
    ["another certificate's key", { stringData: { 'tls.crt': read('rsa.crt'), 'tls.key': read('ecdsa.key') } }, 'stringData["tls.key"]', /does not match/],
    ['a number', { stringData: { 'tls.crt': 123_456, 'tls.key': 'x' } }, 'stringData["tls.crt"]', /must be a string, not a number/],
  ];
  for (const [what, fields, field, message] of bad) {
    test(what, () => {
      const decoded = decode(secret(fields));
      assert.deepEqual(
        decoded?.problems.map((problem) => problem.field),
        [field],
      );
      assert.match(decoded?.problems[0]?.message ?? '', message);
      assert.doesNotMatch(JSON.stringify(decoded?.problems), /123456/);
      assert.equal(decoded?.object, undefined);
    });
  }

  test('a key that no TLS library takes: RSA of 1024 bits', () => {
    const decoded = decode(
      secret({ stringData: { 'tls.crt': read('../../resources/testdata/rsa-1024.crt'), 'tls.key': read('../../resources/testdata/rsa-1024.key') } }),
    );
    assert.deepEqual(
      decoded?.problems.map(({ field, message }) => [field, message]),
      [['stringData["tls.crt"]', 'no TLS with this certificate and key: ee key too small']],
    );
  });

  test('a chain in the wrong order is told so', () => {
    const decoded = decode(secret({ stringData: { 'tls.crt': read('ecdsa.crt') + read('rsa.crt'), 'tls.key': read('rsa.key') } }));
    assert.match(decoded?.problems[0]?.hint ?? '', /leaf certificate first/);
  });

  test('expired, or not valid yet: a warning, by the time given', () => {
    const problems = (now?: number) => decode(good, now === undefined ? {} : { now })?.problems.map(({ severity, message }) => `${severity} ${message}`);
    assert.deepEqual(problems(), []);
    assert.deepEqual(problems(Date.parse('2100-01-01')), []);
    assert.match(problems(Date.parse('2200-01-01'))?.[0] ?? '', /^warning the certificate expired at 2126-/);
    assert.match(problems(0)?.[0] ?? '', /^warning the certificate is not valid before 2026-/);
    assert.ok(decode(good, { now: 0 })?.object, 'it serves all the same');
  });

  test('a Secret of another type is taken, whatever it holds', () => {
    assert.deepEqual(decode(secret({ type: 'Opaque', data: { a: 'AAEC' } }))?.problems, []);
  });
});
