import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStrictObject } from './strict-json.ts';

const parse = (text: string) => parseStrictObject(Buffer.from(text));

test('names with escapes are read as they are meant, whatever was read before', () => {
  // From these V8 expects names that look like the escapes below. Others send them to the same worker, by ways of their own.
  JSON.parse('{"sub":"alice","\\\\u0":1}');
  JSON.parse('{"x":1,"https:\\\\/\\\\/e.test\\\\/ro":1}');
  assert.equal(parse('{"sub":"alice","\\u0073ub":"admin"}'), undefined);
  assert.deepEqual(parse('{"x":1,"https:\\/\\/e.test\\/roles":["user"]}'), { x: 1, 'https://e.test/roles': ['user'] });
  assert.deepEqual(parse('{"\\u00e9":["b",\n":c","\\"y\\" :"]}'), { é: ['b', ':c', '"y" :'] });
  assert.deepEqual(parse('{"x":"a\\":\\"","\\u00e9":"\\u00e9\\n"}'), { x: 'a":"', é: 'é\n' });
});

test('a name that must be escaped is one, too', () => {
  assert.deepEqual(parse('{"x":1,"\\"":2}'), { x: 1, '"': 2 });
  assert.equal(parse('{"\\"":1,"\\u0022":2}'), undefined);
});
