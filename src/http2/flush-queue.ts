/** What has frames to send at the end of the event loop's turn. */
export interface Flushable {
  flush(): void;
}

let queue: Flushable[] = [];
let spare: Flushable[] = [];

/**
 * Flushes it once everything that this turn of the event loop brings has been worked on, so that the frames for one peer go
 * out in one write, wherever the answers came from. To be called once until it is flushed.
 */
export function flushLater(item: Flushable): void {
  if (queue.push(item) === 1) setImmediate(flushAll);
}

function flushAll(): void {
  const items = queue;
  // What is written meanwhile has its turn next time.
  queue = spare;
  let index = 0;
  try {
    while (index < items.length) (items[index++] as Flushable).flush();
  } finally {
    // One that throws must not take the others along.
    if (index < items.length) for (const item of items.slice(index)) flushLater(item);
    items.length = 0;
    spare = items;
  }
}
