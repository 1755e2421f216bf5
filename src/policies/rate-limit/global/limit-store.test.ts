/** The store against a server that the test plays: what it refuses, when it is silent, and when it is asked again. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Script, type ScriptConnection } from '../../../redis/script-connection.ts';
import { LimitStore, type StoreQuestion } from './limit-store.ts';

interface Sent {
  readonly keys: readonly string[];
  readonly args: readonly string[];
  answer(value: unknown): void;
  refuse(message: string): void;
}

class PlayedConnection implements ScriptConnection {
  isReady = true;
  isCluster = false;
  onChange: (detail: string) => void = () => {};
  readonly sent: Sent[] = [];
  readonly renewed: string[] = [];

  run(_script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.sent.push({ keys, args, answer: resolve, refuse: (message) => reject(new Error(message)) });
    });
  }

  renew(reason: string): void {
    this.renewed.push(reason);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function played(timeout = 60_000) {
  const connection = new PlayedConnection();
  const log: string[] = [];
  const counted: string[] = [];
  const store = new LimitStore({
    connection,
    script: new Script('return 1'),
    metrics: { observe: () => {}, countFailure: (reason, questions) => counted.push(`${reason} ${questions}`), countFallback: () => {} },
    log: (level, message, fields) => log.push(`${level} ${message} ${fields.error ?? ''}`.trim()),
    timeout,
    random: () => 0,
  });
  connection.onChange('');
  const came: string[] = [];
  const ask = (name: string, slot = 0): boolean => store.ask(slot, `t${slot}`, questionOf(name));
  const questionOf = (name: string): StoreQuestion => ({
    keys: [`{t}${name}`],
    args: ['4', name],
    size: 1,
    onAnswer: (answer, from) => came.push(`${name} ${answer[from]}`),
    onFailure: (reason) => came.push(`${name} ${reason}`),
  });
  return { connection, store, log, counted, came, ask };
}

test('questions of one turn go out in one call, and each gets its part of the answer', async () => {
  const { connection, came, ask } = played();
  for (const name of ['a', 'b', 'c']) assert.equal(ask(name), true);
  await turn();
  assert.equal(connection.sent.length, 1);
  assert.deepEqual(connection.sent[0]?.keys, ['{t}a', '{t}b', '{t}c']);
  assert.deepEqual(connection.sent[0]?.args, ['0', '4', 'a', '4', 'b', '4', 'c']);
  connection.sent[0]?.answer([1_000_000, 1, 2, 3]);
  await turn();
  assert.deepEqual(came, ['a 1', 'b 2', 'c 3']);
});

for (const [what, answer] of [
  ['no list', 'OK'],
  ['nothing', null],
  ['an empty list', []],
  ['no clock', ['OK', 1]],
  ['fewer numbers than were asked for', [1_000_000, 1]],
] as const) {
  test(`an answer that is ${what} fails its questions, and nothing else`, async () => {
    const { connection, came, ask } = played();
    ask('a');
    ask('b');
    await turn();
    connection.sent[0]?.answer(answer);
    await turn();
    assert.deepEqual(came, ['a refused', 'b refused']);
    assert.equal(ask('c'), true);
    await turn();
    connection.sent[1]?.answer([2_000_000, 5]);
    await turn();
    assert.deepEqual(came.slice(2), ['c 5']);
  });
}

test('a call has at most 64 questions, and calls do not wait for each other', async () => {
  const { connection, ask } = played();
  for (let index = 0; index < 130; index++) ask(String(index));
  await turn();
  assert.deepEqual(
    connection.sent.map(({ keys }) => keys.length),
    [64, 64, 2],
  );
});

for (const refusal of [
  'READONLY You can not write against a read only replica.',
  'LOADING Redis is loading the dataset in memory',
  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  'CLUSTERDOWN The cluster is down',
  'OOM command not allowed when used memory > maxmemory.',
]) {
  test(`down at once: ${refusal}`, async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const { connection, store, log, came, ask } = played();
      ask('a');
      await turn();
      ask('b');
      await turn();
      connection.sent[0]?.refuse(refusal);
      await turn();
      assert.deepEqual(came, ['a refused', 'b refused'], 'nobody waits for another answer');
      assert.equal(ask('c'), false);
      assert.equal(store.isUp, false);
      assert.deepEqual(log, [`warn rate limit store is down: what policies say in onStoreFailure holds ${refusal}`]);
      assert.deepEqual(connection.renewed, refusal.startsWith('READONLY') ? [refusal] : []);
      // The first probe, which is refused as well, and the second one.
      mock.timers.tick(50);
      assert.equal(connection.sent.length, 3);
      assert.deepEqual(connection.sent[2]?.keys, ['tidegate:{t0}:probe']);
      connection.sent[2]?.refuse(refusal);
      await turn();
      mock.timers.tick(99);
      assert.equal(connection.sent.length, 3);
      mock.timers.tick(1);
      connection.sent[3]?.answer(1);
      await turn();
      assert.equal(ask('d'), true);
      assert.equal(log.length, 2);
      assert.equal(log[1], 'info rate limit store is back');
    } finally {
      mock.timers.reset();
    }
  });
}

test('one refusal of another kind costs its call, three in a row turn it down', async () => {
  const { connection, store, ask } = played();
  for (const isUp of [true, true, false]) {
    ask('a');
    await turn();
    connection.sent.at(-1)?.refuse('ERR something');
    await turn();
    assert.equal(store.isUp, isUp);
  }
});

test('silence: three calls wait their time, later ones do not; what comes after all is not taken', async () => {
  const { connection, came, ask, store } = played(1);
  for (const name of ['a', 'b', 'c']) {
    ask(name);
    await turn();
  }
  while (came.length < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(came, ['a timeout', 'b timeout', 'c timeout']);
  assert.equal(store.isUp, false);
  assert.equal(ask('d'), false);
  connection.sent[0]?.answer([1_000_000, 1]);
  await turn();
  assert.equal(came.length, 3);
});

test('an answer that is there by the time that a busy worker looks is in time', async () => {
  const { connection, came, ask } = played(5);
  ask('a');
  await turn();
  for (const until = performance.now() + 20; performance.now() < until; );
  connection.sent[0]?.answer([1_000_000, 7]);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(came, ['a 7']);
});

test('calls say from when on they are not to be done; one that was not is a failure of its own kind', async () => {
  const { connection, came, ask, store } = played(1000);
  ask('a');
  await turn();
  connection.sent[0]?.answer([5_000_000_000, 1]);
  await turn();
  ask('b');
  await turn();
  const late = Number(connection.sent[1]?.args[0]) - 5_000_000_000;
  assert.ok(late >= 1_000_000 && late < 61_000_000, `${late}`);
  connection.sent[1]?.answer([9_000_000_000]);
  await turn();
  assert.deepEqual(came, ['a 1', 'b late']);
  assert.equal(store.isUp, true);
});

test('a lost connection fails what waits, and a new one is probed first', async () => {
  const { connection, came, ask, log } = played();
  ask('a');
  await turn();
  connection.isReady = false;
  connection.onChange('connection lost');
  assert.deepEqual(came, ['a connection']);
  connection.onChange('h:1: ECONNREFUSED');
  connection.onChange('h:1: ECONNREFUSED');
  connection.isReady = true;
  connection.onChange('');
  assert.equal(ask('b'), false);
  connection.sent[1]?.answer(1);
  await turn();
  assert.equal(ask('c'), true);
  assert.deepEqual(log, [
    'warn rate limit store is down: what policies say in onStoreFailure holds connection lost',
    'warn rate limit store is still down h:1: ECONNREFUSED',
    'info rate limit store is back',
  ]);
});

test('a question whose answer can not be dealt with costs no other one its own', async () => {
  const { connection, store, came, ask, log } = played();
  store.ask(0, 't', {
    keys: [],
    args: [],
    size: 1,
    onAnswer: () => {
      throw new Error('a fault');
    },
    onFailure: () => {},
  });
  ask('b');
  await turn();
  connection.sent[0]?.answer([1, 2, 3]);
  await turn();
  assert.deepEqual(came, ['b 3']);
  assert.match(log.at(-1) ?? '', /^error a rate limit could not be decided Error: a fault/);
});

test('in a cluster each slot is up or down by itself', async () => {
  const { connection, store, ask, came } = played();
  connection.isCluster = true;
  ask('a', 1);
  ask('b', 2);
  await turn();
  assert.equal(connection.sent.length, 2);
  connection.sent[0]?.refuse('CLUSTERDOWN Hash slot not served');
  connection.sent[1]?.answer([1_000_000, 5]);
  await turn();
  assert.deepEqual(came.sort(), ['a refused', 'b 5']);
  assert.deepEqual([store.takes(1), store.takes(2)], [false, true]);
});
