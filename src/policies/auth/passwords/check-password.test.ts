import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hashSync } from 'bcryptjs';
import { parseHtpasswd } from '../../../snapshot/htpasswd.ts';
import { checkPassword } from './check-password.ts';

/** Made by OpenSSL: scheme, password, hash. */
const HASHES: readonly (readonly [scheme: string, password: string, hash: string])[] = [
  ['apr1', 'secret', '$apr1$r31.....$G/cElGhD0cboYkZN5h5Ne/'],
  ['apr1, longer than a digest', 'a password of more than sixteen bytes', '$apr1$abcdefgh$EJvhw845MtIPi.xyhIm.Y/'],
  ['apr1, UTF-8', 'pässwörd', '$apr1$salt$Me1Ldlv5bVEKCy3ny1jpv1'],
  ['SHA-1', 'secret', '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ='],
];

describe('hashes of htpasswd files', () => {
  for (const [scheme, password, hash] of HASHES) {
    it(scheme, () => {
      assert.equal(parseHtpasswd(`user:${hash}`).users.get('user'), hash);
      assert.equal(checkPassword(hash, password), true);
      assert.equal(checkPassword(hash, `${password} `), false);
      assert.equal(checkPassword(hash, ''), false);
    });
  }

  it('bcrypt, as each program marks it', () => {
    const hash = hashSync('secret', 4);
    for (const mark of ['$2a$', '$2b$', '$2y$']) {
      assert.equal(checkPassword(mark + hash.slice(4), 'secret'), true);
      assert.equal(checkPassword(mark + hash.slice(4), 'Secret'), false);
    }
  });
});

describe('htpasswd files', () => {
  it('are read line by line, and what is no good is told without what stands there', () => {
    const sha = '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=';
    const text = [
      '# users',
      '',
      `alice:${sha}\r`,
      'bob:plain-text',
      `alice:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=`,
      `:${sha}`,
      'nobody',
      `carol:$2y$31$${'a'.repeat(53)}`,
    ]
      .concat(`d\u00c3\u00b6rte:${sha}:a remark`)
      .join('\n');
    const { users, flaws } = parseHtpasswd(text);
    assert.deepEqual(
      [...users],
      [
        ['alice', sha],
        ['dörte', sha],
      ],
    );
    assert.deepEqual(
      flaws.map(({ line }) => line),
      [4, 6, 7, 8],
    );
    assert.doesNotMatch(JSON.stringify(flaws), /plain-text/);
    assert.match(flaws[3]?.what ?? '', /cost 31/);
  });
});
