/** Our rules against those of http-cache-semantics: the same for all messages but for the corrections, each of which is one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { CORRECTIONS, type Directive, NOW, type Outcome, ours, type Scene, theirs } from './semantics.fixture.ts';

const date = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString();
const PLAIN: Scene = { status: 200, directives: [['max-age', '60']], answer: {}, first: {}, second: {}, secondDirectives: [], later: 10 };

/** Of each correction, a scene in which the library comes to another outcome without it. */
const EXAMPLES: Readonly<Record<string, { readonly scene: Partial<Scene>; readonly ours: Outcome; readonly library: Outcome }>> = {
  'directives have no case': { scene: { directives: [['max-age', '60'], ['Private']] }, ours: 'miss', library: 'hit' },
  'a directive that contradicts itself says the least': {
    scene: {
      directives: [
        ['max-age', '5'],
        ['max-age', '60'],
      ],
      answer: { etag: '"a"' },
    },
    ours: 'miss',
    library: 'hit',
  },
  'seconds are digits, and nothing else': { scene: { directives: [['max-age', '60s']], answer: { etag: '"a"' } }, ours: 'miss', library: 'hit' },
  'must-understand takes no-store back': {
    scene: { directives: [['max-age', '60'], ['no-store'], ['must-understand']] },
    ours: 'hit',
    library: 'miss',
  },
  'private and no-cache with names are about these fields alone; without the cookie an answer can be kept': {
    scene: {
      directives: [
        ['max-age', '60'],
        ['no-cache', '"set-cookie"'],
      ],
      answer: { 'set-cookie': 'a=b' },
    },
    ours: 'hit',
    library: 'miss',
  },
  'answers that set a cookie are not kept': {
    scene: { directives: [['public'], ['max-age', '60']], answer: { 'set-cookie': 'a=b' } },
    ours: 'miss',
    library: 'hit',
  },
  'statuses: 451 is kept, 303 is not': { scene: { status: 451 }, ours: 'hit', library: 'miss' },
  'Pragma counts in requests without Cache-Control alone': {
    scene: { second: { pragma: 'no-cache' }, secondDirectives: [['max-age', '30']] },
    ours: 'hit',
    library: 'miss',
  },
  'an age that is no number is none': { scene: { answer: { age: '55s' } }, ours: 'hit', library: 'miss' },
  'dates have three forms; another Expires is in the past, another Date is none': {
    scene: { directives: [], answer: { expires: '2030-01-01T00:00:00Z', etag: '"a"' } },
    ours: 'miss',
    library: 'hit',
  },
  'an answer is at least as old as its Date': { scene: { answer: { date: date(-55) } }, ours: 'miss', library: 'hit' },
  'without a lifetime nothing is kept, unless it is to be validated each time': {
    scene: { directives: [['public']], answer: { etag: '"a"' }, secondDirectives: [['max-stale']] },
    ours: 'miss',
    library: 'hit',
  },
  'what is stale at once, with nothing to validate it by, is not kept': {
    scene: { directives: [['max-age', '0']], secondDirectives: [['max-stale']] },
    ours: 'miss',
    library: 'hit',
  },
  'no-cache is not got round by staleness that is allowed': {
    scene: { directives: [['no-cache'], ['max-age', '60']], answer: { etag: '"a"' }, secondDirectives: [['max-stale']] },
    ours: 'miss',
    library: 'hit',
  },
  's-maxage implies that nothing is served stale because the client would take it': {
    scene: { directives: [['s-maxage', '5']], secondDirectives: [['max-stale', '60']] },
    ours: 'miss',
    library: 'hit',
  },
  'must-revalidate and proxy-revalidate are about answers that have become stale': {
    scene: { directives: [['max-age', '60'], ['must-revalidate']] },
    ours: 'hit',
    library: 'miss',
  },
  'a client that names a bound gets nothing that is stale meanwhile': {
    scene: {
      directives: [
        ['max-age', '5'],
        ['stale-while-revalidate', '60'],
      ],
      secondDirectives: [['max-age', '30']],
    },
    ours: 'miss',
    library: 'meanwhile',
  },
  'min-fresh and max-stale at once: the stricter one holds': {
    scene: {
      later: 60,
      secondDirectives: [
        ['min-fresh', '0'],
        ['max-stale', '10'],
      ],
    },
    ours: 'miss',
    library: 'hit',
  },
  'staleness that is just as long as max-stale is within it; max-stale=0 is none': {
    scene: { later: 70, secondDirectives: [['max-stale', '10']] },
    ours: 'hit',
    library: 'miss',
  },
  'requests with no-store go past the cache': { scene: { secondDirectives: [['no-store']] }, ours: 'miss', library: 'hit' },
  'the members of Accept-Language stand in any order and case': {
    scene: { answer: { vary: 'accept-language' }, first: { 'accept-language': 'de, en' }, second: { 'accept-language': 'EN,de' } },
    ours: 'hit',
    library: 'miss',
  },
};

describe('each correction is needed', () => {
  for (const correction of CORRECTIONS) {
    test(`${correction.name} (${correction.why})`, () => {
      const example = EXAMPLES[correction.name];
      assert.ok(example, 'there is no example');
      const scene = { ...PLAIN, ...example.scene };
      assert.deepEqual([ours(scene), theirs(scene, CORRECTIONS)], [example.ours, example.ours]);
      assert.deepEqual(
        [
          theirs(scene, []),
          theirs(
            scene,
            CORRECTIONS.filter((one) => one !== correction),
          ),
        ],
        [example.library, example.library],
      );
    });
  }
});

const seconds = fc.constantFrom('0', '5', '29', '30', '31', '60', '60', '300', '1000');
/** Now and then one that is none, or in quotes. */
const argument = fc.oneof({ weight: 12, arbitrary: seconds }, { weight: 1, arbitrary: fc.constantFrom('', 'x', '5s', '-1', '1.5', '"30"') });
const cased = (name: string): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 8, arbitrary: fc.constant(name) },
    { weight: 1, arbitrary: fc.constantFrom(name.toUpperCase(), name.charAt(0).toUpperCase() + name.slice(1)) },
  );
const withArgument = (name: string): fc.Arbitrary<Directive> => fc.tuple(cased(name), argument);
const flag = (name: string): fc.Arbitrary<Directive> => fc.tuple(cased(name));

const ofAnswer: fc.Arbitrary<Directive> = fc.oneof(
  { weight: 8, arbitrary: withArgument('max-age') },
  { weight: 3, arbitrary: withArgument('s-maxage') },
  { weight: 3, arbitrary: withArgument('stale-while-revalidate') },
  withArgument('stale-if-error'),
  ...['no-store', 'must-understand', 'private', 'no-cache', 'must-revalidate', 'proxy-revalidate', 'immutable', 'x-other'].map(flag),
  { weight: 3, arbitrary: flag('public') },
  fc.tuple(fc.constantFrom('private', 'no-cache'), fc.constantFrom('"set-cookie"', '"x-a, set-cookie"', 'x-a')),
);
const ofRequest: fc.Arbitrary<Directive> = fc.oneof(
  ...['max-age', 'min-fresh', 'max-stale'].map(withArgument),
  ...['max-stale', 'no-cache', 'no-store', 'no-transform'].map(flag),
);

const when = fc.integer({ min: -400, max: 400 }).map(date);
const sometimes = <T>(arbitrary: fc.Arbitrary<T>, freq = 3): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined, freq });
const fieldsOf = (record: fc.Arbitrary<Record<string, string | undefined>>): fc.Arbitrary<Record<string, string>> =>
  record.map((fields) => Object.fromEntries(Object.entries(fields).filter((pair): pair is [string, string] => pair[1] !== undefined)));

const language = fc.constantFrom('de', 'en', 'de, en', 'EN,de', '');
const request = fieldsOf(
  fc.record({
    ...{ 'accept-language': sometimes(language), 'x-a': sometimes(fc.constantFrom('1', '2')) },
    ...{
      authorization: fc.option(fc.constant('Basic YTpi'), { nil: undefined, freq: 1 }),
      pragma: fc.option(fc.constant('no-cache'), { nil: undefined, freq: 1 }),
    },
  }),
);
const answer = fieldsOf(
  fc.record({
    ...{
      expires: sometimes(fc.oneof(when, fc.constantFrom('0', 'never', '2030-01-01T00:00:00Z'))),
      date: sometimes(fc.oneof(when, fc.constantFrom('x', '2025-12-31T23:59:00Z')), 1),
    },
    ...{
      age: sometimes(fc.oneof(fc.constantFrom('0', '5', '30'), fc.constantFrom('x', '5s', '-5', '5, 300')), 1),
      etag: sometimes(fc.constant('"a"'), 1),
      'last-modified': sometimes(when, 1),
    },
    ...{ 'set-cookie': fc.option(fc.constant('a=b'), { nil: undefined, freq: 1 }), pragma: fc.option(fc.constant('no-cache'), { nil: undefined, freq: 1 }) },
    vary: sometimes(fc.constantFrom('accept-language', 'X-A', 'x-a, Accept-Language', '*', 'x-a, *'), 1),
  }),
);

const scene: fc.Arbitrary<Scene> = fc.record({
  status: fc.oneof(
    { weight: 8, arbitrary: fc.constant(200) },
    { weight: 2, arbitrary: fc.constantFrom(203, 204, 206, 300, 301, 302, 303, 307, 308, 400, 404, 405, 410, 414, 451, 500, 501, 503) },
  ),
  directives: fc.oneof(fc.array(ofAnswer, { maxLength: 4 }), fc.tuple(withArgument('max-age'), ofAnswer)),
  answer,
  ...{ first: request, second: request },
  secondDirectives: fc.oneof(fc.constant([]), fc.array(ofRequest, { maxLength: 3 })),
  later: fc.constantFrom(0, 1, 5, 10, 29, 30, 31, 60, 61, 300, 301, 1000),
});

test('whatever the messages: the same as the library, corrected', () => {
  const counts: Record<Outcome, number> = { hit: 0, meanwhile: 0, miss: 0 };
  fc.assert(
    fc.property(scene, (one) => {
      const outcome = ours(one);
      counts[outcome]++;
      assert.equal(outcome, theirs(one, CORRECTIONS));
    }),
    { numRuns: 4000 },
  );
  // Scenes that all come to nothing would show nothing.
  assert.ok(counts.hit > 200 && counts.meanwhile > 10, JSON.stringify(counts));
});
