/** For tests: a descriptor set with google.api.http options, as protoc would make it. */
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { FieldDescriptorProto_Label, FieldDescriptorProto_Type, FileDescriptorSetSchema, MethodOptionsSchema } from '@bufbuild/protobuf/wkt';

const { STRING, INT32, INT64, BOOL, DOUBLE, ENUM, MESSAGE } = FieldDescriptorProto_Type;
const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;

export interface Rule {
  /** Number of the field of HttpRule: 2 get, 3 put, 4 post, 5 delete, 6 patch. */
  readonly verb: number;
  readonly path: string;
  readonly body?: string;
  readonly responseBody?: string;
  readonly more?: readonly Rule[];
}

function ruleBytes({ verb, path, body, responseBody, more }: Rule): Uint8Array {
  const writer = new BinaryWriter().tag(verb, WireType.LengthDelimited).string(path);
  if (body !== undefined) writer.tag(7, WireType.LengthDelimited).string(body);
  if (responseBody !== undefined) writer.tag(12, WireType.LengthDelimited).string(responseBody);
  for (const one of more ?? []) writer.tag(11, WireType.LengthDelimited).bytes(ruleBytes(one));
  return writer.finish();
}

/** @param inputType and `outputType`: full names */
export function ruledMethod(name: string, inputType: string, outputType: string, rule?: Rule, serverStreaming = false) {
  const options = create(MethodOptionsSchema);
  if (rule !== undefined) options.$unknown = [{ no: 72295728, wireType: WireType.LengthDelimited, data: new BinaryWriter().bytes(ruleBytes(rule)).finish() }];
  return { name, inputType: `.${inputType}`, outputType: `.${outputType}`, options, serverStreaming };
}

function method(name: string, inputType: string, outputType: string, rule?: Rule, serverStreaming = false) {
  return ruledMethod(name, `shop.${inputType}`, `shop.${outputType}`, rule, serverStreaming);
}

function field(name: string, number: number, type: FieldDescriptorProto_Type, typeName?: string, label: FieldDescriptorProto_Label = OPTIONAL) {
  return { name, number, type, label, ...(typeName ? { typeName } : {}) };
}

/** @param change of the rule of GetOrder, for bad ones */
export function shopDescriptors(change: Partial<Rule> = {}): Buffer {
  const set = create(FileDescriptorSetSchema, {
    file: [
      {
        name: 'shop.proto',
        package: 'shop',
        syntax: 'proto3',
        enumType: [
          {
            name: 'State',
            value: [
              { name: 'OPEN', number: 0 },
              { name: 'PAID', number: 1 },
            ],
          },
        ],
        messageType: [
          { name: 'Customer', field: [field('id', 1, STRING), field('is_new', 2, BOOL)] },
          {
            name: 'Order',
            field: [
              ...[field('id', 1, INT64), field('customer', 2, MESSAGE, '.shop.Customer'), field('state', 3, ENUM, '.shop.State')],
              ...[field('lines', 4, STRING, undefined, REPEATED), field('total', 5, DOUBLE), field('page_size', 6, INT32)],
            ],
          },
          { name: 'OrderList', field: [field('orders', 1, MESSAGE, '.shop.Order', REPEATED)] },
          { name: 'Named', field: [field('name', 1, STRING), field('order', 2, MESSAGE, '.shop.Order')] },
        ],
        service: [
          {
            name: 'Orders',
            method: [
              method('GetOrder', 'Order', 'Order', {
                verb: 2,
                path: '/v1/customers/{customer.id}/orders/{id}',
                more: [{ verb: 2, path: '/v1/orders/{id}' }],
                ...change,
              }),
              method('ListOrders', 'Order', 'OrderList', { verb: 2, path: '/v1/orders', responseBody: 'orders' }),
              method('CreateOrder', 'Order', 'Order', { verb: 4, path: '/v1/orders', body: '*' }),
              method('UpdateOrder', 'Named', 'Order', { verb: 6, path: '/v1/{name=orders/*}', body: 'order' }),
              method('PayOrder', 'Order', 'Order', { verb: 4, path: '/v1/orders/{id}:pay', body: '*' }),
              method('WatchOrders', 'Order', 'Order', { verb: 2, path: '/v1/watch' }, true),
              method('Plain', 'Order', 'Order'),
            ],
          },
        ],
      },
    ],
  });
  return Buffer.from(toBinary(FileDescriptorSetSchema, set));
}
