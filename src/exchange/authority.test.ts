import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { parseAuthority } from './authority.ts';

const good: readonly (readonly [string, string, number | undefined])[] = [
  ['example.com', 'example.com', undefined],
  ['Example.COM:8080', 'example.com', 8080],
  ['example.com.', 'example.com', undefined],
  ['example.com.:80', 'example.com', 80],
  ['example.com:', 'example.com', undefined],
  ['example.com:00080', 'example.com', 80],
  ['localhost', 'localhost', undefined],
  ['my_service-1', 'my_service-1', undefined],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example', undefined],
  ['1e100.net', '1e100.net', undefined],
  ['a.1b', 'a.1b', undefined],
  ['127.0.0.1', '127.0.0.1', undefined],
  ['127.0.0.1:65535', '127.0.0.1', 65535],
  ['[::1]', '[::1]', undefined],
  ['[2001:DB8::1]:443', '[2001:db8::1]', 443],
  ['[::ffff:10.0.0.1]:', '[::ffff:10.0.0.1]', undefined],
  [`${'a'.repeat(49)}.`.repeat(5).slice(0, -1), `${'a'.repeat(49)}.`.repeat(5).slice(0, -1), undefined],
];
for (const [text, host, port] of good) {
  test(`${text} is ${host} port ${port}`, () => assert.deepEqual(parseAuthority(text), { host, port }));
}

const bad = [
  '',
  '.',
  '..',
  '.a',
  'a..b',
  'a..',
  ':80',
  '.:80',
  'a:b',
  'a:80:80',
  'a:0',
  'a:65536',
  'a:123456',
  'a:-1',
  'a:+80',
  'a: 80',
  'user@a',
  'u:p@a',
  'a b',
  ' a',
  'a ',
  'a/b',
  'a?b',
  'a#b',
  'a\\b',
  'a%41',
  'a,b',
  "a'b",
  'a\u0000',
  'a\tb',
  'ä.example',
  'a\u00e4',
  '127.1',
  '1234',
  '0x7f.1',
  'a.0x1f',
  '256.0.0.1',
  '1.2.3.4.5',
  '01.2.3.4',
  '[',
  '[]',
  '[::1',
  '::1',
  '[::1]x',
  '[::1]80',
  '[::1]:x',
  '[::1%eth0]',
  '[fe80::1%25eth0]',
  '[v1.a]',
  '[1.2.3.4]',
  '[:::1]',
  'a]',
  'a[',
  'x'.repeat(254),
];
for (const text of bad) {
  test(`${JSON.stringify(text)} is refused`, () => assert.equal(parseAuthority(text), undefined));
}

test('what is accepted, URL reads as the same host and port', () => {
  const texts = fc
    .array(fc.constantFrom('a', 'B', '1', '0', '255', '.', '.', '-', '_', ':', '80', '[', ']', '::', '@', '%41', '0x1'), { maxLength: 9 })
    .map((list) => list.join(''));
  fc.assert(
    fc.property(texts, (text) => {
      const authority = parseAuthority(text);
      if (authority === undefined) return;
      const url = new URL(`ws://${text}/`);
      assert.equal(url.username, '');
      assert.equal(url.port === '' ? 80 : Number(url.port), authority.port ?? 80);
      if (!authority.host.startsWith('[')) assert.equal(url.hostname.replace(/\.$/, ''), authority.host);
    }),
    { numRuns: 10_000 },
  );
});
