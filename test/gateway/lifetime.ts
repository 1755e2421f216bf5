/**
 * What a test has started, and how it ends with the test, whether that passes or not. `TestContext.after` alone is not enough:
 * of several hooks, those after one that fails do not run.
 */
import { after } from 'node:test';

/** Whatever something can live as long as: the context of a test, or `wholeFile`. */
export interface Lifetime {
  after(stop: () => Promise<void>): void;
}

/**
 * After so many milliseconds what a test waits for is not coming. Far longer than anything takes: on a machine that has much
 * else to do the program needs a quarter of a minute to start.
 */
export const PATIENCE = 60_000;

type Stop = () => unknown;

const started = new WeakMap<Lifetime, Stop[]>();

/** For what all tests of a file share and `before` starts. */
export const wholeFile: Lifetime = { after };

// Hooks of the whole file have to be there before its first test; those of a test come when something is started.
started.set(wholeFile, []);
after(() => stopAll(wholeFile));

/** When the lifetime ends, `stop` runs: the last that was started is stopped first, and each of them though others fail. */
export function endWith(lifetime: Lifetime, stop: Stop): void {
  let stops = started.get(lifetime);
  if (stops === undefined) {
    stops = [];
    started.set(lifetime, stops);
    lifetime.after(() => stopAll(lifetime));
  }
  stops.push(stop);
}

async function stopAll(lifetime: Lifetime): Promise<void> {
  const stops = started.get(lifetime) ?? [];
  const errors: unknown[] = [];
  for (let stop = stops.pop(); stop !== undefined; stop = stops.pop()) {
    try {
      await stop();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors, errors.map(String).join('\n'));
}
