/** Work that must wait until the caller has returned, but not for the next turn of the event loop. */
export interface Deferred {
  runDeferred(): void;
}

const queue: Deferred[] = [];
let next = 0;
let scheduled = false;

/** Runs it once the code that runs now is done; without a closure or a promise for each. */
export function defer(item: Deferred): void {
  queue.push(item);
  if (scheduled) return;
  scheduled = true;
  process.nextTick(run);
}

function run(): void {
  try {
    // What is deferred meanwhile runs as well.
    while (next < queue.length) (queue[next++] as Deferred).runDeferred();
  } finally {
    // One that throws must not take the others along.
    queue.splice(0, next);
    next = 0;
    scheduled = queue.length > 0;
    if (scheduled) process.nextTick(run);
  }
}
