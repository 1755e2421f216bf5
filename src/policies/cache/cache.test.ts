import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UNKNOWN_LENGTH } from '../../exchange/streams.ts';
import { CachedRoute, type OriginAnswer, settled } from './cached-route.fixture.ts';

test('what is to be validated each time does not stand in for an origin that fails', async () => {
  let asked = 0;
  const route = new CachedRoute(() =>
    asked++ === 0
      ? {
          status: 200,
          fields: [
            ['Cache-Control', 'no-cache, max-age=60'],
            ['ETag', '"a"'],
          ],
          body: 'old',
        }
      : { status: 503, fields: [], body: 'down' },
  );
  assert.equal((await route.send({})).body, 'old');
  assert.equal((await route.send({})).status, 503);
});

test('a 304 without a Date is as old as it says, whatever the stored answer had', async () => {
  let asked = 0;
  const route = new CachedRoute(() =>
    asked++ === 0
      ? {
          status: 200,
          fields: [
            ['Cache-Control', 'max-age=1'],
            ['ETag', '"a"'],
            ['Date', new Date(Date.now() - 3_600_000).toUTCString()],
          ],
          body: 'old',
        }
      : {
          status: 304,
          fields: [
            ['Cache-Control', 'max-age=60'],
            ['ETag', '"a"'],
          ],
          body: '',
        },
  );
  for (let round = 0; round < 3; round++) assert.equal((await route.send({})).body, 'old');
  assert.equal(asked, 2);
});

test('what a filter says of one request is for nobody else; that the backend is not there, for all who wait', async () => {
  const asked: string[] = [];
  const route = new CachedRoute((_method, _url, fields) => {
    const who = fields.get('x-user') ?? '';
    asked.push(who);
    return { status: 0, fields: [], body: '', reply: { status: 500, reason: 'grpc_status', body: `the orders of ${who}` } };
  });
  const both = (one: CachedRoute) => Promise.all(['alice', 'bob'].map((who) => one.send({ headers: { 'x-user': who } })));
  assert.deepEqual(
    (await both(route)).map(({ body }) => body),
    ['the orders of alice', 'the orders of bob'],
  );
  assert.deepEqual(asked, ['alice', 'bob']);
  let tries = 0;
  const gone = new CachedRoute(() => {
    tries++;
    return { status: 0, fields: [], body: '', reply: { status: 502, reason: 'connect_failure', ofBackend: true } };
  });
  assert.deepEqual(
    (await both(gone)).map(({ status }) => status),
    [502, 502],
  );
  assert.equal(tries, 1);
});

/** An origin that answers each by name, and alice once `release` is called. */
function named(answer: (who: string) => Omit<OriginAnswer, 'after'>) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const asked: string[] = [];
  const origin = (_method: string, _url: string, fields: { get(name: string): string | undefined }): OriginAnswer => {
    const who = fields.get('x-user') ?? '';
    asked.push(who);
    return { ...answer(who), ...(who === 'alice' ? { after: promise } : {}) };
  };
  return { origin, asked, release: resolve };
}

const ALICE = { headers: { 'x-user': 'alice' } };
const BOB = { headers: { 'x-user': 'bob' } };

/** Bob waits for what is on its way to Alice, who leaves before it comes. @returns what Bob gets */
async function waitedForAlice(route: CachedRoute, release: () => void) {
  const leave = route.begin(ALICE);
  const bob = route.send(BOB);
  await settled();
  leave();
  release();
  return bob;
}

test('what came for somebody who has left is for nobody who waits, but for what is for all', async () => {
  const cases: readonly (readonly [fields: OriginAnswer['fields'], bob: string])[] = [
    [[['Cache-Control', 'private']], 'page of bob'],
    [[['Cache-Control', 'no-store']], 'page of bob'],
    [
      [
        ['Cache-Control', 'max-age=60'],
        ['Set-Cookie', 'session=alice'],
      ],
      'page of bob',
    ],
    [
      [
        ['Cache-Control', 'max-age=60'],
        ['Vary', 'x-user'],
      ],
      'page of bob',
    ],
    [
      [
        ['Cache-Control', 'max-age=60, no-cache="set-cookie"'],
        ['Set-Cookie', 'session=alice'],
      ],
      'page of alice',
    ],
  ];
  for (const [fields, expected] of cases) {
    const { origin, release } = named((who) => ({ status: 200, fields, body: `page of ${who}` }));
    const { body, fields: got } = await waitedForAlice(new CachedRoute(origin), release);
    assert.equal(body, expected);
    if (expected === 'page of alice') assert.equal(got.get('set-cookie'), undefined);
  }
});

test('no more is what the gateway says of one who has left', async () => {
  const { origin, release } = named((who) => ({ status: 0, fields: [], body: '', reply: { status: 500, reason: 'grpc_status', body: `orders of ${who}` } }));
  assert.equal((await waitedForAlice(new CachedRoute(origin), release)).body, 'orders of bob');
});

test('nor is what brings a stored answer up to date for one who has had that', async () => {
  let lines: OriginAnswer['fields'] = [['Cache-Control', 'max-age=10']];
  const { origin, release, asked } = named((who) => ({ status: 200, fields: lines, body: `page of ${who}` }));
  const route = new CachedRoute(origin);
  assert.equal((await route.send({ headers: { 'x-user': 'carol' } })).body, 'page of carol');
  lines = [['Cache-Control', 'private']];
  route.time += 11_000;
  assert.equal((await route.send(ALICE)).body, 'page of carol');
  assert.deepEqual(asked, ['carol', 'alice']);
  route.time += 60_000;
  const bob = route.send(BOB);
  await settled();
  release();
  assert.equal((await bob).body, 'page of bob');
});

test('a 304 that says what the answer varies by is for those alone who are alike in that', async () => {
  const { origin, release } = named((who) => ({
    status: who === 'alice' ? 304 : 200,
    fields: [['ETag', '"a"'], ['Cache-Control', 'max-age=10'], ...(who === 'carol' ? [] : [['Vary', 'x-user'] as const])],
    body: who === 'alice' ? '' : `page of ${who}`,
  }));
  const route = new CachedRoute(origin, { staleWhileRevalidate: 0 });
  assert.equal((await route.send({ headers: { 'x-user': 'carol' } })).body, 'page of carol');
  route.time += 11_000;
  const alice = route.send(ALICE);
  const bob = route.send(BOB);
  await settled();
  release();
  assert.equal((await alice).body, 'page of carol');
  assert.equal((await bob).body, 'page of bob');
});

test('after a reply that is for one alone nobody waits for the next one', async () => {
  const { origin, release, asked } = named((who) => ({ status: 0, fields: [], body: '', reply: { status: 404, reason: 'grpc_status', body: who } }));
  const route = new CachedRoute(origin);
  assert.equal((await route.send(BOB)).body, 'bob');
  const alice = route.send(ALICE);
  assert.equal((await route.send(BOB)).body, 'bob');
  assert.deepEqual(asked, ['bob', 'alice', 'bob']);
  release();
  assert.equal((await alice).body, 'alice');
});

test('who varies by a header that the gateway has made varies by what that was made of', async () => {
  const fields = [
    ['Cache-Control', 'max-age=60'],
    ['Vary', 'X-Language'],
  ] as const;
  // As the backend gets it, X-Language is what the cookie says.
  const origin = (_method: string, _url: string, request: { get(name: string): string | undefined }): OriginAnswer => ({
    ...{ status: 200, fields, body: `in ${request.get('cookie')}` },
  });
  const route = new CachedRoute(origin, { made: [{ name: 'x-language', of: ['cookie'] }] });
  for (const cookie of ['language=de', 'language=fr', 'language=de']) assert.equal((await route.send({ headers: { cookie } })).body, `in ${cookie}`);
  assert.equal(route.results.hit, 1);
  const unknown = new CachedRoute(origin, { made: [{ name: 'x-language' }] });
  for (const cookie of ['language=de', 'language=de']) await unknown.send({ headers: { cookie } });
  assert.equal(unknown.results.hit, 0);
  // What it does not vary by, it may be made of whatever it likes.
  const other = new CachedRoute(origin, { made: [{ name: 'x-other' }] });
  for (const cookie of ['language=de', 'language=de']) await other.send({ headers: { cookie } });
  assert.equal(other.results.hit, 1);
});

test('another query for the backend is another answer', async () => {
  const route = new CachedRoute((_method, url) => ({ status: 200, fields: [['Cache-Control', 'max-age=60']], body: url }));
  const ask = (upstreamQuery: string) => route.send({ url: 'http://a.test/?a=1', upstreamQuery });
  for (const query of ['?a=1', '?a=1&tenant=acme', '']) await ask(query);
  assert.equal(route.results.hit, 0);
  for (const query of ['?a=1', '?a=1&tenant=acme', '']) await ask(query);
  assert.equal(route.results.hit, 3);
});

test('where only some parameters are in the key, a credential that was taken out is not, and what was put in is', async () => {
  const route = new CachedRoute((_method, url) => ({ status: 200, fields: [['Cache-Control', 'max-age=60']], body: url }), { varyOnQuery: ['page'] });
  const ask = (query: string, upstreamQuery: string) => route.send({ url: `http://a.test/${query}`, upstreamQuery });
  await ask('?page=1&utm=1&key=K', '?page=1&utm=1');
  for (const utm of [2, 3]) await ask(`?page=1&utm=${utm}&key=${utm}`, `?page=1&utm=${utm}`);
  await ask('?key=K&page=1', '?page=1');
  assert.equal(route.results.hit, 3);
  const others = ['?page=1&user=bob', '?page=1&user=alice', '?user=alice&page=1'];
  for (const upstreamQuery of others) await ask('?page=1&key=K', upstreamQuery);
  await ask('?page=2&key=K', '?page=2');
  assert.equal(route.results.hit, 3);
});

test('after an answer that was too long, each asks by itself for minutes', async () => {
  const { origin, release, asked } = named(() => ({ status: 200, fields: [['Cache-Control', 'max-age=60']], body: 'x'.repeat(100), inPieces: true }));
  const route = new CachedRoute((method, url, fields) => ({ ...origin(method, url, fields), length: UNKNOWN_LENGTH }), { maxEntryBytes: 60 });
  assert.equal((await route.send(BOB)).body.length, 100);
  route.time += 300_000;
  const alice = route.send(ALICE);
  assert.equal((await route.send(BOB)).body.length, 100);
  assert.deepEqual(asked, ['bob', 'alice', 'bob']);
  release();
  assert.equal((await alice).body.length, 100);
});
