import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { NameResolver } from './name-resolver.ts';
import { type Answer, answered, NameServer } from './name-server.fixture.ts';

function begin(names: Readonly<Record<string, Answer>>, random = 0.5) {
  const server = new NameServer(names);
  const log: string[] = [];
  const changed: string[] = [];
  const resolver = new NameResolver({
    lookup: server.lookup,
    random: () => random,
    log: (level, message, fields) => log.push(`${level} ${message}: ${fields.name} ${fields.error ?? fields.addresses}`),
    onChange: (name) => changed.push(`${name} ${resolver.addressesOf(name).join()}`.trim()),
  });
  return { server, resolver, takeLog: () => log.splice(0), takeChanged: () => changed.splice(0) };
}

/** Time goes by, a second at a time, and answers come in. */
async function pass(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    mock.timers.tick(1000);
    await answered();
  }
}

describe('name resolver', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
  afterEach(() => mock.timers.reset());

  test('a new name is looked up at once, and told of once its answer is in', async () => {
    const { server, resolver, takeChanged } = begin({ 'a.test': ['10.0.0.2', '10.0.0.1', '10.0.0.2'] });
    resolver.use(new Set(['a.test']));
    assert.deepEqual([server.take(), takeChanged(), resolver.isWaiting], [['a.test'], [], true]);
    await answered();
    assert.deepEqual([takeChanged(), resolver.isWaiting], [['a.test 10.0.0.1,10.0.0.2'], false]);
  });

  test('it is looked up again every 30 s, and told of only when it leads elsewhere', async () => {
    const { server, resolver, takeChanged } = begin({ 'a.test': ['10.0.0.1'] });
    resolver.use(new Set(['a.test']));
    await answered();
    takeChanged();
    server.take();
    await pass(29);
    assert.deepEqual(server.take(), []);
    await pass(1);
    assert.deepEqual([server.take(), takeChanged()], [['a.test'], []]);
    server.names.set('a.test', ['2001:DB8::1', '10.0.0.1']);
    await pass(30);
    assert.deepEqual([server.take(), takeChanged()], [['a.test'], ['a.test 10.0.0.1,2001:db8::1']]);
  });

  for (const [random, earliest, latest] of [
    [0, 23, 24],
    [0.99, 35, 36],
  ] as const) {
    test(`look-ups are spread over time: chance ${random}`, async () => {
      const { server, resolver } = begin({ 'a.test': ['10.0.0.1'] }, random);
      resolver.use(new Set(['a.test']));
      await answered();
      server.take();
      await pass(earliest);
      assert.deepEqual(server.take(), []);
      await pass(latest - earliest);
      assert.deepEqual(server.take(), ['a.test']);
    });
  }

  test('a failure keeps the last answer, however long it lasts, and is told once, and once when it is over', async () => {
    const { server, resolver, takeChanged, takeLog } = begin({ 'a.test': ['10.0.0.1'] });
    resolver.use(new Set(['a.test']));
    await answered();
    takeChanged();
    for (const failure of [new Error('EAI_AGAIN'), [], new Error('ENOTFOUND')]) {
      server.names.set('a.test', failure);
      await pass(100);
    }
    assert.deepEqual([resolver.addressesOf('a.test'), takeChanged()], [['10.0.0.1'], []]);
    assert.deepEqual(takeLog(), ['warn a name can not be resolved: a.test EAI_AGAIN']);
    assert.deepEqual(resolver.counts, { resolved: 0, stale: 1, unresolved: 0 });
    server.names.set('a.test', ['10.0.0.2']);
    await pass(40);
    assert.deepEqual([takeChanged(), takeLog()], [['a.test 10.0.0.2'], ['info a name resolves again: a.test 10.0.0.2']]);
    assert.deepEqual(resolver.counts, { resolved: 1, stale: 0, unresolved: 0 });
  });

  test('a name that does not resolve is tried again soon, then ever less often', async () => {
    const { server, resolver, takeChanged, takeLog } = begin({});
    resolver.use(new Set(['a.test']));
    await answered();
    assert.deepEqual([takeChanged(), resolver.isWaiting, resolver.counts.unresolved], [['a.test'], false, 1]);
    server.take();
    const gaps: number[] = [];
    for (let gap = 0; gaps.length < 7; gap++) {
      if (server.take().length > 0) {
        gaps.push(gap);
        gap = 0;
      }
      await pass(1);
    }
    assert.deepEqual(gaps, [1, 2, 4, 8, 16, 30, 30]);
    assert.equal(takeLog().length, 1);
    assert.deepEqual(takeChanged(), []);
  });

  test('a look-up that hangs counts as failed after 5 s, and is not begun again while it does', async () => {
    const { server, resolver, takeChanged, takeLog } = begin({ 'a.test': ['10.0.0.1'], 'b.test': 'hangs' });
    resolver.use(new Set(['a.test', 'b.test']));
    await answered();
    takeChanged();
    await pass(4);
    assert.deepEqual([takeLog(), resolver.isWaiting], [[], true]);
    await pass(1);
    assert.deepEqual([takeLog(), takeChanged(), resolver.isWaiting], [['warn a name can not be resolved: b.test no answer within 5 s'], ['b.test'], false]);
    server.names.set('a.test', 'hangs');
    server.take();
    await pass(50);
    assert.deepEqual(server.take(), ['a.test']);
    assert.deepEqual([resolver.addressesOf('a.test'), takeChanged()], [['10.0.0.1'], []]);
    assert.deepEqual(takeLog(), ['warn a name can not be resolved: a.test no answer within 5 s']);
  });

  test('an answer that comes late is taken, and the trouble is over with the first that comes in time', async () => {
    const { server, resolver, takeChanged, takeLog } = begin({ 'a.test': 'hangs' });
    resolver.use(new Set(['a.test']));
    await pass(7);
    takeChanged();
    takeLog();
    server.answer('a.test', ['10.0.0.1']);
    await answered();
    assert.deepEqual([takeChanged(), takeLog(), resolver.counts.stale], [['a.test 10.0.0.1'], [], 1]);
    server.names.set('a.test', ['10.0.0.1']);
    await pass(2);
    assert.deepEqual([takeChanged(), takeLog()], [[], ['info a name resolves again: a.test 10.0.0.1']]);
  });

  test('a look-up that never ends is given up in the end, and what it says after that counts no more', async () => {
    const { server, resolver, takeChanged } = begin({ 'a.test': 'hangs' });
    resolver.use(new Set(['a.test']));
    await pass(59);
    assert.deepEqual(server.take(), ['a.test']);
    server.names.set('a.test', ['10.0.0.1']);
    await pass(3);
    takeChanged();
    server.answer('a.test', ['10.9.9.9']);
    await pass(31);
    assert.deepEqual([resolver.addressesOf('a.test'), takeChanged()], [['10.0.0.1'], []]);
  });

  test('names that nobody uses are forgotten, and an answer that comes then is nobody’s', async () => {
    const { server, resolver, takeChanged, takeLog } = begin({ 'a.test': ['10.0.0.1'], 'b.test': 'hangs', 'c.test': new Error('ENOTFOUND') });
    resolver.use(new Set(['a.test', 'b.test', 'c.test']));
    await answered();
    resolver.use(new Set());
    takeChanged();
    takeLog();
    server.take();
    server.answer('b.test', ['10.0.0.2']);
    await pass(100);
    assert.deepEqual([server.take(), takeChanged(), takeLog(), resolver.isWaiting], [[], [], [], false]);
    assert.deepEqual(resolver.addressesOf('a.test'), []);
    server.names.set('b.test', ['10.0.0.3']);
    resolver.use(new Set(['b.test']));
    await answered();
    assert.deepEqual(takeChanged(), ['b.test 10.0.0.3']);
  });

  test('nothing happens after close', async () => {
    const { server, resolver, takeChanged } = begin({ 'a.test': 'hangs', 'b.test': ['10.0.0.1'] });
    resolver.use(new Set(['a.test', 'b.test']));
    resolver.close();
    server.take();
    server.answer('a.test', ['10.0.0.1']);
    await pass(100);
    assert.deepEqual([server.take(), takeChanged()], [[], []]);
  });

  test('of many names two are looked up at a time, each once', async () => {
    const names = Array.from({ length: 500 }, (_, index) => `name-${index}.test`);
    const { server, resolver, takeChanged } = begin(Object.fromEntries(names.map((name) => [name, ['10.0.0.1']])));
    resolver.use(new Set(names));
    while (resolver.isWaiting) await answered();
    assert.deepEqual(server.take(), names);
    assert.equal(takeChanged().length, 500);
    await pass(60);
    assert.equal(server.take().length, 1000);
    assert.equal(server.mostRunning, 2);
  });

  test('names whose look-ups hang hold up no others once that is known', async () => {
    const bad = Array.from({ length: 10 }, (_, index) => `bad-${index}.test`);
    const { server, resolver, takeChanged } = begin({ ...Object.fromEntries(bad.map((name) => [name, new Error('ENOTFOUND')])), 'a.test': ['10.0.0.1'] });
    resolver.use(new Set([...bad, 'a.test']));
    while (resolver.isWaiting) await answered();
    for (const name of bad) server.names.set(name, 'hangs');
    await pass(50);
    server.take();
    server.names.set('a.test', ['10.0.0.2']);
    server.names.set('new.test', ['10.0.0.3']);
    takeChanged();
    resolver.use(new Set([...bad, 'a.test', 'new.test']));
    await answered();
    assert.deepEqual(takeChanged(), ['new.test 10.0.0.3']);
    await pass(30);
    assert.deepEqual(takeChanged(), ['a.test 10.0.0.2']);
    assert.equal(server.running <= 2, true);
  });
});
