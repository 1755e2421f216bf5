import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Changes } from './changes.ts';
import { PATIENCE } from './lifetime.ts';

test('who waits for a change goes on with it, or is told at last that it does not come', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const changes = new Changes();
  let count = 0;
  const third = changes.until(
    () => count === 3,
    () => `${count}`,
  );
  const never = changes.until(
    () => count < 0,
    () => `the count is ${count}`,
  );
  for (; count < 3; count++) changes.wake();
  changes.wake();
  await third;
  context.mock.timers.tick(PATIENCE);
  await assert.rejects(never, /waited for .*: the count is 3/);
});
