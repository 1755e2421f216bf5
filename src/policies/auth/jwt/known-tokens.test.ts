/** What verifiers remember, and what they forget. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../../../scripts/fast-check.ts';
import type { DocumentState } from '../../../fetch/document-state.ts';
import { WorkerDocuments } from '../../../fetch/worker-documents.ts';
import { documentKey } from '../../../snapshot/documents.ts';
import { Secrets } from '../../secrets.ts';
import { TokenCache } from '../tokens/token-cache.ts';
import { CellKeys, DocumentKeys, SERVE_ON } from './key-source.ts';
import { ec, goodClaims, jwkOf, NOW, rules, setOf, tokenOf } from './tokens.fixture.ts';
import { type JwtOutcome, JwtVerifier, KnownTokens } from './verifier.ts';
import { JwtVerifiers } from './verifiers.ts';

const one = ec();
const two = ec();
const token = tokenOf(one, { alg: 'ES256', kid: 'one' });
const REQUEST = { kind: 'jwks', url: 'https://id.example.com/keys', cacheFor: 600_000 } as const;

const reason = (outcome: JwtOutcome): string => (outcome.type === 'verified' ? 'verified' : outcome.reason);

class Setting {
  readonly asked: string[] = [];
  readonly documents = new WorkerDocuments((key) => this.asked.push(key));
  readonly known = new KnownTokens();
  now = NOW * 1000;
  monotonic = 5_000_000;
  readonly verifier = new JwtVerifier(rules(), new DocumentKeys(this.documents, REQUEST, () => this.monotonic), this.known, 's', () => this.now);

  publish(keys: string | undefined, more: Partial<DocumentState> = {}): void {
    this.documents.publish({
      key: documentKey(REQUEST),
      text: keys,
      revision: keys === undefined ? 0 : 1,
      fetchedAt: this.monotonic,
      failure: undefined,
      refetchFrom: Number.NEGATIVE_INFINITY,
      ...more,
    });
  }
}

describe('a token that comes again', () => {
  test('is known, at once, until it expires', async () => {
    const setting = new Setting();
    setting.publish(setOf(jwkOf(one, 'one')));
    const first = setting.verifier.verify(token);
    assert.ok(first instanceof Promise);
    const outcome = await first;
    assert.equal(setting.verifier.verify(token), outcome);
    assert.equal(setting.known.verifications, 1);
    assert.equal(setting.known.hits, 1);
    setting.now = (goodClaims.exp + 29) * 1000;
    assert.equal(setting.verifier.verify(token), outcome);
    setting.now = (goodClaims.exp + 30) * 1000;
    assert.deepEqual(setting.verifier.verify(token), { type: 'refused', reason: 'token_expired' });
    assert.equal(setting.known.good.size, 0);
  });

  test('many times at once is verified once', async () => {
    const setting = new Setting();
    setting.publish(setOf(jwkOf(one, 'one')));
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => setting.verifier.verify(token)));
    assert.ok(outcomes.every((outcome) => outcome === outcomes[0] && outcome.type === 'verified'));
    assert.equal(setting.known.verifications, 1);
    assert.equal(setting.known.pending.size, 0);
  });

  test('and whose signature is bad is refused without another look, until the keys are others', async () => {
    const setting = new Setting();
    setting.publish(setOf(jwkOf(two, 'one')));
    assert.equal(reason(await setting.verifier.verify(token)), 'bad_signature');
    assert.deepEqual(setting.verifier.verify(token), { type: 'refused', reason: 'bad_signature' });
    assert.equal(setting.known.verifications, 1);
    setting.publish(setOf(jwkOf(one, 'one')), { revision: 2 });
    assert.equal(reason(await setting.verifier.verify(token)), 'verified');
  });

  test('is verified anew by new keys, and not by the same ones fetched anew', async () => {
    const setting = new Setting();
    const keys = setOf(jwkOf(one, 'one'));
    setting.publish(keys);
    const outcome = await setting.verifier.verify(token);
    setting.publish(keys, { fetchedAt: setting.monotonic + 1000 });
    assert.equal(setting.verifier.verify(token), outcome);
    setting.publish(setOf(jwkOf(two, 'two')), { revision: 2, refetchFrom: Number.POSITIVE_INFINITY });
    assert.equal(reason(await setting.verifier.verify(token)), 'unknown_key');
  });

  test("is nobody else's", async () => {
    const known = new KnownTokens();
    const keys = new CellKeys({ value: setOf(jwkOf(one, 'one')) });
    const of = (more: object, scope: string) => new JwtVerifier(rules(more), keys, known, scope, () => NOW * 1000);
    assert.equal(reason(await of({}, 'a').verify(token)), 'verified');
    assert.equal(reason(await of({ audiences: ['other'] }, 'b').verify(token)), 'wrong_audience');
  });
});

describe('keys of a document', () => {
  test('who comes before them waits', async () => {
    const setting = new Setting();
    const waiting = setting.verifier.verify(token);
    setting.publish(setOf(jwkOf(one, 'one')));
    assert.equal(reason(await waiting), 'verified');
    assert.deepEqual(setting.asked, []);
  });

  test('can not be had: nobody passes, until they are there', async () => {
    const setting = new Setting();
    const waiting = setting.verifier.verify(token);
    setting.publish(undefined, { failure: 'connect_failed' });
    assert.equal(reason(await waiting), 'keys_unavailable');
    assert.deepEqual(setting.verifier.verify(token), { type: 'unavailable', reason: 'keys_unavailable' });
    setting.publish(setOf(jwkOf(one, 'one')));
    assert.equal(reason(await setting.verifier.verify(token)), 'verified');
  });

  test('serve on for an hour past their time, for known tokens and new ones', async () => {
    const setting = new Setting();
    setting.publish(setOf(jwkOf(one, 'one')));
    const other = tokenOf(one, { alg: 'ES256', kid: 'one' }, { ...goodClaims, sub: 'bob' });
    await setting.verifier.verify(token);
    setting.monotonic += REQUEST.cacheFor + SERVE_ON - 1;
    assert.equal(reason(await setting.verifier.verify(token)), 'verified');
    assert.equal(reason(await setting.verifier.verify(other)), 'verified');
    setting.monotonic += 1;
    assert.equal(reason(await setting.verifier.verify(token)), 'keys_unavailable');
    assert.equal(reason(await setting.verifier.verify(other)), 'keys_unavailable');
    setting.publish(setOf(jwkOf(one, 'one')));
    assert.equal(reason(await setting.verifier.verify(token)), 'verified');
  });

  test('lack a kid: they are asked for anew, once for all', async () => {
    const setting = new Setting();
    setting.publish(setOf(jwkOf(two, 'two')));
    const waiting = [setting.verifier.verify(token), setting.verifier.verify(token), setting.verifier.verify(tokenOf(one, { alg: 'ES256', kid: 'three' }))];
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(setting.asked, [documentKey(REQUEST)]);
    setting.publish(setOf(jwkOf(two, 'two'), jwkOf(one, 'one')), { revision: 2, refetchFrom: Number.POSITIVE_INFINITY });
    assert.deepEqual((await Promise.all(waiting)).map(reason), ['verified', 'verified', 'unknown_key']);
    assert.equal(reason(await setting.verifier.verify(tokenOf(one, { alg: 'ES256', kid: 'four' }))), 'unknown_key');
    assert.equal(setting.asked.length, 1);
  });

  test('begin anew where no policy named them for a while, and are not taken for those of before', async () => {
    const setting = new Setting();
    setting.publish(setOf(jwkOf(one, 'one')));
    assert.equal(reason(await setting.verifier.verify(token)), 'verified');
    setting.publish(setOf(jwkOf(two, 'one')));
    assert.equal(reason(await setting.verifier.verify(token)), 'bad_signature');
  });

  test('a token that is refused anyway asks for nothing', async () => {
    const setting = new Setting();
    setting.publish(setOf(jwkOf(two, 'two')));
    assert.equal(reason(await setting.verifier.verify(tokenOf(one, { alg: 'ES256', kid: 'x' }, { ...goodClaims, iss: 'else' }))), 'wrong_issuer');
    assert.equal(reason(await setting.verifier.verify(tokenOf(one, { alg: 'ES256' }))), 'bad_signature');
    assert.deepEqual(setting.asked, []);
  });
});

describe('the memory of tokens', () => {
  test('never holds more than its bounds, and what is used again stays', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ key: fc.nat(50), bytes: fc.nat(600), isRead: fc.boolean() }), { maxLength: 200 }), (steps) => {
        const cache = new TokenCache<number>(20, 8000);
        const last = new Map<string, number>();
        for (const { key, bytes, isRead } of steps) {
          // Half of them can't be told from each other by their first characters.
          const name = key % 2 === 0 ? String(key) : `same${key}`;
          const scope = key % 3 === 0 ? 'one' : '';
          if (isRead) {
            const value = cache.get(name, scope);
            assert.ok(value === undefined || value === last.get(name));
          } else {
            cache.set({ digest: name, scope }, bytes, bytes);
            last.set(name, bytes);
            assert.equal(cache.get(name, scope), bytes);
          }
          assert.ok(cache.size <= 20 && cache.bytes <= 8000 && cache.bytes >= 0);
        }
        for (const name of last.keys()) for (const scope of ['one', '']) cache.delete(name, scope);
        assert.deepEqual([cache.size, cache.bytes], [0, 0]);
      }),
    );
    const cache = new TokenCache<string>(10, 1_000_000);
    cache.set({ digest: 'often', scope: 'a' }, 'x', 0);
    for (let index = 0; index < 100; index++) {
      cache.set({ digest: String(index), scope: '' }, 'y', 0);
      assert.equal(cache.get('often', 'a'), 'x');
    }
    assert.equal(cache.get('often', 'b'), undefined, 'of another scope');
    cache.set({ digest: 'huge', scope: '' }, 'z', 600_000);
    assert.equal(cache.get('huge', ''), undefined);
  });

  test('routes with the same rules and keys share one verifier', () => {
    const verifiers = new JwtVerifiers(new WorkerDocuments(() => {}), new Secrets());
    const document = { type: 'Document', document: REQUEST } as const;
    const secret = { type: 'Secret', secret: 'shop/keys/jwks' } as const;
    const held = verifiers.get(rules(), document);
    assert.equal(verifiers.get(rules(), document), held);
    assert.notEqual(verifiers.get(rules({ clockSkew: 0 }), document), held);
    const other = verifiers.get(rules(), secret);
    assert.equal(verifiers.get(rules(), secret), other);
    assert.notEqual(other, held);
  });
});

test('keys of a Secret: missing, there, others, gone', async () => {
  const secrets = new Secrets();
  const verifier = new JwtVerifier(rules(), new CellKeys(secrets.cell('shop/keys/jwks')), new KnownTokens(), 's', () => NOW * 1000);
  const next = async (): Promise<string> => reason(await verifier.verify(token));
  assert.equal(await next(), 'keys_unavailable');
  secrets.put(new Map([['shop/keys/jwks', setOf(jwkOf(one, 'one', { é: 1 }))]]));
  assert.equal(await next(), 'verified');
  secrets.put(new Map([['shop/keys/jwks', setOf(jwkOf(two, 'one'))]]));
  assert.equal(await next(), 'bad_signature');
  secrets.put(new Map([['shop/keys/jwks', 'no JSON']]));
  assert.equal(await next(), 'keys_unavailable');
  secrets.put(new Map([['shop/keys/jwks', setOf(jwkOf(one, 'one'))]]));
  assert.equal(await next(), 'verified');
  secrets.remove(['shop/keys/jwks']);
  assert.equal(await next(), 'keys_unavailable');
});
