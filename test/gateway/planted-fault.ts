/** A fault in the code of a worker, planted from outside. */

/**
 * A module for `NODE_OPTIONS=--import=`. The program has no way to end a worker from outside, and needs none: Node.js loads
 * this into every thread of it, and in the worker N it throws once a file `die-N` is there beside the module.
 */
export const plantedFault = `import { existsSync, rmSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';
const order = import.meta.dirname + '/die-' + workerData?.worker;
const look = () => {
  if (!existsSync(order)) return;
  rmSync(order);
  throw new Error('planted fault');
};
if (!isMainThread) setInterval(look, 10).unref();
`;
