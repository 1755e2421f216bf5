/** Prints how long translation takes: the first time, again, and for the edit of one EndpointSlice. `node scripts/translate-time.ts [rules]` */
import { buildSet } from '../src/translate/testdata/build-set.ts';
import { manyRoutes } from '../src/translate/testdata/many-routes.ts';
import { type TranslateOptions, translate, translateEndpoints } from '../src/translate/translate.ts';

const rules = Number(process.argv[2] ?? 10_000);
const options: TranslateOptions = { ingressClass: 'tidegate', allowExternalName: false, allowLoopbackEndpoints: true };
const manifests = manyRoutes(rules);
const set = buildSet(manifests);

function time<T>(what: string, run: () => T): T {
  const start = performance.now();
  const result = run();
  console.log(`${what.padEnd(32)} ${(performance.now() - start).toFixed(1).padStart(8)} ms`);
  return result;
}

console.log(`${rules} rules in ${manifests.length} objects`);
const first = time('first translation', () => translate(set, options));
time('second translation', () => translate(set, options));
time('third translation', () => translate(set, options, first));
console.log(`${first.snapshot.routes.length} routes, ${first.snapshot.upstreams.size} upstreams, ${first.problems.length} problems`);
const slice = manifests.findIndex(({ kind }) => kind === 'EndpointSlice');
const edited = manifests.with(slice, { ...manifests[slice], endpoints: [{ addresses: ['10.9.9.9'] }] });
const next = { ...set, endpointSlices: buildSet(edited).endpointSlices };
const { changes } = time('edit of one EndpointSlice', () => translateEndpoints(next, options, first));
console.log(`${changes.size} upstream changed`);
