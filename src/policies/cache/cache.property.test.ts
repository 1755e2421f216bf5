import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import type { Fields } from '../../exchange/fields.ts';
import { CachedRoute, type OriginAnswer } from './cached-route.fixture.ts';
import { type Asked, type Control, ModelCache, type Setting } from './model.fixture.ts';

const URLS = 2;
const LANGUAGES = ['de', ''];

type Step =
  | { readonly type: 'pass'; readonly seconds: number }
  | { readonly type: 'set'; readonly url: number; readonly setting: Setting }
  | { readonly type: 'edit'; readonly url: number }
  | { readonly type: 'fail'; readonly url: number; readonly fails: boolean }
  | { readonly type: 'post'; readonly url: number }
  | { readonly type: 'purge'; readonly url: number }
  | { readonly type: 'get'; readonly worker: number; readonly request: Asked };

const seconds = fc.constantFrom(0, 1, 5, 10, 29, 30, 31, 60, 300, 1000);
const sometimes = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined, freq: 3 });
const rarely = fc.oneof({ weight: 8, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constant(true as const) });
const url = fc.integer({ min: 0, max: URLS - 1 });

const control = fc.record({
  maxAge: fc.option(seconds, { nil: undefined, freq: 8 }),
  ...{ sMaxage: sometimes(seconds), whileRevalidate: sometimes(seconds), ifError: sometimes(seconds) },
  ...{ noStore: rarely, isPrivate: rarely, isPublic: rarely, noCache: rarely, mustRevalidate: rarely },
}) as fc.Arbitrary<Control>;

const setting: fc.Arbitrary<Setting> = fc.record({
  fails: fc.constant(false),
  // None at all is no field.
  control: control.map((one) => (Object.values(one).every((value) => value === undefined) ? undefined : one)),
  age: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: seconds }),
  ...{ varies: fc.boolean(), etag: fc.boolean(), dated: fc.boolean(), inPieces: fc.boolean() },
  cookie: fc.integer({ min: 0, max: 9 }).map((one) => one === 0),
});

const request = fc.record({
  ...{ url, language: fc.constantFrom(...LANGUAGES) },
  authorized: fc.integer({ min: 0, max: 5 }).map((one) => one === 0),
  head: fc.integer({ min: 0, max: 5 }).map((one) => one === 0),
  ...{ maxAge: sometimes(seconds), minFresh: sometimes(seconds), maxStale: sometimes(fc.oneof(seconds, fc.constant(Number.POSITIVE_INFINITY))) },
  ...{ noCache: rarely, noStore: rarely, onlyIfCached: rarely },
}) as fc.Arbitrary<Asked>;

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant('pass' as const), seconds }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('set' as const), url, setting }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('edit' as const), url }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('fail' as const), url, fails: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('post' as const, 'purge' as const), url }) },
  { weight: 10, arbitrary: fc.record({ type: fc.constant('get' as const), worker: fc.integer({ min: 0, max: 1 }), request }) },
);

function withSeconds(directive: string, value: number | undefined): string[] {
  return value === undefined ? [] : [value === Number.POSITIVE_INFINITY ? directive : `${directive}=${value}`];
}

function controlLine({ maxAge, sMaxage, whileRevalidate, ifError, ...flags }: Control): string {
  return [
    ...withSeconds('max-age', maxAge),
    ...withSeconds('s-maxage', sMaxage),
    ...withSeconds('stale-while-revalidate', whileRevalidate),
    ...withSeconds('stale-if-error', ifError),
    ...(flags.noStore ? ['no-store'] : []),
    ...(flags.isPrivate ? ['Private'] : []),
    ...(flags.isPublic ? ['public'] : []),
    ...(flags.noCache ? ['no-cache'] : []),
    ...(flags.mustRevalidate ? ['must-revalidate'] : []),
  ].join(', ');
}

/** What a body says of itself; long ones are in several blocks of the memory. */
function bodyOf(version: number, language: string): string {
  return `${version} ${language}|${'x'.repeat((version * 977) % 3000)}`;
}

function originAnswer({ setting, version }: { readonly setting: Setting; readonly version: number }, asked: Fields): OriginAnswer {
  if (setting.fails) return { status: 503, fields: [], body: 'down' };
  const language = setting.varies ? (asked.get('accept-language') ?? '') : '-';
  const etag = `"${version} ${language}"`;
  const fields: [string, string][] = [];
  const line = setting.control === undefined ? '' : controlLine(setting.control);
  if (line !== '') fields.push(['Cache-Control', line]);
  if (setting.age > 0) fields.push(['Age', String(setting.age)]);
  if (setting.varies) fields.push(['Vary', 'Accept-Language']);
  if (setting.etag) fields.push(['ETag', etag]);
  if (setting.cookie) fields.push(['Set-Cookie', 'a=b']);
  if (setting.dated) fields.push(['Date', new Date(Date.now()).toUTCString()]);
  if (setting.etag && asked.get('if-none-match') === etag) return { status: 304, fields, body: '' };
  return { status: 200, fields, body: bodyOf(version, language), inPieces: setting.inPieces };
}

function headersOf({ language, authorized, maxAge, minFresh, maxStale, noCache, noStore, onlyIfCached }: Asked): Record<string, string> {
  const directives = [...withSeconds('max-age', maxAge), ...withSeconds('min-fresh', minFresh), ...withSeconds('max-stale', maxStale)];
  if (noCache) directives.push('no-cache');
  if (noStore) directives.push('no-store');
  if (onlyIfCached) directives.push('only-if-cached');
  return {
    ...(language === '' ? {} : { 'Accept-Language': language }),
    ...(authorized ? { Authorization: 'Basic YTpi' } : {}),
    ...(directives.length === 0 ? {} : { 'Cache-Control': directives.join(', ') }),
  };
}

const START = Date.UTC(2026, 0, 1);

async function compare(context: TestContext, settings: readonly Setting[], steps: readonly Step[]): Promise<void> {
  const model = new ModelCache(settings);
  let asked = 0;
  const route = new CachedRoute((method, target, fields) => {
    asked++;
    if (method === 'POST') return { status: 200, fields: [], body: '' };
    return originAnswer(model.origin[Number(target.at(-1))] as (typeof model.origin)[number], fields);
  });
  const clock = context.mock.method(Date, 'now', () => START + route.time);
  try {
    for (const [index, one] of steps.entries()) {
      const at = `step ${index}`;
      if (one.type === 'pass') {
        model.now += one.seconds;
        route.time += one.seconds * 1000;
      } else if (one.type === 'set') (model.origin[one.url] as { setting: Setting }).setting = one.setting;
      else if (one.type === 'edit') (model.origin[one.url] as { version: number }).version++;
      else if (one.type === 'fail') {
        const origin = model.origin[one.url] as { setting: Setting };
        origin.setting = { ...origin.setting, fails: one.fails };
      } else if (one.type === 'post') {
        model.forget(one.url);
        await route.send({ method: 'POST', url: `http://a.test/${one.url}` });
      } else if (one.type === 'purge') {
        model.forget(one.url);
        route.caches[0]?.memory.purge((target) => target.endsWith(`/${one.url}`));
      } else {
        const { request, worker } = one;
        asked = 0;
        model.asked = 0;
        const expected = model.get(request);
        const got = await route.send({ method: request.head ? 'HEAD' : 'GET', url: `http://a.test/${request.url}`, headers: headersOf(request) }, worker);
        const body = got.status === 200 && !request.head ? got.body.split('|')[0] : undefined;
        assert.deepEqual({ status: got.status, body, asked }, { status: expected.status, body: expected.body, asked: model.asked }, at);
        if (expected.age !== undefined) assert.equal(got.fields.get('age'), String(expected.age), at);
        if (body !== undefined) assert.equal(got.body, bodyOf(Number(body.split(' ')[0]), body.split(' ')[1] as string), at);
        assert.deepEqual([route.caches[0]?.filling, route.caches[0]?.flights.size], [0, 0], at);
      }
    }
  } finally {
    clock.mock.restore();
  }
}

test('random requests, answers and times: as RFC 9111 for a small world has it', async (context) => {
  await fc.assert(
    fc.asyncProperty(fc.tuple(setting, setting), fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), (settings, steps) =>
      compare(context, settings, steps),
    ),
    { numRuns: 200 },
  );
});
