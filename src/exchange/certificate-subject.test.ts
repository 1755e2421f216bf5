import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { Authority } from '../../test/certificates/authority.ts';
import { certificateSubject, normalSubject } from './certificate-subject.ts';

const authority = new Authority('root');

for (const [name, subject] of [
  ['client', 'CN=client'],
  ['a, CN=admin', 'CN=a\\, CN=admin'],
  ['a\nCN=admin', 'CN=a\\0ACN=admin'],
  ['a\r\nX-Admin: 1', 'CN=a\\0D\\0AX-Admin: 1'],
  ['a + OU=b', 'CN=a \\+ OU=b'],
  ['admin\0', 'CN=admin\\00'],
  ['admin\\', 'CN=admin\\\\'],
  [' admin', 'CN=\\ admin'],
  ['admin ', 'CN=admin\\ '],
  ['#admin', 'CN=\\#admin'],
  ['"a";<b>', 'CN=\\"a\\"\\;\\<b\\>'],
  ['ü€', 'CN=ü€'],
] as const) {
  test(`the name ${JSON.stringify(name)} is one line, part of nobody else's, and the same as it is written`, () => {
    const found = certificateSubject(new X509Certificate(authority.issue({ subject: name }).cert).subject);
    assert.equal(found, subject);
    assert.equal(normalSubject(subject), found);
  });
}

test('blanks around the parts of one that somebody has written do not count', () => {
  assert.equal(normalSubject(' CN = a b , O= c\\, d ,OU=e\\\\ '), 'CN=a b,O=c\\, d,OU=e\\\\');
});
