import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { HeapCompaction } from './heap-compaction.ts';

function begin() {
  let count = 0;
  const compaction = new HeapCompaction(() => count++);
  /** Compactions after so many milliseconds more. */
  const after = (milliseconds: number): number => {
    mock.timers.tick(milliseconds);
    return count;
  };
  return { compaction, after };
}

describe('heap compaction', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
  afterEach(() => mock.timers.reset());

  test('thousands of routes more, or fewer, are worth one once it is quiet', () => {
    const { compaction, after } = begin();
    compaction.translated(10_000);
    assert.equal(after(1900), 0);
    compaction.translated(10_001);
    assert.equal(after(1900), 0, 'not while changes come');
    assert.equal(after(200), 1);
    compaction.translated(9_000);
    assert.equal(after(10_000), 1);
    compaction.translated(7_000);
    assert.equal(after(2000), 2);
  });

  test('so are many translations, whatever they change', () => {
    const { compaction, after } = begin();
    for (let round = 0; round < 49; round++) compaction.translated(10);
    assert.equal(after(10_000), 0);
    compaction.translated(10);
    assert.equal(after(2000), 1);
    compaction.translated(10);
    assert.equal(after(10_000), 1);
  });

  test('none comes after close', () => {
    const { compaction, after } = begin();
    compaction.translated(10_000);
    compaction.close();
    assert.equal(after(10_000), 0);
  });
});
