/** What every router must do; run on the oracle and on the one that serves. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Route } from '../snapshot/route.ts';
import { compileRouter } from './compile.ts';
import { compileOracle } from './oracle.ts';
import type { CompileRouter } from './router.ts';
import { hostAndPathCases } from './testdata/host-and-path-cases.ts';
import { partCases } from './testdata/part-cases.ts';
import { request, route } from './testdata/routes.ts';

const routers: Readonly<Record<string, CompileRouter>> = { oracle: compileOracle, 'compiled router': compileRouter };

for (const [name, compile] of Object.entries(routers)) {
  suite(name, () => {
    for (const { name, routes, requests } of [...hostAndPathCases, ...partCases]) {
      test(name, () => {
        const table = Object.entries(routes).map(([routeName, text], index) => route(routeName, index, text));
        for (const order of [table, table.toReversed()]) {
          const router = compile(order, (found: Route) => found.name);
          for (const [text, expected, matchIndex = 0] of requests) {
            const found = router.find(request(text));
            assert.deepEqual(found, expected === undefined ? undefined : { value: expected, matchIndex }, JSON.stringify(text));
          }
        }
      });
    }
  });
}
