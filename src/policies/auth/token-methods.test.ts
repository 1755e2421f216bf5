/** The methods that take tokens, on exchanges. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Exchange } from '../../exchange/exchange.ts';
import type { Identity } from '../../exchange/identity.ts';
import { NO_FETCHER } from '../../fetch/fetcher.ts';
import { NO_DOCUMENTS } from '../../fetch/worker-documents.ts';
import type { AuthMethodSpec, AuthSpec } from '../../snapshot/auth.ts';
import { exchangeOf, type RequestSpec } from '../exchange.fixture.ts';
import { Secrets } from '../secrets.ts';
import { Consumers } from './consumers.ts';
import { publishedConsumer } from './context.fixture.ts';
import { IntrospectionMethod } from './introspection/introspection-method.ts';
import { Introspectors } from './introspection/introspectors.ts';
import { JwtMethod } from './jwt/jwt-method.ts';
import { ec, goodClaims, jwkOf, rules, setOf, tokenOf } from './jwt/tokens.fixture.ts';
import { JwtVerifiers } from './jwt/verifiers.ts';
import { type AuthMethod, type Judgement, Pending, Refusal } from './method.ts';

const key = ec();
const owner: AuthSpec = { policy: 'shop/shop', namespace: 'shop', methods: [], anonymous: 'Deny', stripToken: true, credentialParameters: [] };
const secrets = new Secrets();
secrets.put(
  new Map([
    ['shop/keys/jwks', setOf(jwkOf(key))],
    ['shop/keys/password', 'secret'],
  ]),
);
const consumers = new Consumers();
consumers.put([publishedConsumer({ name: 'acme', groups: ['gold'], jwt: { claim: 'azp', value: 'acme-app' } })]);

const from = [
  { type: 'Header', name: 'authorization', prefix: 'Bearer ' },
  { type: 'Cookie', name: 'token' },
  { type: 'QueryParam', name: 'access_token' },
] as const;
// Tokens last as long as the year 2100 is not there.
const claims = { ...goodClaims, exp: 4_102_444_800, nbf: 0, iat: 0 };
const token = tokenOf(key, { alg: 'ES256' }, { ...claims, azp: 'acme-app' });

const jwtSpec: AuthMethodSpec & { readonly type: 'jwt' } = { type: 'jwt', from, rules: rules(), keys: { type: 'Secret', secret: 'shop/keys/jwks' } };
const jwt = new JwtMethod(jwtSpec, owner, consumers, new JwtVerifiers(NO_DOCUMENTS, secrets));
const asked: string[] = [];
const introspection = new IntrospectionMethod(
  {
    type: 'oauth2Introspection',
    from,
    introspection: { endpoint: 'https://id.test/introspect?x=secret', clientId: 'gw', secret: 'shop/keys/password', cacheFor: 1000 },
  },
  owner,
  consumers,
  new Introspectors(
    {
      fetch: async ({ body }) => {
        asked.push(String(body));
        return {
          status: 200,
          headers: {},
          body: Buffer.from(JSON.stringify({ active: !String(body).includes('bad'), username: 'ada', azp: ['x', 'acme-app'] })),
        };
      },
    },
    secrets,
  ),
);

async function judge(method: AuthMethod, request: RequestSpec | Exchange): Promise<Judgement | undefined> {
  const result = method.authenticate('requestFields' in request ? request : exchangeOf(request));
  if (!(result instanceof Pending)) return result;
  return result.settled?.result ?? new Promise((resolve) => result.listen(resolve));
}

const told = (judgement: Judgement | undefined): unknown =>
  judgement instanceof Refusal ? { status: judgement.reply.status, reason: judgement.reply.reason, fields: judgement.reply.fields } : judgement;

const BAD = { status: 401, fields: [['WWW-Authenticate', 'Bearer error="invalid_token"']] };
const TWICE = { status: 400, reason: 'repeated_credential', fields: undefined };

for (const [name, method, good, bad, reason] of [
  ['jwt', jwt, token, `${token}x`, 'token_malformed'],
  ['oauth2Introspection', introspection, 'opaque', 'bad', 'token_inactive'],
] as const) {
  describe(name, () => {
    const places: readonly (readonly [what: string, request: (token: string) => RequestSpec])[] = [
      ['Authorization', (text) => ({ headers: { Authorization: `Bearer ${text}` } })],
      ['Authorization in another case', (text) => ({ headers: { authorization: `bEARER ${text}` } })],
      ['a cookie', (text) => ({ headers: { Cookie: `a=b; token=${text}` } })],
      ['the query', (text) => ({ url: `http://a.test/?a=b&access%5Ftoken=${text}` })],
    ];
    for (const [what, request] of places) {
      test(`in ${what}`, async () => {
        const judgement = await judge(method, request(good));
        assert.ok(judgement !== undefined && !(judgement instanceof Refusal), JSON.stringify(judgement));
        assert.equal(judgement.subject, 'ada');
        assert.equal(judgement.method, name);
        assert.equal(judgement.consumer, 'acme');
        assert.deepEqual(judgement.groups, ['gold']);
        assert.deepEqual(told(await judge(method, request(bad))), { ...BAD, reason });
        assert.deepEqual(told(await judge(method, request(''))), { ...BAD, reason: 'token_malformed' });
      });
    }

    test('nowhere, or another scheme', async () => {
      assert.equal(await judge(method, {}), undefined);
      assert.equal(await judge(method, { headers: { Authorization: 'Basic YTpi' } }), undefined);
      assert.equal(await judge(method, { headers: { Authorization: good } }), undefined);
    });

    const twice: readonly (readonly [what: string, url: string, lines: readonly (readonly [string, string])[]])[] = [
      [
        'two Authorization fields',
        'http://a.test/',
        [
          ['Authorization', `Bearer ${good}`],
          ['Authorization', `Bearer ${good}`],
        ],
      ],
      [
        'two Authorization fields, one of another scheme',
        'http://a.test/',
        [
          ['Authorization', `Bearer ${good}`],
          ['Authorization', 'Basic YTpi'],
        ],
      ],
      [
        'in two places',
        'http://a.test/',
        [
          ['Authorization', `Bearer ${good}`],
          ['Cookie', `token=${good}`],
        ],
      ],
      ['in two cookies', 'http://a.test/', [['Cookie', `token=${good}; token=other`]]],
      [
        'in two Cookie fields',
        'http://a.test/',
        [
          ['Cookie', `token=${good}`],
          ['Cookie', `token=${good}`],
        ],
      ],
      ['in two parameters', `http://a.test/?access_token=${good}&access_token=${good}`, []],
      ['in two parameters, one escaped', `http://a.test/?access_token=${good}&%61ccess_token=x`, []],
      ['in a cookie and the query', `http://a.test/?access_token=${good}`, [['Cookie', `token=${good}`]]],
    ];
    for (const [what, url, lines] of twice) {
      test(what, async () => {
        const exchange = exchangeOf({ url });
        for (const [field, value] of lines) exchange.requestFields.append(field, value);
        assert.deepEqual(told(await judge(method, exchange)), TWICE);
      });
    }

    test('two tokens in one field are none', async () => {
      const refusal = told(await judge(method, { headers: { Authorization: `Bearer ${good}, Bearer ${good}` } })) as object;
      assert.deepEqual({ ...refusal, reason: '' }, { ...BAD, reason: '' });
    });

    test('is taken away', () => {
      const exchange = exchangeOf({
        url: `http://a.test/?a=b&access_token=${good}`,
        headers: { Authorization: `Bearer ${good}`, Cookie: `token=${good}; c=d` },
      });
      method.strip(exchange);
      assert.equal(exchange.upstreamQuery, '?a=b');
      assert.deepEqual(exchange.headerValues('authorization'), []);
      assert.deepEqual(exchange.headerValues('cookie'), ['c=d']);
    });
  });
}

test('what is told of them has no secret', () => {
  assert.equal(jwt.describe(), 'jwt of https://id.example.com for shop in header authorization, cookie token, query parameter access_token');
  assert.equal(
    introspection.describe(),
    'oauth2Introspection in header authorization, cookie token, query parameter access_token by https://id.test/introspect',
  );
});

test('a consumer that changes is seen at once, while the token is known', async () => {
  const own = new Consumers();
  const method = new JwtMethod(jwtSpec, owner, own, new JwtVerifiers(NO_DOCUMENTS, secrets));
  const request = { headers: { Authorization: `Bearer ${token}` } };
  const consumer = async (): Promise<string | undefined> => ((await judge(method, request)) as Identity).consumer;
  // Expressions see null, as with every method: `identity.consumer != null` lets in nobody who is no consumer.
  assert.equal(await consumer(), undefined);
  own.put([publishedConsumer({ name: 'acme', jwt: { claim: 'azp', value: 'acme-app' } })]);
  assert.equal(await consumer(), 'acme');
  assert.ok(!(method.authenticate(exchangeOf(request)) instanceof Pending), 'it is known');
  own.remove(['shop/acme']);
  assert.equal(await consumer(), undefined);
});

test('keys that can not be had are 503', async () => {
  const method = new JwtMethod({ ...jwtSpec, keys: { type: 'Secret', secret: 'shop/none/jwks' } }, owner, consumers, new JwtVerifiers(NO_DOCUMENTS, secrets));
  assert.deepEqual(told(await judge(method, { headers: { Authorization: `Bearer ${token}` } })), {
    status: 503,
    reason: 'keys_unavailable',
    fields: [['Retry-After', '5']],
  });
  const unasked = new Introspectors(NO_FETCHER, secrets);
  const spec = { endpoint: 'https://id.test/', clientId: 'gw', secret: 'shop/keys/password', cacheFor: 0 };
  const failing = new IntrospectionMethod({ type: 'oauth2Introspection', from, introspection: spec }, owner, consumers, unasked);
  assert.deepEqual(told(await judge(failing, { headers: { Authorization: 'Bearer x' } })), {
    status: 503,
    reason: 'introspection_failed',
    fields: [['Retry-After', '5']],
  });
});
