import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from '../../../../scripts/fast-check.ts';
import type { JwtRules } from '../../../snapshot/jwt.ts';
import { CellKeys } from './key-source.ts';
import { ASYMMETRIC, ec, ed25519, encode, goodClaims, ISSUER, jwkOf, NOW, octOf, type Pair, rsa, rules, setOf, tokenOf } from './tokens.fixture.ts';
import { JwtVerifier, KnownTokens } from './verifier.ts';

const p256 = ec();
const rsa2048 = rsa();
const PAIRS: Readonly<Record<string, Pair>> = { RS: rsa2048, PS: rsa2048, ES256: p256, ES384: ec('P-384'), ES512: ec('P-521'), Ed: ed25519() };
const pairOf = (algorithm: string): Pair => (PAIRS[algorithm] ?? PAIRS[algorithm.slice(0, 2)]) as Pair;
const set = setOf(jwkOf(p256, 'p256'), jwkOf(rsa2048, 'rsa'), jwkOf(pairOf('ES384'), 'p384'), jwkOf(pairOf('ES512'), 'p521'), jwkOf(pairOf('EdDSA'), 'ed'));

let scopes = 0;
async function judge(token: string, { keys = set, now = NOW, ...more }: Partial<JwtRules> & { keys?: string; now?: number } = {}): Promise<string> {
  const verifier = new JwtVerifier(rules(more), new CellKeys({ value: keys }), new KnownTokens(), String(scopes++), () => now * 1000);
  const outcome = await verifier.verify(token);
  return outcome.type === 'verified' ? 'verified' : outcome.reason;
}

const good = tokenOf(p256, { alg: 'ES256', kid: 'p256' });

describe('good tokens', () => {
  for (const algorithm of ASYMMETRIC) {
    test(algorithm, async () => {
      const token = tokenOf(pairOf(algorithm), { alg: algorithm });
      assert.equal(await judge(token), 'verified');
      assert.equal(await judge(token, { algorithms: ASYMMETRIC.filter((one) => one !== algorithm) }), 'token_algorithm');
    });
  }
  for (const [algorithm, bytes] of [
    ['HS256', 32],
    ['HS384', 48],
    ['HS512', 64],
  ] as const) {
    test(`${algorithm}, only when it is named, with a key as long as its hash`, async () => {
      const secret = 's'.repeat(bytes);
      const token = tokenOf(secret, { alg: algorithm });
      assert.equal(await judge(token, { keys: setOf(octOf(secret)), algorithms: [algorithm] }), 'verified');
      assert.equal(await judge(token, { keys: setOf(octOf(secret)) }), 'token_algorithm');
      const short = 's'.repeat(bytes - 1);
      assert.equal(await judge(tokenOf(short, { alg: algorithm }), { keys: setOf(octOf(short)), algorithms: [algorithm] }), 'unknown_key');
    });
  }
  test('without kid each fitting key is tried; with a kid that is there twice, each of them', async () => {
    const other = ec();
    assert.equal(await judge(tokenOf(p256, { alg: 'ES256' }), { keys: setOf(jwkOf(other, 'a'), jwkOf(rsa2048, 'b'), jwkOf(p256, 'c')) }), 'verified');
    assert.equal(await judge(tokenOf(p256, { alg: 'ES256', kid: 'a' }), { keys: setOf(jwkOf(other, 'a'), jwkOf(p256, 'a')) }), 'verified');
    assert.equal(await judge(tokenOf(p256, { alg: 'ES256', kid: 'a' }), { keys: setOf(jwkOf(other, 'a'), jwkOf(p256, 'b')) }), 'bad_signature');
    assert.equal(await judge(tokenOf(p256, { alg: 'ES256', kid: 'A' }), { keys: setOf(jwkOf(p256, 'a')) }), 'unknown_key');
  });
  test('EdDSA and Ed25519 are names of one algorithm, for keys as for tokens; each token has the name that is allowed', async () => {
    const pair = pairOf('EdDSA');
    for (const ofKey of [undefined, 'EdDSA', 'Ed25519']) {
      const keys = setOf(jwkOf(pair, 'ed', ofKey === undefined ? {} : { alg: ofKey }));
      for (const alg of ['EdDSA', 'Ed25519']) assert.equal(await judge(tokenOf(pair, { alg, kid: 'ed' }), { keys }), 'verified', `${ofKey} ${alg}`);
      assert.equal(await judge(tokenOf(pair, { alg: 'Ed25519' }), { keys, algorithms: ['EdDSA'] }), 'token_algorithm');
    }
    const other = setOf({ ...jwkOf(pair), crv: 'Ed448', alg: 'Ed25519' });
    assert.equal(await judge(tokenOf(pair, { alg: 'Ed25519' }), { keys: other }), 'unknown_key');
  });
  for (const typ of ['JWT', 'jwt', 'at+jwt', 'application/at+jwt']) {
    test(`of type ${typ}`, async () => assert.equal(await judge(tokenOf(p256, { alg: 'ES256', typ })), 'verified'));
  }
  test('claims come as they are', async () => {
    const claims = { ...goodClaims, scope: 'a b', nested: { __proto__: 1, list: [1, 'x', null] }, ü: '€' };
    const outcome = await new JwtVerifier(rules(), new CellKeys({ value: set }), new KnownTokens(), '', () => NOW * 1000).verify(
      tokenOf(p256, { alg: 'ES256' }, claims),
    );
    assert.deepEqual(outcome, { type: 'verified', claims });
  });
});

/** RFC 8725, by section, and what else there is. */
const bad: readonly (readonly [what: string, token: () => string, reason: string, options?: Parameters<typeof judge>[1]])[] = [
  // 2.1, 3.1: the algorithm.
  ...['none', 'None', 'NONE', 'nOnE', ''].flatMap((alg) => [
    [`alg "${alg}" without a signature`, () => `${encode({ alg })}.${encode(goodClaims)}.`, 'token_algorithm'] as const,
    [`alg "${alg}" with one`, () => tokenOf(p256, { alg }, goodClaims, 'ES256'), 'token_algorithm'] as const,
  ]),
  ['alg none, though somebody lists it', () => `${encode({ alg: 'none' })}.${encode(goodClaims)}.`, 'token_malformed', { algorithms: ['none'] }],
  ['alg none with any signature, though somebody lists it', () => tokenOf(p256, { alg: 'none' }, goodClaims, 'ES256'), 'unknown_key', { algorithms: ['none'] }],
  ['no alg', () => tokenOf(p256, {}, goodClaims, 'ES256'), 'token_malformed'],
  ['alg is a number', () => tokenOf(p256, { alg: 1 }, goodClaims, 'ES256'), 'token_malformed'],
  ['alg is a list', () => tokenOf(p256, { alg: ['ES256'] }, goodClaims, 'ES256'), 'token_malformed'],
  ['alg in lower case', () => tokenOf(p256, { alg: 'es256' }, goodClaims, 'ES256'), 'token_algorithm'],
  ['alg ES256K', () => tokenOf(ec('secp256k1'), { alg: 'ES256K' }, goodClaims, 'ES256'), 'token_algorithm'],
  [
    'HMAC with the text of a public key',
    () => tokenOf(rsa2048.publicKey.export({ format: 'pem', type: 'spki' }) as string, { alg: 'HS256', kid: 'rsa' }),
    'token_algorithm',
  ],
  [
    'the same where HMAC is named',
    () => tokenOf(rsa2048.publicKey.export({ format: 'pem', type: 'spki' }) as string, { alg: 'HS256', kid: 'rsa' }),
    'unknown_key',
    { algorithms: ['RS256', 'HS256'] },
  ],
  [
    'HMAC with the DER of a public key',
    () => tokenOf(rsa2048.publicKey.export({ format: 'der', type: 'spki' }), { alg: 'HS256' }),
    'unknown_key',
    { algorithms: ['HS256'] },
  ],
  ['HMAC with a modulus', () => tokenOf(Buffer.from(jwkOf(rsa2048).n as string, 'base64url'), { alg: 'HS256' }), 'unknown_key', { algorithms: ['HS256'] }],
  ['HMAC with no key', () => tokenOf('', { alg: 'HS256' }), 'unknown_key', { algorithms: ['HS256'], keys: setOf(octOf('')) }],
  ['a key of another type by its kid', () => tokenOf(p256, { alg: 'ES256', kid: 'rsa' }), 'unknown_key'],
  ['an RSA key for PS where the key says RS', () => tokenOf(rsa2048, { alg: 'PS256' }), 'unknown_key', { keys: setOf(jwkOf(rsa2048, 'a', { alg: 'RS256' })) }],
  [
    'a curve that is not that of the algorithm',
    () => tokenOf(pairOf('ES384'), { alg: 'ES256' }, goodClaims, 'ES256'),
    'unknown_key',
    { keys: setOf(jwkOf(pairOf('ES384'))) },
  ],
  [
    'a key that is none, which says that it is one',
    () => tokenOf('s'.repeat(32), { alg: 'HS256' }),
    'unknown_key',
    { algorithms: ['HS256'], keys: setOf({ kty: 'oct', k: 's' }) },
  ],
  // 2.2, 3.5: weak keys.
  ['RSA of 1024 bits', () => tokenOf(weak, { alg: 'RS256' }), 'unknown_key', { keys: () => setOf(jwkOf(weak)) } as never],
  ['RSA of 2047 bits', () => tokenOf(almost, { alg: 'RS256' }), 'unknown_key', { keys: () => setOf(jwkOf(almost)) } as never],
  ['RSA with exponent 1', () => tokenOf(rsa2048, { alg: 'RS256' }), 'unknown_key', { keys: setOf(jwkOf(rsa2048, 'a', { e: 'AQ' })) }],
  ['a short key of HMAC', () => tokenOf('secret', { alg: 'HS256' }), 'unknown_key', { algorithms: ['HS256'], keys: setOf(octOf('secret')) }],
  // 3.4: a point that is not on its curve.
  ['a point that is none', () => good, 'bad_signature', { keys: setOf({ ...jwkOf(p256, 'p256'), y: jwkOf(p256).x }) }],
  // 3.10: keys that the token brings along.
  ['its own key in jwk', () => tokenOf(stranger, { alg: 'ES256', jwk: jwkOf(stranger) }), 'bad_signature'],
  ['its own key in jwk with a kid', () => tokenOf(stranger, { alg: 'ES256', jwk: jwkOf(stranger, 'mine'), kid: 'mine' }), 'unknown_key'],
  ['its own key in jwk beside a known kid', () => tokenOf(stranger, { alg: 'ES256', jwk: jwkOf(stranger, 'p256'), kid: 'p256' }), 'bad_signature'],
  ['jku', () => tokenOf(stranger, { alg: 'ES256', jku: 'http://127.0.0.1:1/keys', kid: 'x' }), 'unknown_key'],
  ['x5u', () => tokenOf(stranger, { alg: 'ES256', x5u: 'http://127.0.0.1:1/chain' }), 'bad_signature'],
  ['x5c', () => tokenOf(stranger, { alg: 'ES256', x5c: ['MIIB'] }), 'bad_signature'],
  // 3.10: kid is a look-up and nothing else.
  ...['../../../../dev/null', "' OR 1=1 --", '$(id)', 'http://169.254.169.254/', '__proto__', 'constructor', '0', ''].map(
    (kid) => [`kid ${JSON.stringify(kid)}`, () => tokenOf(stranger, { alg: 'ES256', kid }), 'unknown_key'] as const,
  ),
  ['kid is a number', () => tokenOf(p256, { alg: 'ES256', kid: 1 }), 'token_malformed'],
  ['kid is null', () => tokenOf(p256, { alg: 'ES256', kid: null }), 'token_malformed'],
  ['kid is an object', () => tokenOf(p256, { alg: 'ES256', kid: {} }), 'token_malformed'],
  ['a kid without end', () => tokenOf(p256, { alg: 'ES256', kid: 'k'.repeat(1025) }), 'token_malformed'],
  // RFC 7515 section 4.1.11.
  ['crit', () => tokenOf(p256, { alg: 'ES256', crit: ['exp'], exp: 1 }), 'token_critical'],
  ['an empty crit', () => tokenOf(p256, { alg: 'ES256', crit: [] }), 'token_critical'],
  ['b64 false', () => tokenOf(p256, { alg: 'ES256', b64: false, crit: ['b64'] }), 'token_critical'],
  ['b64 false without crit', () => tokenOf(p256, { alg: 'ES256', b64: false }), 'token_critical'],
  // 3.11: types.
  ...['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'JWE', '', 'at+jwt ', 'JWT\u0000'].map(
    (typ) => [`type ${JSON.stringify(typ)}`, () => tokenOf(p256, { alg: 'ES256', typ }), 'token_type'] as const,
  ),
  ['a type that is no text', () => tokenOf(p256, { alg: 'ES256', typ: 1 }), 'token_type'],
  // Nested and encrypted.
  ['nested', () => tokenOf(p256, { alg: 'ES256', cty: 'JWT' }, good), 'token_nested'],
  ['encrypted', () => `${encode({ alg: 'dir', enc: 'A256GCM' })}..a.b.c`, 'token_encrypted'],
  ['signed, says that it is encrypted', () => tokenOf(p256, { alg: 'ES256', enc: 'A256GCM' }), 'token_encrypted'],
  ['compressed', () => tokenOf(p256, { alg: 'ES256', zip: 'DEF' }), 'token_encrypted'],
  ['in the JSON form', () => JSON.stringify({ payload: 'e30', signatures: [] }), 'token_malformed'],
  // 3.6, 3.8, 3.9: claims.
  ...(['exp', 'nbf', 'iat'] as const).flatMap((name) =>
    ['"1800000000"', 'null', 'true', '[1800000000]', '{}', '-1', '1e400', '1e20', '1800000000000', '253402300800'].map(
      (value) =>
        [
          `${name}: ${value}`,
          () => tokenOf(p256, { alg: 'ES256' }, JSON.stringify({ ...goodClaims, [name]: 0 }).replace(`"${name}":0`, `"${name}":${value}`)),
          'claim_malformed',
        ] as const,
    ),
  ),
  ['exp: NaN', () => tokenOf(p256, { alg: 'ES256' }, '{"exp":NaN}'), 'token_malformed'],
  ['expired', () => tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, exp: NOW - 30 }), 'token_expired'],
  ['expired at the very second', () => tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, exp: NOW }), 'token_expired', { clockSkew: 0 }],
  ['exp: 0', () => tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, exp: 0 }), 'token_expired'],
  ['not yet', () => tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, nbf: NOW + 31 }), 'token_not_yet_valid'],
  ['issued in the future', () => tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, iat: NOW + 31 }), 'token_not_yet_valid'],
  ...[undefined, '', `${ISSUER}/`, ISSUER.toUpperCase(), 'https://id.example.com.evil.org', [ISSUER], null, 1].map(
    (iss) => [`iss: ${JSON.stringify(iss)}`, () => tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, iss }), 'wrong_issuer'] as const,
  ),
  ...[undefined, '', 'shop2', 'SHOP', [], ['other'], 'other shop'].map(
    (aud) => [`aud: ${JSON.stringify(aud)}`, () => tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, aud }), 'wrong_audience'] as const,
  ),
  ...[null, 1, {}, ['shop', 1], [['shop']], { shop: true }].map(
    (aud) => [`aud: ${JSON.stringify(aud)}`, () => tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, aud }), 'claim_malformed'] as const,
  ),
  ['sub is a number', () => tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, sub: 1 }), 'claim_malformed'],
  // 2.6, 3.7 and JSON.
  ['a claim twice', () => tokenOf(p256, { alg: 'ES256' }, `{"exp":1,${JSON.stringify(goodClaims).slice(1)}`), 'token_malformed'],
  ['a claim twice, once escaped', () => tokenOf(p256, { alg: 'ES256' }, `{"\\u0065xp":1,${JSON.stringify(goodClaims).slice(1)}`), 'token_malformed'],
  [
    'a member twice within a claim',
    () => tokenOf(p256, { alg: 'ES256' }, JSON.stringify({ ...goodClaims, x: 0 }).replace('"x":0', '"x":[{"a":1,"a":1}]')),
    'token_malformed',
  ],
  ['alg twice', () => tokenOf(p256, '{"alg":"none","alg":"ES256"}', goodClaims, 'ES256'), 'token_malformed'],
  ['a header that is a list', () => tokenOf(p256, '["ES256"]', goodClaims, 'ES256'), 'token_malformed'],
  ['claims that are a text', () => tokenOf(p256, { alg: 'ES256' }, '"ada"'), 'token_malformed'],
  ['claims that are null', () => tokenOf(p256, { alg: 'ES256' }, 'null'), 'token_malformed'],
  ['claims that are no JSON', () => tokenOf(p256, { alg: 'ES256' }, 'sub=ada'), 'token_malformed'],
  ['a byte order mark', () => tokenOf(p256, { alg: 'ES256' }, `\ufeff${JSON.stringify(goodClaims)}`), 'token_malformed'],
  ['claims that are no UTF-8', () => `${encode({ alg: 'ES256' })}.${Buffer.from('{"sub":"\xff"}', 'latin1').toString('base64url')}.AAAA`, 'token_malformed'],
  ['a thousand lists in each other', () => tokenOf(p256, { alg: 'ES256' }, `{"x":${'['.repeat(1000)}${']'.repeat(1000)}}`), 'token_malformed'],
  // RFC 7515 section 2: base64url.
  ['padding', () => `${good}==`, 'token_malformed'],
  ['padding within', () => good.replace('.', '=.'), 'token_malformed'],
  ['a space behind', () => `${good} `, 'token_malformed'],
  ['a line end within', () => `${good.slice(0, 10)}\n${good.slice(10)}`, 'token_malformed'],
  [
    'the other alphabet',
    () =>
      `${tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, x: '>>>???' })
        .replaceAll('-', '+')
        .replaceAll('_', '/')}+`,
    'token_malformed',
  ],
  ['unused bits', () => unusedBits(good), 'token_malformed'],
  ['two parts', () => good.slice(0, good.lastIndexOf('.')), 'token_malformed'],
  ['four parts', () => `${good}.e30`, 'token_malformed'],
  ['six parts', () => `${good}.a.b.c`, 'token_malformed'],
  ['many parts', () => '.'.repeat(10_000), 'token_malformed'],
  ['nothing', () => '', 'token_malformed'],
  ['two tokens', () => `${good}${good}`, 'token_encrypted'],
  ['without its signature', () => good.slice(0, good.lastIndexOf('.') + 1), 'token_malformed'],
  ['too long', () => tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, x: 'x'.repeat(13_000) }), 'token_too_long'],
  // Signatures.
  ["another's signature", () => tokenOf(stranger, { alg: 'ES256', kid: 'p256' }), 'bad_signature'],
  ['a signature of zeros', () => `${good.slice(0, good.lastIndexOf('.') + 1)}${Buffer.alloc(64).toString('base64url')}`, 'bad_signature'],
  ['a DER signature', () => derSigned(), 'bad_signature'],
  ['the signature of other claims', () => `${encode({ alg: 'ES256' })}.${encode({ ...goodClaims, sub: 'eve' })}.${good.split('.')[2]}`, 'bad_signature'],
  // Keys that are not for signatures.
  ['a key for encryption', () => good, 'unknown_key', { keys: setOf(jwkOf(p256, 'p256', { use: 'enc' })) }],
  ['a key that only signs', () => good, 'unknown_key', { keys: setOf(jwkOf(p256, 'p256', { key_ops: ['sign'] })) }],
  ['an empty set', () => good, 'unknown_key', { keys: setOf() }],
  ['a set of odd things', () => good, 'unknown_key', { keys: setOf(null as never, 1 as never, [], { kty: 'EC' }, { kty: 1 }, { kty: 'RSA', n: '', e: '' }) }],
  ['no set', () => good, 'keys_unavailable', { keys: '{"keys":{}}' }],
  ['no JSON for a set', () => good, 'keys_unavailable', { keys: '<html>' }],
];

const weak = rsa(1024);
const almost = rsa(2047);
const stranger = ec();

function unusedBits(token: string): string {
  // A signature of 64 bytes ends in a character of which four bits are not used.
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1) as string) + 1];
}

function derSigned(): string {
  const { privateKey } = p256;
  const input = `${encode({ alg: 'ES256', kid: 'p256' })}.${encode(goodClaims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`;
}

describe('bad tokens', () => {
  for (const [what, token, reason, options] of bad) {
    test(what, async () => {
      const { keys, ...more } = (options ?? {}) as { keys?: string | (() => string) };
      assert.equal(await judge(token(), { ...more, ...(keys === undefined ? {} : { keys: typeof keys === 'string' ? keys : keys() }) }), reason);
    });
  }
});

describe('times', () => {
  const { exp: _, nbf: __, iat: ___, ...timeless } = goodClaims;
  test('none is asked for', async () => assert.equal(await judge(tokenOf(p256, { alg: 'ES256' }, timeless)), 'verified'));
  test('fractions of a second', async () => {
    const token = tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, exp: NOW + 0.5 });
    assert.equal(await judge(token, { clockSkew: 0 }), 'verified');
    assert.equal(await judge(token, { clockSkew: 0, now: NOW + 0.5 }), 'token_expired');
  });
  test('within the skew', async () => {
    assert.equal(await judge(tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, exp: NOW - 29 })), 'verified');
    assert.equal(await judge(tokenOf(p256, { alg: 'ES256' }, { ...goodClaims, nbf: NOW + 30, iat: NOW + 30 })), 'verified');
  });
  test('audiences: none asked for, several named', async () => {
    assert.equal(await judge(tokenOf(p256, { alg: 'ES256' }, { ...timeless, aud: undefined }), { audiences: [] }), 'verified');
    assert.equal(await judge(tokenOf(p256, { alg: 'ES256' }, { ...timeless, aud: ['x', 'b'] }), { audiences: ['a', 'b'] }), 'verified');
    assert.equal(await judge(tokenOf(p256, { alg: 'ES256' }, { ...timeless, aud: 7 }), { audiences: [] }), 'claim_malformed');
  });
});

describe('mutations', () => {
  const tokens = [
    good,
    tokenOf(rsa2048, { alg: 'RS256', kid: 'rsa' }),
    tokenOf(pairOf('EdDSA'), { alg: 'EdDSA' }),
    tokenOf(p256, { alg: 'ES256' }, { iss: ISSUER, aud: 'shop' }),
  ];
  const character = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\u0000é');
  const edit = fc.oneof(
    fc.record({ type: fc.constant('put' as const), at: fc.nat(), by: character }),
    fc.record({ type: fc.constant('insert' as const), at: fc.nat(), by: character }),
    fc.record({ type: fc.constant('remove' as const), at: fc.nat(), length: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ type: fc.constant('part' as const), at: fc.nat(), of: fc.nat() }),
    fc.record({ type: fc.constant('swap' as const), at: fc.nat() }),
  );
  const known = new KnownTokens();
  const verifier = new JwtVerifier(rules({ algorithms: [...ASYMMETRIC, 'HS256'] }), new CellKeys({ value: set }), known, '', () => NOW * 1000);

  test('of a valid token none is accepted', async () => {
    for (const token of tokens) assert.equal((await verifier.verify(token)).type, 'verified');
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...tokens), fc.array(edit, { minLength: 1, maxLength: 3 }), async (token, edits) => {
        let text = token;
        for (const one of edits) text = apply(text, one);
        const outcome = await verifier.verify(text);
        assert.equal(outcome.type, tokens.includes(text) ? 'verified' : 'refused', text);
      }),
      { numRuns: 3000 },
    );
  });

  function apply(token: string, one: typeof edit extends fc.Arbitrary<infer Edit> ? Edit : never): string {
    const at = one.at % (token.length + 1);
    switch (one.type) {
      case 'put':
        return token.slice(0, at) + one.by + token.slice(at + 1);
      case 'insert':
        return token.slice(0, at) + one.by + token.slice(at);
      case 'remove':
        return token.slice(0, at) + token.slice(at + one.length);
      case 'part': {
        const parts = token.split('.');
        const others = (tokens[one.of % tokens.length] as string).split('.');
        const which = one.at % 3;
        return parts.with(Math.min(which, parts.length - 1), others[which] as string).join('.');
      }
      case 'swap':
        return token.slice(0, at) + (token[at + 1] ?? '') + (token[at] ?? '') + token.slice(at + 2);
    }
  }
});

test('a private key in a set is its public key', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = privateKey.export({ format: 'jwk' });
  assert.equal(await judge(tokenOf({ privateKey, publicKey: privateKey }, { alg: 'ES256' }), { keys: setOf(jwk) }), 'verified');
});
