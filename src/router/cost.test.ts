/**
 * What a look-up costs, counted and not timed: how often V8 ran each block of the code. A table of a thousand
 * times as many hosts, paths or patterns must not cost more.
 */
import assert from 'node:assert/strict';
import { Session } from 'node:inspector';
import { test } from 'node:test';
import type { Route } from '../snapshot/route.ts';
import { compileRouter, RouterBuilder } from './compile.ts';
import { compileOracle } from './oracle.ts';
import type { CompileRouter } from './router.ts';
import { type RequestText, request, route } from './testdata/routes.ts';

const session = new Session();
session.connect();

interface Coverage {
  readonly result: readonly { readonly url: string; readonly functions: readonly { readonly ranges: readonly { readonly count: number }[] }[] }[];
}

/** The inspector of a thread's own answers before `post` returns. */
function post(method: string, params: object = {}): unknown {
  let answer: unknown;
  session.post(method, params, (error, result) => {
    if (error !== null) throw error;
    answer = result;
  });
  return answer;
}

post('Profiler.enable');
post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

const COUNTED = [new URL('.', import.meta.url).href, new URL('.', import.meta.resolve('re2js')).href];
const TESTDATA = new URL('testdata/', import.meta.url).href;

/** How many blocks a run goes through, of this folder's code and of the regular expressions' engine. */
function blocks(run: () => void): number {
  // Counts begin anew each time they are taken.
  post('Profiler.takePreciseCoverage');
  run();
  const { result } = post('Profiler.takePreciseCoverage') as Coverage;
  let sum = 0;
  for (const script of result) {
    if (!COUNTED.some((prefix) => script.url.startsWith(prefix)) || script.url.startsWith(TESTDATA)) continue;
    for (const { ranges } of script.functions) for (const { count } of ranges) sum += count;
  }
  return sum;
}

/** Blocks per look-up. */
function cost(compile: CompileRouter, routes: readonly Route[], requests: readonly RequestText[]): number {
  const router = compile(routes, ({ name }) => name);
  const routables = requests.map(request);
  const findAll = (): void => {
    for (const routable of routables) router.find(routable);
  };
  // The automata of regular expressions grow as they are used.
  findAll();
  return blocks(findAll) / requests.length;
}

interface Growth {
  readonly what: string;
  readonly routes: (size: number) => readonly Route[];
  readonly requests: (size: number) => readonly RequestText[];
}

const SMALL = 8;
const LARGE = 8_000;

function repeat<T>(count: number, make: (index: number) => T): readonly T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

/** The same number of requests whatever the size, spread over all of the table. */
function spread(size: number, make: (index: number) => RequestText): readonly RequestText[] {
  return repeat(64, (index) => make(Math.floor((index * size) / 64)));
}

const growths: readonly Growth[] = [
  {
    what: 'exact hosts',
    routes: (size) => repeat(size, (index) => route(`r${index}`, index, { hosts: [`h${index}.example.com`] })),
    requests: (size) => spread(size, (index) => ({ host: `h${index}.example.com` })),
  },
  {
    what: 'wildcard hosts',
    routes: (size) => repeat(size, (index) => route(`r${index}`, index, { hosts: [`*.h${index}.example.com`, `+.g${index}.example.com`] })),
    requests: (size) => spread(size, (index) => ({ host: `a.${index % 2 === 0 ? 'h' : 'g'}${index}.example.com` })),
  },
  {
    what: 'hosts, asked for unknown ones',
    routes: (size) => repeat(size, (index) => route(`r${index}`, index, { hosts: [`h${index}.example.com`, `*.w${index}.example.com`] })),
    requests: (size) => spread(size, (index) => ({ host: `a.b.unknown${index}.example.com` })),
  },
  {
    what: 'exact paths of one host',
    routes: (size) => repeat(size, (index) => route(`r${index}`, index, { matches: [{ path: `=/v1/p${index}` }] })),
    requests: (size) => spread(size, (index) => ({ path: `/v1/p${index}` })),
  },
  {
    what: 'path prefixes of one host',
    routes: (size) => repeat(size, (index) => route(`r${index}`, index, { matches: [{ path: `/v1/p${index}` }] })),
    requests: (size) => spread(size, (index) => ({ path: `/v1/p${index}/items/7` })),
  },
  {
    what: 'path prefixes, asked for unknown paths',
    routes: (size) => repeat(size, (index) => route(`r${index}`, index, { matches: [{ path: `/v1/p${index}` }, { path: '/' }] })),
    requests: (size) => spread(size, (index) => ({ path: `/v1/q${index}/items/7` })),
  },
];

for (const { what, routes, requests } of growths) {
  test(`a look-up costs no more with ${LARGE} than with ${SMALL} ${what}`, () => {
    const small = cost(compileRouter, routes(SMALL), requests(SMALL));
    const large = cost(compileRouter, routes(LARGE), requests(LARGE));
    // The slots that a hash map probes vary by chance around a mean that the load alone decides.
    assert.ok(small > 0 && large < small * 2, `${small} blocks with ${SMALL}, ${large} with ${LARGE}`);
  });
}

test('a look-up costs no more with many regular expressions than with a few', () => {
  const routes = (size: number) => repeat(size, (index) => route(`r${index}`, index, { matches: [{ path: `~/p${index}/[a-z]+` }] }));
  const requests = (size: number) => spread(size, (index) => ({ path: `/p${index}/abc` }));
  const small = cost(compileRouter, routes(8), requests(8));
  const large = cost(compileRouter, routes(400), requests(400));
  assert.ok(small > 0 && large < small * 2, `${small} blocks with 8, ${large} with 400`);
});

test('a look-up costs with the depth of the path', () => {
  const at = (depth: number) => {
    const text = '/e'.repeat(depth);
    return cost(compileRouter, [route('deep', 0, { matches: [{ path: text }] })], [{ path: text }]);
  };
  assert.ok(at(40) > at(4) * 4);
});

test('the counting sees what grows: the oracle looks at every route', () => {
  const [{ routes, requests }] = growths as [Growth];
  assert.ok(cost(compileOracle, routes(800), requests(800)) > cost(compileOracle, routes(SMALL), requests(SMALL)) * 20);
});

/** Steps of making a router. */
function buildSteps(routes: readonly Route[]): number {
  const steps = new RouterBuilder<string>().change([], routes, ({ name }) => name);
  let count = 0;
  while (steps.next().done !== true) count++;
  return count;
}

test('hosts with the same routes share what is made of them: a route with many hosts and many paths costs their sum, not their product', () => {
  const made = (hosts: number): number => {
    const names = repeat(hosts, (index) => `h${index}.example.com`);
    return blocks(() => compileRouter([route('r', 0, { hosts: names, matches: repeat(400, (index) => ({ path: `/p${index}` })) })], ({ name }) => name));
  };
  made(2);
  const [few, many] = [made(1), made(400)];
  assert.ok(many < few * 4, `${few} blocks with one host, ${many} with 400`);
});

test('a router is made in steps of one pattern at most', () => {
  const plain = buildSteps([route('r', 0, { matches: repeat(60, (index) => ({ path: `/p${index}` })) })]);
  const matches = repeat(60, (index) => ({ path: `~/p${index}/[a-z]+`, headers: [`x~v${index}+`] }));
  assert.ok(buildSteps([route('r', 0, { matches })]) >= plain + 120);
});
