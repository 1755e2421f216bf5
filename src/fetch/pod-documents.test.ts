import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import type { DocumentRequest } from '../snapshot/documents.ts';
import { documentKey } from '../snapshot/documents.ts';
import type { DocumentState } from './document-state.ts';
import { type FetchAnswer, FetchError } from './fetcher.ts';
import { PodDocuments } from './pod-documents.ts';

const KEYS: DocumentRequest = { kind: 'jwks', url: 'https://id.example.com/keys?secret=1', cacheFor: 600_000 };
const KEY = documentKey(KEYS);

let now = 0;
let calls: string[] = [];
let published: DocumentState[] = [];
let forgotten: string[] = [];
let lines: Readonly<Record<string, unknown>>[] = [];
let answer: () => Promise<Partial<FetchAnswer>>;
let documents: PodDocuments;

const good = (text: string) => () => Promise.resolve({ status: 200, body: Buffer.from(text) });
const settle = () => new Promise((resolve) => setImmediate(resolve));

async function pass(milliseconds: number): Promise<void> {
  now += milliseconds;
  mock.timers.tick(milliseconds);
  await settle();
}

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  now = 1_000_000;
  calls = [];
  published = [];
  forgotten = [];
  lines = [];
  answer = good('{"keys":[1]}');
  documents = new PodDocuments({
    fetcher: {
      fetch: async ({ url }) => {
        calls.push(url);
        return { status: 200, headers: {}, body: Buffer.alloc(0), ...(await answer()) };
      },
    },
    log: (_, message, fields) => lines.push({ message, ...fields }),
    publish: (state) => published.push(state),
    forget: (key) => forgotten.push(key),
    random: () => 0.5,
    now: () => now,
  });
});
afterEach(() => {
  documents.close();
  mock.timers.reset();
});

describe('documents of the pod', () => {
  test('fetched once for all who name them, and published', async () => {
    documents.use([KEYS, { ...KEYS }, { ...KEYS, cacheFor: 1_200_000 }]);
    await settle();
    assert.equal(calls.length, 1);
    assert.deepEqual(
      published.map(({ key, text, revision, fetchedAt, failure }) => ({ key, text, revision, fetchedAt, failure })),
      [{ key: KEY, text: '{"keys":[1]}', revision: 1, fetchedAt: 1_000_000, failure: undefined }],
    );
    documents.use([KEYS]);
    await settle();
    assert.equal(calls.length, 1, 'known already');
    assert.deepEqual(documents.states, published);
  });

  test('again before they are stale; the same text is the same revision', async () => {
    documents.use([KEYS]);
    await settle();
    await pass(479_000);
    assert.equal(calls.length, 1);
    await pass(1000);
    assert.equal(calls.length, 2);
    assert.equal(published[1]?.revision, 1);
    assert.equal(published[1]?.fetchedAt, 1_480_000);
    answer = good('{"keys":[2]}');
    await pass(480_000);
    assert.equal(published[2]?.revision, 2);
    assert.deepEqual(documents.counts[0], { kind: 'jwks', fresh: 1, stale: 0, missing: 0, fetches: new Map([['ok', 3]]) });
  });

  const bad: readonly (readonly [what: string, answer: () => Promise<Partial<FetchAnswer>>, reason: string])[] = [
    ['no JSON', good('<html>'), 'bad_content'],
    ['JSON that is no object', good('[]'), 'bad_content'],
    ['null', good('null'), 'bad_content'],
    ['without keys', good('{"key":[]}'), 'bad_content'],
    ['no UTF-8', () => Promise.resolve({ body: Buffer.from('{"keys":[],"\xff":1}', 'latin1') }), 'bad_content'],
    ['compressed', () => Promise.resolve({ headers: { 'content-encoding': 'gzip' }, body: Buffer.from('{"keys":[]}') }), 'bad_content'],
    ['a redirect', () => Promise.resolve({ status: 307, headers: { location: 'http://169.254.169.254/' } }), 'redirected'],
    ['gone', () => Promise.resolve({ status: 410 }), 'bad_status'],
    ['an error with a good body', () => Promise.resolve({ status: 500, body: Buffer.from('{"keys":[]}') }), 'bad_status'],
    ['slow', () => Promise.reject(new FetchError('timed_out', '')), 'timed_out'],
    ['10 MiB', () => Promise.reject(new FetchError('too_large', '')), 'too_large'],
  ];
  for (const [what, failing, reason] of bad) {
    test(`${what}: the last good one stays, and it is tried again`, async () => {
      documents.use([KEYS]);
      await settle();
      answer = failing;
      await pass(480_000);
      const last = published.at(-1);
      assert.equal(last?.failure, reason);
      assert.equal(last?.text, '{"keys":[1]}');
      assert.equal(last?.fetchedAt, 1_000_000);
      for (const [wait, tries] of [
        [999, 2],
        [1, 3],
        [2000, 4],
        [4000, 5],
        [8000, 6],
        [15_000, 7],
        [15_000, 8],
      ] as const) {
        await pass(wait);
        assert.equal(calls.length, tries, `after ${wait}`);
      }
      assert.deepEqual(
        lines.map(({ message, reason, url, inForce }) => ({ message, reason, url, inForce })),
        [{ message: 'a document can not be fetched', reason, url: 'https://id.example.com/keys', inForce: true }],
      );
      await pass(200_000);
      assert.equal(documents.counts[0]?.stale, 1);
      answer = good('{"keys":[3]}');
      await pass(15_000);
      assert.equal(published.at(-1)?.text, '{"keys":[3]}');
      assert.equal(published.at(-1)?.failure, undefined);
      assert.equal(lines.at(-1)?.message, 'a document can be fetched again');
    });
  }

  test('never had: published as a failure, and had as soon as it is there', async () => {
    answer = () => Promise.reject(new FetchError('connect_failed', ''));
    documents.use([KEYS]);
    await settle();
    assert.equal(published[0]?.revision, 0);
    assert.equal(documents.counts[0]?.missing, 1);
    answer = good('{"keys":[]}');
    await pass(1000);
    assert.equal(published[1]?.revision, 1);
  });

  test('what workers miss is fetched at once, but once in 30 s', async () => {
    documents.use([KEYS]);
    await settle();
    documents.refetch(KEY);
    documents.refetch(KEY);
    await settle();
    assert.equal(calls.length, 2);
    for (let asked = 0; asked < 100; asked++) documents.refetch(KEY);
    await pass(29_999);
    documents.refetch(KEY);
    await settle();
    assert.equal(calls.length, 2);
    assert.equal(published.length, 103, 'each asker hears how it is');
    assert.equal(published.at(-1)?.refetchFrom, 1_030_000);
    await pass(1);
    documents.refetch(KEY);
    await settle();
    assert.equal(calls.length, 3);
    documents.refetch('jwks https://elsewhere.example.com/');
    await settle();
    assert.equal(calls.length, 3, 'nothing that no snapshot names');
  });

  test('an unused one is kept for a minute', async () => {
    documents.use([KEYS]);
    await settle();
    documents.use([]);
    await pass(59_000);
    documents.use([KEYS]);
    await pass(59_000);
    assert.equal(documents.states.length, 1);
    assert.equal(calls.length, 1);
    assert.deepEqual(forgotten, []);
    documents.use([]);
    await pass(60_000);
    assert.equal(documents.states.length, 0);
    assert.deepEqual(forgotten, [KEY], 'by the workers, too');
    await pass(1_000_000);
    assert.equal(calls.length, 1);
  });

  test('a shorter time takes effect', async () => {
    documents.use([KEYS]);
    await settle();
    documents.use([{ ...KEYS, cacheFor: 10_000 }]);
    await pass(8000);
    assert.equal(calls.length, 2);
  });

  test('a provider by its metadata', async () => {
    answer = good('{"keys":[]}');
    documents.use([{ kind: 'discovery', url: 'https://id.example.com/.well-known/openid-configuration', cacheFor: 1000 }]);
    await settle();
    assert.equal(published[0]?.failure, 'bad_content');
    answer = good('{"issuer":"https://id.example.com"}');
    await pass(1000);
    assert.equal(published[1]?.revision, 1);
  });

  test('nothing is published after the end', async () => {
    documents.use([KEYS]);
    documents.close();
    await settle();
    assert.deepEqual(published, []);
  });
});
