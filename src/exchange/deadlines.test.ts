import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deadlines, type Timed } from './deadlines.ts';

class Item implements Timed {
  deadline: number;
  deadlineIndex = -1;
  fired = 0;
  readonly #then: () => void;

  constructor(deadline: number, then: () => void = () => {}) {
    this.deadline = deadline;
    this.#then = then;
  }

  onDeadline(): void {
    this.fired++;
    this.#then();
  }
}

test('what is due runs, what is not waits, what was removed is forgotten', () => {
  const deadlines = new Deadlines(1_000_000);
  const due = new Item(10);
  const later = new Item(20);
  const removed = new Item(5);
  for (const item of [due, later, removed]) deadlines.add(item);
  deadlines.add(due);
  assert.equal(deadlines.size, 3);
  deadlines.remove(removed);
  deadlines.remove(removed);
  deadlines.sweep(10);
  assert.deepEqual([due.fired, later.fired, removed.fired], [1, 0, 0]);
  deadlines.close();
});

test('items may remove themselves and add others while a sweep runs', () => {
  const deadlines = new Deadlines(1_000_000);
  const added = new Item(0);
  const items = [0, 1, 2, 3, 4].map((index): Item => {
    const item: Item = new Item(0, () => {
      deadlines.remove(item);
      if (index === 2) deadlines.add(added);
    });
    return item;
  });
  for (const item of items) deadlines.add(item);
  deadlines.sweep(1);
  assert.deepEqual(
    items.map((item) => item.fired),
    [1, 1, 1, 1, 1],
  );
  assert.equal(deadlines.size, 1);
  deadlines.close();
});
