import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withCalls } from './environments.ts';
import { addReads, noReads } from './request-reads.ts';

const UNNAMED = 'request.headers, by names that are not written down';

function reads(source: string): { readonly fields: string[]; readonly others: string[] } {
  const found = noReads();
  addReads(source, withCalls(['user']), found);
  return { fields: [...found.fields].sort(), others: [...found.others].sort() };
}

test('headers that are named, and cookies, are fields', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ["request.headers['X-A']", ['x-a']],
    ["'x-a' in request.headers ? request.headers['x-a'] : request.headers['x-b']", ['x-a', 'x-b']],
    ['has(request.headers.accept) && user.failed', ['accept']],
    ["[1, 2].map(n, request.headers['x-c'])", ['x-c']],
    ["{'a': request.cookies.session}", ['cookie']],
    ["request['headers']['x-d']", ['x-d']],
  ];
  for (const [source, fields] of cases) assert.deepEqual(reads(source), { fields, others: [] }, source);
});

test('what no field says is told by name', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['identity.subject', ['identity']],
    ["'gold' in identity.groups && request.client.ip == ''", ['identity', 'request.client']],
    ['request.headers[request.query.name]', [UNNAMED]],
    ['size(request.headers)', [UNNAMED]],
    ['request.headers.map(name, name)', [UNNAMED]],
  ];
  for (const [source, others] of cases) assert.deepEqual(reads(source), { fields: [], others }, source);
});

test('the URL, and results of calls, are neither', () => {
  for (const source of [
    "request.path + request.query.a + string('b' in request.query)",
    "'/users/' + request.path.id",
    "user.headers['x-a'] + user.body.name",
    "request.method == 'GET' || request.body == null || request.host == request.scheme",
  ])
    assert.deepEqual(reads(source), { fields: [], others: [] }, source);
});

test('parameters of the query are told by name, or that nobody knows which', () => {
  const cases: readonly (readonly [string, readonly (string | undefined)[]])[] = [
    ["request.query.a + request.query['b'] + string('c' in request.query)", ['a', 'b', 'c']],
    ['has(request.query.a) && user.failed', ['a']],
    ["'/users/' + request.path.id", []],
    ['size(request.query)', [undefined]],
    ["request.query[request.headers['x-a']]", [undefined]],
    ['[request].map(all, all.query.a)', [undefined]],
  ];
  for (const [source, parameters] of cases) {
    const found = noReads();
    addReads(source, withCalls(['user']), found);
    assert.deepEqual([...found.parameters], parameters, source);
  }
});
