/** How stored answers are validated and brought up to date, beside what http-cache-semantics makes of the same. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import CachePolicy from 'http-cache-semantics';
import fc from '../../../scripts/fast-check.ts';
import { Fields } from '../../exchange/fields.ts';
import { freshenedFields, isAbout, keptHead, validatingFields } from './stored-answer.ts';

type Headers = Record<string, string>;

const sometimes = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined, freq: 1 });
const headersOf = (record: fc.Arbitrary<Record<string, string | undefined>>): fc.Arbitrary<Headers> =>
  record.map((fields) => Object.fromEntries(Object.entries(fields).filter((pair): pair is [string, string] => pair[1] !== undefined)));

const etag = fc.constantFrom('"a"', 'W/"a"', '"b"', 'W/"b"');
const modified = fc.constantFrom('Thu, 01 Jan 2026 00:00:00 GMT', 'Fri, 02 Jan 2026 00:00:00 GMT');
const one = fc.constantFrom('1', '2');
const answer = headersOf(
  fc.record({
    ...{ etag: sometimes(etag), 'last-modified': sometimes(modified), 'x-a': sometimes(one), expires: sometimes(one) },
    ...{ 'content-type': sometimes(fc.constantFrom('text/a', 'text/b')), 'content-encoding': sometimes(fc.constantFrom('br', 'gzip')) },
    'cache-control': fc.constantFrom('max-age=1', 'max-age=2'),
  }),
);
const client = headersOf(fc.record({ 'if-none-match': sometimes(etag), 'if-modified-since': sometimes(modified), 'x-a': sometimes(one) }));

const kept = (stored: Headers) => keptHead(200, Fields.of(Object.entries(stored)), []);
const policyOf = (stored: Headers): CachePolicy => new CachePolicy({ headers: {} }, { status: 200, headers: stored });

function pairs(fields: Fields): Headers {
  const found: Headers = {};
  fields.forEach((name, value) => {
    found[name.toLowerCase()] = value;
  });
  return found;
}

describe('requests that validate', () => {
  test('have the validators of the stored answer', () => {
    fc.assert(
      fc.property(answer, client, (stored, asked) => {
        // The client's own conditions are answered here, from what comes of it (RFC 9111 section 4.3.2): the library adds to them.
        const { 'if-none-match': _tags, 'if-modified-since': _since, ...rest } = asked;
        assert.deepEqual(
          pairs(validatingFields(Fields.of(Object.entries(asked)), false, kept(stored))),
          policyOf(stored).revalidationHeaders({ headers: rest }),
        );
      }),
    );
  });
});

/** What the library finds, but for two things. */
function matches(stored: Headers, update: Headers): boolean {
  // A strong validator is another one than the weak one of the same name (RFC 9111 section 4.3.4); the library does not look.
  if (update.etag?.startsWith('"') && stored.etag?.startsWith('W/')) return false;
  // Many an origin leaves them out, though it should not (RFC 9110 section 15.4.5): it says yes to what it was asked.
  if (update.etag === undefined && update['last-modified'] === undefined) return true;
  const result = policyOf(stored).revalidatedPolicy({ headers: {} }, { status: 304, headers: update });
  return (result as { matches?: unknown }).matches === true;
}

describe('a 304', () => {
  test('is about the stored answer, or not', () => {
    fc.assert(
      fc.property(answer, answer, (stored, update) => assert.equal(isAbout(kept(stored), Fields.of(Object.entries(update))), matches(stored, update))),
      {
        numRuns: 1000,
      },
    );
  });

  const cases: readonly (readonly [stored: Headers, update: Headers, about: boolean])[] = [
    [{ etag: '"a"' }, { etag: '"a"' }, true],
    [{ etag: '"a"' }, { etag: 'W/"a"' }, true],
    [{ etag: 'W/"a"' }, { etag: '"a"' }, false],
    [{ etag: '"a"' }, { etag: '"b"' }, false],
    [{ etag: '"a"' }, {}, true],
    [{ 'last-modified': 'x' }, { 'last-modified': 'x' }, true],
    [{ 'last-modified': 'x' }, { 'last-modified': 'y' }, false],
    [{ etag: '"a"' }, { 'last-modified': 'y' }, false],
    [{ 'last-modified': 'x' }, { etag: 'W/"a"' }, false],
  ];
  for (const [stored, update, about] of cases) {
    test(`${JSON.stringify(update)} is ${about ? '' : 'not '}about ${JSON.stringify(stored)}`, () => {
      assert.equal(isAbout(kept(stored), Fields.of(Object.entries(update))), about);
    });
  }

  test('replaces fields, and adds those that were not there', () => {
    fc.assert(
      fc.property(answer, answer, (one, other) => {
        const stored = { ...one, etag: '"a"' };
        const update = { ...other, etag: '"a"' };
        const { policy } = policyOf(stored).revalidatedPolicy({ headers: {} }, { status: 304, headers: update });
        const { age: _age, date: _date, 'content-type': _type, ...taken } = policy.responseHeaders() as Headers;
        // The library takes over what is there already, and the type of the body; RFC 9111 section 3.2 has each field added, and leaves the type to caches.
        const { 'content-type': _other, 'content-encoding': _coding, ...added } = update as Headers;
        const type = 'content-type' in stored ? { 'content-type': stored['content-type'] as string } : {};
        assert.deepEqual(pairs(freshenedFields(kept(stored), Fields.of(Object.entries(update)))), { ...added, ...taken, ...type });
      }),
    );
  });
});
