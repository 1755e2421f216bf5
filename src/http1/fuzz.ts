/**
 * Differential fuzzing against Node's own HTTP parser, llhttp:
 *
 *     node src/http1/fuzz.ts [--seconds 60] [--seed 1]
 *
 * Prints the seed, and each minute where it is. Ends with exit code 1 and the bytes at the first difference; a case's number
 * is a seed that begins with it.
 */
import { parseArgs } from 'node:util';
import { fuzzRequests, fuzzResponses } from './differential/compare.ts';
import { ReferenceServer } from './differential/reference.ts';

const BATCH = 500;

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: String(Date.now() % 1_000_000_000) } },
});
const seconds = Number(values.seconds);
const first = Number(values.seed);
if (!(seconds > 0) || !Number.isInteger(first)) throw new Error('--seconds must be a number above 0, --seed a whole number');
console.log(`seed ${first}, ${seconds} s`);

const reference = new ReferenceServer();
const started = performance.now();
const elapsed = () => (performance.now() - started) / 1000;
let cases = 0;
const total = { requests: 0, requestsAlike: 0, responses: 0, responsesAlike: 0 };
const report = () =>
  console.log(
    `${Math.round(elapsed())} s: ${cases} connections and ${cases} responses, next seed ${first + cases}; the same in both: ${JSON.stringify(total)}`,
  );

for (let reported = 0; elapsed() < seconds; cases += BATCH) {
  const ofRequests = await fuzzRequests(reference, first + cases, BATCH);
  const ofResponses = await fuzzResponses(first + cases, BATCH);
  total.requests += ofRequests.same;
  total.requestsAlike += ofRequests.alike;
  total.responses += ofResponses.same;
  total.responsesAlike += ofResponses.alike;
  if (elapsed() - reported < 60) continue;
  reported = elapsed();
  report();
}
reference.close();
report();
