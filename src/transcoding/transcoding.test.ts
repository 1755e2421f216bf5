import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf';
import { Fields } from '../exchange/fields.ts';
import { type Binding, DescriptorFault, readTranscoding } from './bindings.ts';
import { answerBody, RequestFault, requestMessage } from './messages.ts';
import { elementsOf, PathTemplate, TemplateFlaw } from './path-template.ts';
import { shopDescriptors } from './shop.fixture.ts';
import { grpcCode, httpStatus } from './status.ts';

describe('path templates', () => {
  const match = (template: string, path: string) => {
    const values = PathTemplate.parse(template).match(elementsOf(path));
    return values === undefined ? undefined : Object.fromEntries(values);
  };

  test('variables take one element, or as many as their pattern says', () => {
    assert.deepEqual(match('/v1/orders/{id}', '/v1/orders/a%20b'), { id: 'a b' });
    assert.deepEqual(match('/v1/{name=shelves/*/books/*}', '/v1/shelves/1/books/2'), { name: 'shelves/1/books/2' });
    assert.deepEqual(match('/v1/{name=files/**}', '/v1/files/a/b/c'), { name: 'files/a/b/c' });
    assert.deepEqual(match('/v1/{a.b}/x/{c}', '/v1/1/x/2'), { 'a.b': '1', c: '2' });
    assert.deepEqual(match('/v1/orders/{id}:pay', '/v1/orders/7:pay'), { id: '7' });
    assert.deepEqual(match('/v1/*/x', '/v1/1/x'), {});
    assert.deepEqual(match('/{all=**}:pay', '/a/b:pay'), { all: 'a/b' });
    assert.deepEqual(match('/:pay', '/:pay'), {});
    assert.deepEqual(match('/{a}/{b=**}:pay', '/1:pay'), { a: '1', b: '' });
    assert.equal(match('/{a}/{b=**}:pay', '/:pay'), undefined);
    for (const [template, path] of [
      ['/v1/orders/{id}', '/v1/orders'],
      ['/v1/orders/{id}', '/v1/orders/'],
      ['/v1/orders/{id}', '/v1/orders/7/8'],
      ['/v1/orders/{id}:pay', '/v1/orders/7'],
      ['/v1/orders/{id}:pay', '/v1/orders/:pay'],
      ['/:pay', '/'],
      ['/:pay', '/x:pay'],
      ['/v1/{name=shelves/*}', '/v1/books/1'],
    ] as const) {
      assert.equal(match(template, path), undefined, `${template} ${path}`);
    }
  });

  test('what is none is refused', () => {
    for (const template of ['v1', '/v1/{id', '/v1/{}', '/v1/{id}x', '/v1//x', '/v1/', '/v1/**/x', '/v1/a*', '/v1/{id=}']) {
      assert.throws(() => PathTemplate.parse(template), TemplateFlaw, template);
    }
  });
});

const { registry, bindings } = readTranscoding(shopDescriptors(), ['shop.Orders']);

function bindingOf(name: string, httpMethod?: string): Binding {
  const found = bindings.find(({ method, httpMethod: verb }) => method.name === name && (httpMethod ?? verb) === verb);
  assert.ok(found, name);
  return found;
}

function sent(name: string, values: Record<string, string>, query = '', body?: string): unknown {
  const binding = bindingOf(name);
  const frame = requestMessage(
    binding,
    registry,
    new Map(Object.entries(values)),
    new URLSearchParams(query),
    body === undefined ? undefined : Buffer.from(body),
    new Fields(),
  );
  assert.deepEqual([frame[0], frame.readUInt32BE(1)], [0, frame.length - 5]);
  return toJson(binding.method.input, fromBinary(binding.method.input, frame.subarray(5)), { registry });
}

describe('requests become messages', () => {
  test('path, query and body', () => {
    assert.deepEqual(sent('GetOrder', { id: '9007199254740993', 'customer.id': 'x' }, 'lines=a&lines=b&state=PAID&customer.is_new=true&pageSize=3&total=1.5'), {
      ...{ id: '9007199254740993', customer: { id: 'x', isNew: true }, state: 'PAID' },
      ...{ lines: ['a', 'b'], total: 1.5, pageSize: 3 },
    });
    assert.deepEqual(sent('CreateOrder', {}, '', '{"page_size":2,"customer":{"isNew":true}}'), { customer: { isNew: true }, pageSize: 2 });
    assert.deepEqual(sent('PayOrder', { id: '7' }, '', '{"id":8,"lines":["a"]}'), { id: '7', lines: ['a'] });
    assert.deepEqual(sent('UpdateOrder', { name: 'orders/7' }, '', '{"state":1}'), { name: 'orders/7', order: { state: 'PAID' } });
    assert.deepEqual(sent('CreateOrder', {}, '', ''), {});
  });

  test('whole numbers of 64 bits stay exact', () => {
    for (const id of ['9007199254740993', '-9223372036854775808'])
      assert.deepEqual(sent('CreateOrder', {}, '', `{"id":${id},"total":1e300}`), { id, total: 1e300 });
    assert.deepEqual(sent('CreateOrder', {}, '', '{"total":9007199254740993}'), { total: 9007199254740992 });
    assert.throws(() => sent('CreateOrder', {}, '', '{"id":9223372036854775808}'), RequestFault);
  });

  test('of values there are fifty thousand at most, whatever texts hold', () => {
    const lines = (count: number) => `{"lines":[${'"a",'.repeat(count - 1)}"a"]}`;
    assert.equal((sent('CreateOrder', {}, '', lines(50_000)) as { lines: unknown[] }).lines.length, 50_000);
    assert.throws(() => sent('CreateOrder', {}, '', lines(50_001)), RequestFault);
    const text = 'a,'.repeat(300_000);
    assert.deepEqual(sent('CreateOrder', {}, '', JSON.stringify({ lines: [text] })), { lines: [text] });
  });

  test('what does not fit is refused', () => {
    const bad: readonly (readonly [string, Record<string, string>, string, string?])[] = [
      ['GetOrder', { id: 'seven' }, ''],
      ['GetOrder', { id: '7' }, 'nothing=1'],
      ['GetOrder', { id: '7' }, 'id=8'],
      ['GetOrder', { id: '7' }, 'total=1&total=2'],
      ['GetOrder', { id: '7' }, 'customer.is_new=maybe'],
      ['GetOrder', { id: '7' }, 'state=SOLD'],
      ['GetOrder', { id: '7' }, '__proto__=1'],
      ['GetOrder', { id: '7' }, `${'customer.'.repeat(40)}id=1`],
      ['CreateOrder', {}, '', '{'],
      ['CreateOrder', {}, '', '[]'],
      ['CreateOrder', {}, '', '{"nothing":1}'],
      ['CreateOrder', {}, '', '{"__proto__":{"id":1}}'],
      ['CreateOrder', {}, '', '{"id":1.5}'],
    ];
    for (const [name, values, query, body] of bad) assert.throws(() => sent(name, values, query, body), RequestFault, `${name} ${query} ${body}`);
  });
});

test('messages become answers, or one field of theirs; what is no message does not', () => {
  const list = bindingOf('ListOrders');
  const message = toBinary(list.method.output, fromJson(list.method.output, { orders: [{ id: '7' }] }));
  const frame = (bytes: Uint8Array, flag = 0, length = bytes.length) => {
    const head = Buffer.alloc(5);
    head[0] = flag;
    head.writeUInt32BE(length, 1);
    return Buffer.concat([head, bytes]);
  };
  assert.deepEqual(answerBody(list, registry, frame(message)), { contentType: 'application/json', body: '[{"id":"7"}]' });
  assert.equal(answerBody(list, registry, frame(new Uint8Array()))?.body, '[]');
  assert.equal(answerBody(bindingOf('GetOrder'), registry, frame(new Uint8Array()))?.body, '{}');
  for (const bad of [
    Buffer.alloc(0),
    frame(message, 1),
    frame(message, 0, 3),
    frame(Buffer.from([0xff, 0xff])),
    Buffer.concat([frame(message), frame(message)]),
  ]) {
    assert.equal(answerBody(list, registry, bad), undefined);
  }
});

describe('services', () => {
  test('unary methods have their rules, streams have none', () => {
    assert.deepEqual(bindings.map(({ httpMethod, method }) => `${httpMethod} ${method.name}`).sort(), [
      'GET GetOrder',
      'GET GetOrder',
      'GET ListOrders',
      'PATCH UpdateOrder',
      'POST CreateOrder',
      'POST PayOrder',
      'POST Plain',
    ]);
  });

  test('what is written out goes before what is a variable, and a verb before none', () => {
    const found = (path: string) => bindings.find(({ template }) => template.match(elementsOf(path)) !== undefined)?.method.name;
    assert.deepEqual([found('/v1/orders/7:pay'), found('/shop.Orders/Plain')], ['PayOrder', 'Plain']);
  });

  test('what is wrong with a descriptor set', () => {
    const bad: readonly (readonly [Uint8Array, string, RegExp])[] = [
      [Buffer.from('not a set'), 'shop.Orders', /no descriptor set can be read|no service/],
      [shopDescriptors(), 'shop.Nobody', /no service shop\.Nobody/],
      [shopDescriptors({ path: '/v1/{nothing}' }), 'shop.Orders', /nothing is no scalar field of shop\.Order/],
      [shopDescriptors({ path: '/v1/{customer}' }), 'shop.Orders', /customer is no scalar field/],
      [shopDescriptors({ path: '/v1/{id' }), 'shop.Orders', /the path has braces/],
      [shopDescriptors({ body: 'nothing' }), 'shop.Orders', /has no field nothing/],
      [shopDescriptors({ responseBody: 'nothing' }), 'shop.Orders', /has no field nothing/],
    ];
    for (const [bytes, service, message] of bad) {
      assert.throws(
        () => readTranscoding(bytes, [service]),
        (error) => error instanceof DescriptorFault && message.test(error.message),
        String(message),
      );
    }
  });
});

test('statuses', () => {
  assert.deepEqual([0, 3, 5, 7, 8, 14, 16, 99].map(httpStatus), [200, 400, 404, 403, 429, 503, 401, 500]);
  assert.deepEqual([401, 503, 404, 200].map(grpcCode), [16, 14, 12, 2]);
});
