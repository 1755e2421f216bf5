import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tokens } from './provider.ts';
import { Refreshes } from './refreshes.ts';

const TOKENS: Tokens = { idToken: undefined, claims: undefined, refreshToken: undefined, expiresIn: undefined };

test('who comes with the same refresh token shares what came of it, for ten seconds; other providers and tokens do not', async () => {
  let now = 0;
  let begun = 0;
  const refreshes = new Refreshes(() => now);
  const ask = (provider: string, token: string): Promise<Tokens> =>
    refreshes.of(provider, token, async () => {
      begun++;
      return TOKENS;
    });
  await Promise.all([ask('p', 't'), ask('p', 't'), ask('p', 't')]);
  assert.equal(begun, 1);
  now = 9_999;
  await ask('p', 't');
  assert.equal(begun, 1);
  await ask('p', 'u');
  await ask('q', 't');
  assert.equal(begun, 3);
  now = 10_000;
  await ask('p', 't');
  assert.equal(begun, 4);
});

test('a failure is told to all who wait, and not to those who come after', async () => {
  const refreshes = new Refreshes(() => 0);
  const fails = (): Promise<Tokens> => Promise.reject(new Error('no'));
  const waiting = [refreshes.of('p', 't', fails), refreshes.of('p', 't', fails)];
  for (const one of waiting) await assert.rejects(one, /no/);
  assert.equal(await refreshes.of('p', 't', async () => TOKENS), TOKENS);
});

test('however many there are, only the newest are known', async () => {
  const refreshes = new Refreshes(() => 0);
  let begun = 0;
  const begin = async (): Promise<Tokens> => {
    begun++;
    return TOKENS;
  };
  for (let index = 0; index < 10_001; index++) await refreshes.of('p', String(index), begin);
  await refreshes.of('p', '10000', begin);
  assert.equal(begun, 10_001);
  await refreshes.of('p', '0', begin);
  assert.equal(begun, 10_002);
});
