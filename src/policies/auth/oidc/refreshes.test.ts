/** Refreshes of several workers, without the threads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PodRefreshes } from './pod-refreshes.ts';
import { ProviderError, type Tokens } from './provider.ts';
import { Refreshes } from './refreshes.ts';

const TOKENS: Tokens = { idToken: 'new', claims: { sub: 'alice' }, refreshToken: 'next', expiresIn: 60 };

/** A pod of that many workers. What crosses is cloned, as between threads. */
function podOf(count: number, now: () => number = () => 0): { readonly pod: PodRefreshes; readonly workers: readonly Refreshes[] } {
  const pod = new PodRefreshes((worker, key, outcome) => workers[worker]?.told(key, structuredClone(outcome)), now);
  const workers = Array.from(
    { length: count },
    (_, worker) =>
      new Refreshes({
        claim: (key) => pod.claim(worker, key),
        settle: (key, outcome) => pod.settle(worker, key, structuredClone(outcome)),
      }),
  );
  return { pod, workers };
}

test('who comes with the same refresh token to whichever worker shares what came of it, for ten seconds; other providers and tokens do not', async () => {
  let now = 0;
  let begun = 0;
  const { workers } = podOf(2, () => now);
  const ask = (worker: number, provider = 'p', token = 't'): Promise<Tokens> =>
    (workers[worker] as Refreshes).of(provider, token, async () => {
      begun++;
      return TOKENS;
    });
  assert.deepEqual(await Promise.all([ask(0), ask(1), ask(0), ask(1)]), [TOKENS, TOKENS, TOKENS, TOKENS]);
  assert.equal(begun, 1);
  now = 9_999;
  await Promise.all([ask(0), ask(1)]);
  assert.equal(begun, 1);
  await ask(0, 'p', 'u');
  await ask(1, 'q', 't');
  assert.equal(begun, 3);
  now = 10_000;
  await ask(1);
  assert.equal(begun, 4);
});

test('a failure is told to all who wait in whichever worker, in the same words, and not to those who come after', async () => {
  const { workers } = podOf(2);
  const fails = (): Promise<Tokens> => Promise.reject(new ProviderError('ended', 'no'));
  const waiting = workers.flatMap((worker) => [worker.of('p', 't', fails), worker.of('p', 't', fails)]);
  for (const one of waiting) await assert.rejects(one, (error) => error instanceof ProviderError && error.failure === 'ended' && error.message === 'no');
  assert.deepEqual(await workers[1]?.of('p', 't', async () => TOKENS), TOKENS);
});

test('a fault of ours is told as such where it happened, and lets nobody in elsewhere', async () => {
  const { workers } = podOf(2);
  const fails = (): Promise<Tokens> => Promise.reject(new TypeError('oops'));
  const [here, there] = workers.map((worker) => worker.of('p', 't', fails));
  await assert.rejects(here as Promise<Tokens>, TypeError);
  await assert.rejects(there as Promise<Tokens>, { failure: 'unavailable' });
});

test('what a worker that died was to ask, one that waits asks; what it waited for, nobody tells it', async () => {
  const told: string[] = [];
  const pod = new PodRefreshes((worker, key, outcome) => told.push(`${worker} ${key} ${outcome === undefined ? 'ask' : 'known'}`));
  pod.claim(0, 'k');
  for (const worker of [1, 2, 3]) pod.claim(worker, 'k');
  pod.workerGone(2);
  pod.workerGone(0);
  assert.deepEqual(told, ['0 k ask', '1 k ask']);
  // What the dead one said last comes too late.
  pod.settle(0, 'k', { tokens: TOKENS });
  pod.settle(1, 'k', { tokens: TOKENS });
  assert.deepEqual(told.slice(2), ['3 k known']);
  pod.claim(0, 'k');
  assert.deepEqual(told.slice(3), ['0 k known'], 'the one in its place');
  pod.claim(0, 'other');
  pod.workerGone(0);
  pod.claim(1, 'other');
  assert.deepEqual(told.slice(4), ['0 other ask', '1 other ask']);
});

test('however many there are, only the newest are known', async () => {
  const { workers } = podOf(1);
  let begun = 0;
  const ask = (token: string): Promise<Tokens> =>
    (workers[0] as Refreshes).of('p', token, async () => {
      begun++;
      return TOKENS;
    });
  for (let index = 0; index < 10_001; index++) await ask(String(index));
  await ask('10000');
  assert.equal(begun, 10_001);
  await ask('0');
  assert.equal(begun, 10_002);
});
