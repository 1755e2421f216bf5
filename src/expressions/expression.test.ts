/** Expressions: what they give, what is refused when they are read, and what fails while they run. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Environment } from '@marcbachmann/cel-js';
import { type ExpressionEnvironment, requestHead, wholeRequest, withCalls } from './environments.ts';
import { checkExpression, compileExpression, type Wanted } from './expression.ts';
import { ExpressionError } from './expression-error.ts';
import { parseJson, writeJson } from './json.ts';

const free: ExpressionEnvironment = { variables: new Map([['body', 'dyn']]), budget: 100_000 };

function evaluate(source: string, variables: Readonly<Record<string, unknown>> = {}, environment = free): unknown {
  return compileExpression(source, environment, 'json').evaluate(variables);
}

function json(source: string, body?: string): string {
  return writeJson(evaluate(source, body === undefined ? {} : { body: parseJson(Buffer.from(body)) }), 10_000);
}

function fails(source: string, body: string | undefined, message: RegExp): void {
  assert.throws(
    () => json(source, body),
    (error) => error instanceof ExpressionError && error.reason === 'expression_failed' && message.test(error.message),
    source,
  );
}

describe('the same as the library where the library is right', () => {
  const library = new Environment({ homogeneousAggregateLiterals: false }).registerVariable('body', 'dyn');
  const body = {
    name: 'Ada',
    n: 3,
    half: 0.5,
    list: [1, 2, 3],
    nested: {
      list: [
        { id: 'a', total: 2.5 },
        { id: 'b', total: 4 },
      ],
    },
    none: null,
  };
  const sources = [
    '1 + 2 * 3 - 4 / 3 % 2',
    '-7 / 2',
    '-7 % 2',
    '1.5 * 2.0 + 0.25',
    "'a' + 'b' == 'ab'",
    '1 == 1 && 2 != 3 || false',
    '!(1 < 2) ? "x" : "y"',
    '[1, 2] + [3]',
    '2 in [1, 2, 3]',
    "'name' in body",
    "'nobody' in body",
    'body.name',
    'body.n == 3',
    'body.n < 4',
    'body.half + 1.5',
    'body.list[1]',
    'body.list.map(x, x * 2.0)',
    'body.list.filter(x, x > 1)',
    'body.list.all(x, x > 0)',
    'body.list.exists(x, x == 2)',
    'body.list.exists_one(x, x > 1)',
    'body.list.map(x, x > 1, x + 10.0)',
    'body.nested.list.map(o, {"id": o.id, "more": o.total * 2.0})',
    'body.nested.map(k, k)',
    'has(body.name) && !has(body.other) && has(body.nested.list)',
    'size(body.list) + size("äöü") + size(body)',
    'string(1) + string(1.5) + string(true) + string(body.n)',
    'int("42") + int(3.9)',
    'double("1.5") + double(2)',
    '"Hello".substring(1, 3) + "Hello".substring(3)',
    '"a,b,c".split(",")',
    '"a,b,c".split(",", 2)',
    '["a", "b"].join("-")',
    '"abcabc".indexOf("c") + "abcabc".lastIndexOf("c") + "abcabc".indexOf("c", 3)',
    '" x ".trim() + "Abc".lowerAscii() + "abc".upperAscii()',
    '"abc".startsWith("a") && "abc".endsWith("c") && "abc".contains("b")',
    '"abc123".matches("[0-9]+$")',
    'cel.bind(x, body.n + 1.0, x * x)',
    '[[1, 2], [3]].map(l, l.map(x, x + 1))',
    '[1, 2].map(x, [10, 20].map(y, x + y))',
    'true || body.other.x == 1',
    'body.other.x == 1 || true',
    'false && body.other.x == 1',
    'body.list.exists(x, x == 1 || body.other == 2)',
    '{"a": [1, 2], "b": {"c": null}} == {"b": {"c": null}, "a": [1, 2]}',
    '[1, 2] == [1, 3]',
    'body.none == null',
    '"ab" < "b" && 1 <= 1.0 && 2 > 1.5',
  ];
  for (const source of sources) {
    test(source, () => {
      const theirs = JSON.stringify(library.evaluate(source, { body }), (_key, value) => (typeof value === 'bigint' ? Number(value) : value));
      assert.equal(json(source, JSON.stringify(body)), theirs);
    });
  }
});

describe('values', () => {
  test('numbers of JSON are doubles that mix with ints, and whole ones have no point', () => {
    assert.equal(json("'/users/' + string(body.id)", '{"id":42}'), '"/users/42"');
    assert.equal(json('body.n + 1', '{"n":2}'), '3');
    assert.equal(json('2 * body.n', '{"n":2.5}'), '5');
    assert.equal(json('body.n / 2', '{"n":5}'), '2.5');
    assert.equal(json('body.n % 2', '{"n":5}'), '1');
    assert.equal(json('int(body.n) + 1', '{"n":5}'), '6');
    assert.equal(json('[body.n, 5, 5.5]', '{"n":1e3}'), '[1000,5,5.5]');
    assert.equal(json("'abcd'.substring(body.n)", '{"n":2}'), '"cd"');
  });

  test('whole numbers of 64 bits stay what they are', () => {
    const body = '{"id":9007199254740993,"least":-9223372036854775808,"beyond":9223372036854775808,"text":"12345678901234567890"}';
    assert.equal(json('string(body.id)', body), '"9007199254740993"');
    assert.equal(json('body.id + 1', body), '9007199254740994');
    assert.equal(json('body', body), body.replace('9223372036854775808,"text', '9223372036854776000,"text'));
    assert.equal(json('body.id == 9007199254740993', body), 'true');
    assert.equal(json('9223372036854775807'), '9223372036854775807');
    fails('9223372036854775807 + 1', undefined, /64 bits/);
    fails('-body.least', body, /negated/);
    fails('body.least / -1', body, /64 bits/);
    fails('int(body.beyond)', body, /64 bits/);
  });

  test("JavaScript's own keys are keys like any other", () => {
    const body = '{"__proto__":{"a":1},"constructor":"c","toString":null}';
    assert.equal(json('body.__proto__.a + 1', body), '2');
    assert.equal(json('body.constructor', body), '"c"');
    assert.equal(json('body', body), body);
    assert.equal(json("{'constructor': 1, '__proto__': 2, 'prototype': 3}"), '{"constructor":1,"__proto__":2,"prototype":3}');
    assert.equal(json("{'__proto__': {'admin': true}}.map(k, k)"), '["__proto__"]');
    for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length']) {
      assert.equal(json(`has(body.${key})`, '{}'), 'false');
      assert.equal(json(`'${key}' in body`, '{}'), 'false');
      fails(`body.${key}`, '{}', new RegExp(`no ${key}`));
      fails(`body['${key}']`, '{}', /no such key/);
    }
    fails('body.length', '[1]', /indexed by int/);
    assert.equal(Object.hasOwn(Object.prototype, 'admin'), false);
  });

  test('texts are counted and cut in code points', () => {
    assert.equal(json("size('a😀b')"), '3');
    assert.equal(json("'a😀b'.substring(1, 2)"), '"😀"');
    assert.equal(json("'a😀b'.indexOf('b')"), '2');
    assert.equal(json("'a😀b'.charAt(1) + 'ab'.charAt(2)"), '"😀"');
    assert.equal(json("'a😀b'.split('')"), '["a","😀","b"]');
    assert.equal(json("'ÄB'.lowerAscii()"), '"Äb"');
  });

  test('functions beside those of the library', () => {
    assert.equal(json("'a-b-c'.replace('-', '+') + 'a-b-c'.replace('-', '+', 1)"), '"a+b+ca+b-c"');
    assert.equal(json("'id=17;x'.find('[0-9]+') + 'none'.find('[0-9]+')"), '"17"');
    assert.equal(json("'a1b22'.findAll('[0-9]+')"), '["1","22"]');
    assert.equal(json("matches('abc', '^a')"), 'true');
    assert.equal(json('[3, 1, 2].sort() + [1, 1, 2].distinct() + [1, 2, 3].slice(1, 3) + [1, 2].reverse()'), '[1,2,3,1,2,2,3,2,1]');
    assert.equal(json('[[1, 2.5].sum(), [3, 4].min(), [3, 4].max(), [].sum()]'), '[3.5,3,4,0]');
    assert.equal(json("bytes('hi').base64() + bytes('hi').hex() + string(bytes('hi'))"), '"aGk=6869hi"');
  });

  test('what is missing is an error, unless has() or a condition asks', () => {
    fails('body.a', '{}', /no a/);
    fails('body.a.b', '{"a":null}', /null has no fields/);
    fails('has(body.a.b)', '{}', /no a/);
    assert.equal(json('has(body.a)', '{"a":null}'), 'true');
    assert.equal(json("has(body.a) ? body.a : 'none'", '{}'), '"none"');
    fails('body[3]', '[1,2]', /no element/);
    fails('body[-1]', '[1,2]', /no element/);
    fails('body[0.5]', '[1,2]', /indexed by int/);
  });

  test('values of the wrong type are errors', () => {
    fails('body + 1', '"a"', /between string and int/);
    fails('body.startsWith("a")', '1', /double stands where a string/);
    fails('body ? 1 : 2', '1', /double stands where a bool/);
    fails('body < "a"', '1', /no order/);
    fails('body.map(x, x)', '1', /neither a list nor a map/);
    fails('int(body)', '"4x"', /whole number/);
    fails('1 / 0', undefined, /zero/);
    fails('1 % 0', undefined, /zero/);
    fails('{"a": 1, "a": 2}', undefined, /twice/);
    fails('{body: 1}', '1', /keys of maps/);
    fails("'abc'.matches(body)", '"("', /none/);
    fails('1.0 / 0.0', undefined, /no JSON/);
  });
});

describe('results', () => {
  const result = (source: string, wanted: Wanted, body?: unknown) => compileExpression(source, free, wanted).evaluate({ body });
  test('are of the type that is wanted', () => {
    assert.equal(result('body', 'bool', true), true);
    assert.equal(result('body', 'int', 3), 3);
    assert.equal(result('7', 'int'), 7);
    assert.equal(result('body', 'text', 1.5), '1.5');
    assert.equal(result('size([1])', 'text'), '1');
    assert.equal(result('true', 'text'), 'true');
  });
  for (const [wanted, body] of [
    ['bool', 'true'],
    ['int', 1.5],
    ['int', '1'],
    ['int', 2n ** 60n],
    ['text', null],
    ['text', ['a']],
    ['text', { a: 1 }],
  ] as const) {
    test(`or errors: ${wanted} of ${typeof body}`, () => assert.throws(() => result('body', wanted, body), ExpressionError));
  }
});

describe('refused when it is read', () => {
  const calls = withCalls(['user']);
  const cases: readonly (readonly [source: string, environment: ExpressionEnvironment, wanted: Wanted, message: RegExp, hint?: RegExp])[] = [
    ['1 +', requestHead, 'int', /does not parse: .* \(column 4\)/],
    ['"a\n + 1', requestHead, 'int', /does not parse/],
    ['1 +\n  foo', requestHead, 'int', /Unknown variable: foo \(line 2, column 3\)/, /variables here are request, identity/],
    ["request.method == 'POST' && 1 + 'a' == 2", requestHead, 'bool', /no such overload: int \+ string/],
    ['request.method', requestHead, 'bool', /gives string, not bool/, /write a condition/],
    ["'a'", requestHead, 'int', /gives string, not int/],
    ['1.5', requestHead, 'int', /gives double, not int/],
    ['[1]', requestHead, 'text', /gives list<int>, not a string/],
    ['request', wholeRequest, 'json', /gives Request, not JSON/],
    ['request.methods', requestHead, 'text', /No such key: methods/],
    ['has(request.methods)', requestHead, 'bool', /No such key: methods/, /method, path/],
    ['request.body.id', requestHead, 'text', /No such key: body/],
    ['request.body.id', wholeRequest, 'text', /^$/],
    ['user.statuses', calls, 'json', /No such key: statuses/],
    ['user.body.name', calls, 'json', /^$/],
    ['response.status', wholeRequest, 'int', /Unknown variable: response/],
    ["request.path.matches('(')", requestHead, 'bool', /missing closing \)/, /RE2/],
    ["request.path.matches('(?=a)')", requestHead, 'bool', /\(\?=/, /RE2/],
    [`request.path.matches('${'a'.repeat(1025)}')`, requestHead, 'bool', /longer than 1024/],
    ['nothing(1)', requestHead, 'json', /nothing/],
    ['1u + 1u', requestHead, 'json', /unsigned/],
    ["timestamp('2026-01-01T00:00:00Z')", requestHead, 'json', /not JSON/],
    ["size(string(timestamp('2026-01-01T00:00:00Z')))", requestHead, 'json', /./],
    ['{1: 2}', requestHead, 'json', /key of a map/],
    ['x'.repeat(8193), requestHead, 'json', /8193 characters/],
    [`${'!'.repeat(5000)}true`, requestHead, 'bool', /too big|too deeply/],
    [`${'('.repeat(5000)}1`, requestHead, 'bool', /too big|too deeply/],
    [`${'['.repeat(4000)}1`, requestHead, 'json', /too big|too deeply/],
    [`1${'+1'.repeat(600)}`, requestHead, 'int', /too deeply/],
    [`1${'+1'.repeat(3000)}`, requestHead, 'int', /too big/],
    [`${'-'.repeat(1900)}1`, requestHead, 'int', /too big|too deeply/],
    ['', requestHead, 'json', /does not parse/],
  ];
  for (const [source, environment, wanted, message, hint] of cases) {
    test(source.slice(0, 60), () => {
      const fault = checkExpression(source, environment, wanted);
      assert.match(fault?.message ?? '', message);
      if (hint !== undefined) assert.match(fault?.hint ?? '', hint);
    });
  }
});

describe('a bound on what it costs', () => {
  const list = JSON.stringify(Array.from({ length: 2000 }, (_, index) => index));
  const long = JSON.stringify('a'.repeat(200_000));
  const DOZENS = JSON.stringify(Array.from({ length: 13 }, (_, index) => index));
  const hostile: readonly (readonly [name: string, source: string, body: string])[] = [
    ['nested maps', 'body.map(a, body.map(b, body.map(c, a + b + c)))', list],
    ['a failing predicate does not swallow it', 'body.all(a, body.all(b, body.all(c, body.all(d, true)))) || true', list],
    ['nor does exists()', 'body.exists(a, body.exists(b, body.exists(c, c < 0)))', list],
    ['a condition does not, either', 'body.map(a, body.map(b, body.map(c, c))) == [] || true', list],
    ['failing predicates', 'body.exists(a, body.exists(b, b.x == 1))', list],
    ['nor do failures that || swallows', 'body.map(a, [1, 2, 3, 4, 5].map(b, a.x == b || true))', list],
    ['starts of long texts', `${DOZENS}.map(a, ${DOZENS}.map(b, body.startsWith(body)))`, long],
    ['ends of long texts', `${DOZENS}.map(a, ${DOZENS}.map(b, body.endsWith(body)))`, long],
    ['letters in another case', "[1, 2, 3, 4, 5, 6].map(a, ('\u00c4' + body).upperAscii().size())", long],
    ['text that doubles', `${'['}'${'x'.repeat(100)}'${']'}${'.map(s, s + s)'.repeat(30)}`, list],
    ['lists that double', `body${'.map(x, [x, x])'.repeat(2)}.map(x, body + body + body)`, list],
    ['join of joins', "body.map(x, body.map(y, 'abc').join('x')).join('y').split('').map(c, c + c)", list],
    ['split into characters', "body.split('').map(c, c).sort().distinct()", long],
    ['replace that grows', "body.replace('a', body)", long],
    ['distinct of many', 'body.map(x, body).map(l, l.distinct())', list],
    ['comparison of big values', 'body.map(x, body == body + [1])', list],
    ['a search that starts again everywhere', "body.contains('b' + body.substring(100000))", long],
    ['a big one on a long text', "body.matches('(a{0,30}){0,30}b')", long],
    ['one that the body brings', 'body.map(x, string(x) + "abc").map(s, s.matches(s + "(a|b)*"))', list],
    ['one that the body brings, and that is long when written out', "'a'.matches(body)", JSON.stringify('a{1000}'.repeat(140))],
    ['many searches', "body.findAll('a|(a*b)')", long],
  ];
  for (const [name, source, body] of hostile) {
    test(name, () => {
      const variables = { body: parseJson(Buffer.from(body)) };
      const before = process.cpuUsage();
      let failure: unknown;
      try {
        writeJson(compileExpression(source, { variables: new Map([['body', 'dyn']]), budget: wholeRequest.budget }, 'json').evaluate(variables), 100_000);
      } catch (error) {
        failure = error;
      }
      const { user } = process.cpuUsage(before);
      assert.ok(failure instanceof ExpressionError && failure.reason === 'expression_too_costly', `${failure}`);
      // The budget is for 20 ms; a hundred times that is no measurement, but far from what it would take without one.
      assert.ok(user < 2_000_000, `${user / 1000} ms`);
    });
  }

  test('regular expressions take linear time', () => {
    const body = 'a'.repeat(50_000);
    const before = process.cpuUsage();
    for (const pattern of ['^(a+)+$', '(a|aa)+b', '^(([a-z])+.)+[A-Z]([a-z])+$', '(a*)*c'])
      evaluate(`body.matches('${pattern}')`, { body }, { ...free, budget: 1_000_000 });
    const { user } = process.cpuUsage(before);
    assert.ok(user < 2_000_000, `${user / 1000} ms`);
  });

  test('and on what it gives', () => {
    assert.throws(() => writeJson(['x'.repeat(50), 'y'.repeat(60)], 100), /too long/);
    const nested = (inner: unknown) => Array.from({ length: 10_000 }).reduce((value) => [value], inner);
    assert.throws(() => writeJson(nested(1), 1_000_000), /nested/);
    assert.throws(() => evaluate('body[0] == body[1]', { body: [nested(1), nested(1)] }), /nested/);
  });

  test('JSON that is nested deeply is no fault of ours', () => {
    const nested = (depth: number, inner = '1234567890123456789'): string => `${'[{"a":'.repeat(depth / 2)}${inner}${'}]'.repeat(depth / 2)}`;
    for (const text of [nested(100_000), nested(102), `${'['.repeat(1_000_000)}`]) assert.throws(() => parseJson(Buffer.from(text)), SyntaxError);
    const brackets = JSON.stringify('[{'.repeat(200));
    for (const text of [nested(100), nested(100, brackets), `[${'[],'.repeat(200)}{}]`]) assert.doesNotThrow(() => parseJson(Buffer.from(text)));
    // Whatever an expression puts around it.
    const body = parseJson(Buffer.from(nested(100)));
    assert.doesNotThrow(() => writeJson(evaluate(`${'['.repeat(30)}body${']'.repeat(30)}`, { body }), 1_000_000));
  });
});

test('bodies that are no JSON', () => {
  for (const body of ['', '{', '{"a":1}x', "{'a':1}", '{"a":01}', '[1,]', 'NaN', '\ufffe']) {
    assert.throws(() => parseJson(Buffer.from(body)), SyntaxError, body);
  }
  assert.throws(() => parseJson(Buffer.from([0x22, 0xff, 0x22])), SyntaxError);
  assert.equal(parseJson(Buffer.from('\ufeff1')), 1);
});
