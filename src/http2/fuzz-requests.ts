/**
 * Differential fuzzing of the server role against nghttp2, the one in Node:
 *
 *     node src/http2/fuzz-requests.ts [--seconds 60] [--seed 1]
 *
 * Prints the seed, and each minute where it is. Ends with exit code 1 and the frames at the first difference; a case's number
 * is a seed that begins with it.
 */
import { parseArgs } from 'node:util';
import { fuzzHttp2Requests } from './differential/compare-requests.ts';
import { ReferenceHttp2 } from './differential/request-readings.ts';

const BATCH = 100;

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: String(Date.now() % 1_000_000_000) } },
});
const seconds = Number(values.seconds);
const first = Number(values.seed);
if (!(seconds > 0) || !Number.isInteger(first)) throw new Error('--seconds must be a number above 0, --seed a whole number');
console.log(`HTTP/2 requests: seed ${first}, ${seconds} s`);

const reference = new ReferenceHttp2();
await reference.start();
const started = performance.now();
const elapsed = () => (performance.now() - started) / 1000;
let cases = 0;
const total = { same: 0, alike: 0 };
const report = () => console.log(`${Math.round(elapsed())} s: ${cases} connections, next seed ${first + cases}; the same in both: ${JSON.stringify(total)}`);

for (let reported = 0; elapsed() < seconds; cases += BATCH) {
  const { same, alike } = await fuzzHttp2Requests(reference, first + cases, BATCH);
  total.same += same;
  total.alike += alike;
  if (elapsed() - reported < 60) continue;
  reported = elapsed();
  report();
}
await reference.close();
report();
