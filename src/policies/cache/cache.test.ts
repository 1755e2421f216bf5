import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedRoute } from './cached-route.fixture.ts';

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
