/** From the second token of a key on signatures are checked at once where that is quick: with the same result as by jose. */
import assert from 'node:assert/strict';
import { constants, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import { importJWK } from 'jose';
import { CellKeys } from './key-source.ts';
import { quickCheckOf } from './quick-check.ts';
import { ec, ed25519, encode, goodClaims, jwkOf, NOW, octOf, type Pair, rsa, rules, setOf, tokenOf } from './tokens.fixture.ts';
import { JwtVerifier, KnownTokens } from './verifier.ts';

const [rsaPair, otherRsa] = [rsa(), rsa()];
const [ecPair, otherEc] = [ec(), ec()];
const [edPair, otherEd] = [ed25519(), ed25519()];
const [secret, otherSecret] = ['s'.repeat(64), 't'.repeat(64)];

type Key = Pair | string;
const QUICK: readonly (readonly [algorithm: string, key: Key, other: Key])[] = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'].map((algorithm) => [algorithm, rsaPair, otherRsa] as const),
  ['ES256', ecPair, otherEc],
  ['EdDSA', edPair, otherEd],
  ['Ed25519', edPair, otherEd],
  ...['HS256', 'HS384', 'HS512'].map((algorithm) => [algorithm, secret, otherSecret] as const),
];

/** A verifier whose key has been used, and that knows no other token. */
async function used(algorithm: string, key: Key, ...more: object[]): Promise<JwtVerifier> {
  const jwk = typeof key === 'string' ? octOf(key) : jwkOf(key);
  const verifier = new JwtVerifier(rules({ algorithms: [algorithm] }), new CellKeys({ value: setOf(jwk, ...more) }), new KnownTokens(), '', () => NOW * 1000);
  assert.equal((await verifier.verify(tokenOf(key, { alg: algorithm }, { ...goodClaims, sub: 'first' }))).type, 'verified');
  return verifier;
}

/** What becomes of a token at once. */
function atOnce(verifier: JwtVerifier, token: string): string {
  const outcome = verifier.verify(token);
  if (outcome instanceof Promise) return 'later';
  return outcome.type === 'verified' ? 'verified' : outcome.reason;
}

const withSignature = (token: string, signature: Buffer): string => `${token.slice(0, token.lastIndexOf('.') + 1)}${signature.toString('base64url')}`;

for (const [algorithm, key, other] of QUICK) {
  describe(algorithm, () => {
    const good = tokenOf(key, { alg: algorithm });
    const signature = Buffer.from(good.slice(good.lastIndexOf('.') + 1), 'base64url');

    test('a good token is taken at once, and known then', async () => {
      const verifier = await used(algorithm, key);
      assert.deepEqual([atOnce(verifier, good), atOnce(verifier, good)], ['verified', 'verified']);
    });
    test('what is not signed is refused, and so a second time', async () => {
      const verifier = await used(algorithm, key);
      const flipped = Array.from({ length: signature.length }, (_, at) =>
        withSignature(good, Buffer.from(signature.with(at, (signature[at] as number) ^ 0x01))),
      );
      const bad = [
        ...flipped,
        withSignature(good, signature.subarray(0, -1)),
        withSignature(good, signature.subarray(1)),
        withSignature(good, Buffer.concat([signature, Buffer.alloc(1)])),
        withSignature(good, Buffer.concat([Buffer.alloc(1), signature])),
        withSignature(good, Buffer.alloc(signature.length)),
        withSignature(good, Buffer.alloc(1)),
        withSignature(good, Buffer.alloc(1000, 0xff)),
        withSignature(tokenOf(key, { alg: algorithm }, { ...goodClaims, sub: 'eve' }), signature),
        tokenOf(other, { alg: algorithm }),
      ];
      for (const token of [...bad, ...bad]) assert.equal(atOnce(verifier, token), 'bad_signature', token);
      assert.equal(atOnce(verifier, good), 'verified');
    });
  });
}

test('ES256: a signature in DER is none', async () => {
  const input = `${encode({ alg: 'ES256' })}.${encode(goodClaims)}`;
  const token = `${input}.${sign('sha256', Buffer.from(input), ecPair.privateKey).toString('base64url')}`;
  assert.equal(atOnce(await used('ES256', ecPair), token), 'bad_signature');
});

test('PS256: a signature without its leading zero is none, at once or later', async () => {
  const sub = 'first';
  const algorithm = 'PS256';
  let token = '';
  // Each has another salt; one of 256 begins with a zero.
  for (let signature = Buffer.of(1); signature[0] !== 0; ) {
    token = tokenOf(rsaPair, { alg: algorithm }, { ...goodClaims, sub });
    signature = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url');
  }
  const short = withSignature(token, Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url').subarray(1));
  const fresh = new JwtVerifier(rules({ algorithms: [algorithm] }), new CellKeys({ value: setOf(jwkOf(rsaPair)) }), new KnownTokens(), '', () => NOW * 1000);
  assert.deepEqual(await fresh.verify(short), { type: 'refused', reason: 'bad_signature' });
  const verifier = await used(algorithm, rsaPair);
  assert.deepEqual([atOnce(verifier, short), atOnce(verifier, token)], ['bad_signature', 'verified']);
});

test('PS256: the salt is as long as the hash, and the padding that of PSS', async () => {
  const verifier = await used('PS256', rsaPair);
  const input = `${encode({ alg: 'PS256' })}.${encode(goodClaims)}`;
  for (const saltLength of [0, 20, 64]) {
    const key = { key: rsaPair.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
    assert.equal(atOnce(verifier, `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`), 'bad_signature', `${saltLength}`);
  }
  assert.equal(atOnce(verifier, tokenOf(rsaPair, { alg: 'PS256' }, goodClaims, 'RS256')), 'bad_signature');
});

test('what takes long is done by another thread: larger curves, long keys, several keys that it may be', async () => {
  for (const [algorithm, pair] of [
    ['ES384', ec('P-384')],
    ['ES512', ec('P-521')],
  ] as const) {
    const verifier = await used(algorithm, pair);
    const token = tokenOf(pair, { alg: algorithm });
    assert.equal(atOnce(verifier, token), 'later');
    assert.equal((await verifier.verify(token)).type, 'verified');
  }
  const verifier = await used('ES256', ecPair, jwkOf(otherEc));
  assert.equal(atOnce(verifier, tokenOf(otherEc, { alg: 'ES256' })), 'later');
  for (const [bytes, isQuick] of [
    [512, true],
    [513, false],
  ] as const) {
    const key = await importJWK({ kty: 'RSA', n: Buffer.alloc(bytes, 0xff).toString('base64url'), e: 'AQAB', alg: 'RS256' }, 'RS256');
    assert.equal(quickCheckOf('RS256', key as CryptoKey) !== undefined, isQuick);
  }
});

test('a key id that is not there is looked for, whatever is known of other keys', async () => {
  const verifier = await used('ES256', ecPair);
  const outcome = verifier.verify(tokenOf(ecPair, { alg: 'ES256', kid: 'new' }));
  assert.ok(outcome instanceof Promise);
  assert.deepEqual(await outcome, { type: 'refused', reason: 'unknown_key' });
});
