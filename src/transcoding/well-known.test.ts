/** The well-known types in requests and answers (ProtoJSON), and failures with details. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, type FileRegistry, fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { AnySchema, DurationSchema, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { Fields } from '../exchange/fields.ts';
import { type Binding, DescriptorFault, readTranscoding } from './bindings.ts';
import { answerBody, RequestFault, requestMessage } from './messages.ts';
import { PathTemplate } from './path-template.ts';
import { codeName, statusJson } from './status.ts';
import { extensionDescriptors, fileDescriptors, wellKnownDescriptors } from './well-known.fixture.ts';

const { registry, bindings } = readTranscoding(wellKnownDescriptors(), ['demo.Things']);
const put = bindings[0] as Binding;
/** As a rule with GET would have it. */
const get: Binding = { ...put, httpMethod: 'GET', body: '', template: PathTemplate.parse('/things/{made_at}') };

function sent(binding: Binding, query: string, body?: string, values: Record<string, string> = {}): unknown {
  const bytes = body === undefined ? undefined : Buffer.from(body);
  const frame = requestMessage(binding, registry, new Map(Object.entries(values)), new URLSearchParams(query), bytes, new Fields());
  return toJson(put.method.input, fromBinary(put.method.input, frame.subarray(5)), { registry });
}

function jsonOf(binding: Binding, types: FileRegistry, frame: Buffer): unknown {
  return JSON.parse(String(answerBody(binding, types, frame)?.body));
}

const THING = {
  madeAt: '2026-01-02T03:04:05.678Z',
  lasts: '1.500s',
  mask: 'label,extra.a',
  count: '9007199254740993',
  flag: false,
  label: '',
  extra: { a: [1, null, { b: 'c' }] },
  any: { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '3s' },
  value: null,
  flags: [true, false],
  data: 'AP8=',
  large: '18446744073709551615',
};

test('a set may lack what everybody imports, and nothing else', () => {
  const bare = readTranscoding(wellKnownDescriptors(false), ['demo.Things']);
  const frame = requestMessage(bare.bindings[0] as Binding, bare.registry, new Map(), [], Buffer.from(JSON.stringify(THING)), new Fields());
  assert.deepEqual(jsonOf(bare.bindings[0] as Binding, bare.registry, frame), THING);
  const other = Buffer.from(wellKnownDescriptors(false).toString('latin1').replace('google/api/annotations.proto', 'google/rpc/annotations.proto'), 'latin1');
  assert.throws(() => readTranscoding(other, ['demo.Things']), DescriptorFault);
});

test('bodies and answers have the JSON of the well-known types', () => {
  assert.deepEqual(sent(put, '', JSON.stringify(THING)), THING);
  const frame = requestMessage(put, registry, new Map(), [], Buffer.from(JSON.stringify(THING)), new Fields());
  assert.deepEqual(jsonOf(put, registry, frame), THING);
});

test('whole numbers within 2^53 are numbers to a Struct', () => {
  const extra = { a: 1700000000000000, b: [9007199254740991] };
  assert.deepEqual(sent(put, '', JSON.stringify({ extra })), { extra });
});

test('whole numbers beyond that are exact to 64 bits, and numbers to all else', () => {
  const long = '9007199254740993';
  const wrapped = { '@type': 'type.googleapis.com/google.protobuf.Int64Value', value: long };
  const body = `{"count":${long},"large":${long},"extra":{"a":[${long}],"fields":{"b":-${long}0}},"value":${long},"any":{"@type":"${wrapped['@type']}","value":${long}}}`;
  const extra = { a: [2 ** 53], fields: { b: -10 * 2 ** 53 - 10 } };
  assert.deepEqual(sent(put, '', body), { count: long, large: long, extra, value: 2 ** 53, any: wrapped });
  for (const bad of [`{"label":${long}}`, `{"data":${long}}`, `{"extra":{${long}:1}}`, `{"extra":{"a":{${long}:1}}}`])
    assert.throws(() => sent(put, '', bad), RequestFault, bad);
});

test('so are those of extensions, and of what an Any within an Any holds', () => {
  const { registry: types, bindings } = readTranscoding(extensionDescriptors(), ['demo.Notes']);
  const note = { '@type': 'type.googleapis.com/demo.Note', '[demo.size]': '9007199254740993' };
  const whole = { any: { '@type': 'type.googleapis.com/google.protobuf.Any', value: note }, '[demo.size]': '-9007199254740993' };
  const written = JSON.stringify(whole).replaceAll(/"(-?\d{16})"/g, '$1');
  const frame = requestMessage(bindings[0] as Binding, types, new Map(), [], Buffer.from(written), new Fields());
  assert.deepEqual(jsonOf(bindings[0] as Binding, types, frame), whole);
});

describe('queries and paths', () => {
  test('what is a text, a number or a truth value in JSON can stand there', () => {
    const query = 'lasts=1.5s&mask=label,extra.a&count=-7&flag=true&label=a&flags=true&flags=false&data=AP8%3D&large=18446744073709551615';
    const expected = { lasts: '1.500s', mask: 'label,extra.a', count: '-7', flag: true, label: 'a', flags: [true, false], data: 'AP8=' };
    assert.deepEqual(sent(get, query, undefined, { made_at: THING.madeAt }), { madeAt: THING.madeAt, ...expected, large: THING.large });
  });

  test('other messages, and what is none of their values, are refused', () => {
    for (const query of [
      'extra=a',
      'any=a',
      'value=a',
      'extra.a=1',
      'made_at=yesterday',
      'made_at.seconds=1',
      'lasts=1',
      'flag=1',
      'flags=yes',
      'count=1.5',
      'large=-1',
    ])
      assert.throws(() => sent(get, query), RequestFault, query);
  });
});

test('an Any of a type that the set lacks is no answer', () => {
  const unknown = create(AnySchema, { typeUrl: 'type.googleapis.com/demo.Nobody', value: new Uint8Array([8, 1]) });
  const message = new BinaryWriter().tag(8, WireType.LengthDelimited).bytes(toBinary(AnySchema, unknown)).finish();
  const head = Buffer.from([0, 0, 0, 0, message.length]);
  assert.equal(answerBody(put, registry, Buffer.concat([head, message])), undefined);
});

describe('failures', () => {
  const any = (typeUrl: string, value: Uint8Array) => toBinary(AnySchema, create(AnySchema, { typeUrl, value }));
  const status = (code: number, ...details: readonly Uint8Array[]): Uint8Array => {
    const writer = new BinaryWriter().tag(1, WireType.Varint).int32(code).tag(2, WireType.LengthDelimited).string('ignored');
    for (const detail of details) writer.tag(3, WireType.LengthDelimited).bytes(detail);
    return writer.finish();
  };
  const made = any('type.googleapis.com/google.protobuf.Timestamp', toBinary(TimestampSchema, create(TimestampSchema, { seconds: 1n })));
  const lasts = any('type.googleapis.com/google.protobuf.Duration', toBinary(DurationSchema, create(DurationSchema, { seconds: 2n })));

  test('details are JSON, and those of unknown types keep their bytes', () => {
    assert.deepEqual(
      JSON.parse(statusJson(5, 'no such thing', status(5, made, any('type.googleapis.com/demo.Nobody', new Uint8Array([8, 1])), lasts), registry)),
      {
        code: 5,
        message: 'no such thing',
        details: [
          { '@type': 'type.googleapis.com/google.protobuf.Timestamp', value: '1970-01-01T00:00:01Z' },
          { '@type': 'type.googleapis.com/demo.Nobody', value: 'CAE=' },
          { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '2s' },
        ],
      },
    );
  });

  test('what can not be read, or is about another code, is left out', () => {
    for (const details of [undefined, status(5), status(3, made), new Uint8Array([0xff, 0xff]), new Uint8Array([0x1a, 0x7f])])
      assert.equal(statusJson(5, 'a', details, registry), '{"code":5,"message":"a"}');
  });

  test('codes have their names', () => {
    assert.deepEqual([0, 1, 5, 16, 17, 999].map(codeName), ['OK', 'CANCELLED', 'NOT_FOUND', 'UNAUTHENTICATED', 'UNKNOWN', 'UNKNOWN']);
  });
});

describe('google.api.HttpBody', () => {
  const { bindings: files, registry: types } = readTranscoding(fileDescriptors(), ['demo.Files']);
  const of = (name: string): Binding => files.find(({ method }) => method.name === name) as Binding;
  const asked = (binding: Binding, body: string, values: Record<string, string> = {}, fields = Fields.of([['Content-Type', 'image/png']])): unknown => {
    const frame = requestMessage(binding, types, new Map(Object.entries(values)), [], Buffer.from(body, 'latin1'), fields);
    return toJson(binding.method.input, fromBinary(binding.method.input, frame.subarray(5)), { registry: types });
  };
  const framed = (binding: Binding, json: JsonValue): Buffer => {
    const message = toBinary(binding.method.output, fromJson(binding.method.output, json));
    return Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
  };
  const PICTURE = { contentType: 'image/png', data: Buffer.from('{\xff\0', 'latin1').toString('base64') };

  test('takes a body as it is, with its type, as the whole message or as a field', () => {
    assert.deepEqual(asked(of('Echo'), '{\xff\0'), PICTURE);
    assert.deepEqual(asked(of('Put'), '{\xff\0', { name: 'a' }), { name: 'a', file: PICTURE });
    assert.deepEqual(asked(of('Put'), '', { name: 'a' }), { name: 'a' });
    assert.deepEqual(asked(of('Echo'), 'a', {}, new Fields()), { data: 'YQ==' });
    assert.throws(() => asked(of('Echo'), 'a', {}, Fields.of([['Content-Encoding', 'gzip']])), RequestFault);
  });

  test('gives one, as the whole answer or as the field of it that is', () => {
    const expected = { contentType: 'image/png', body: Buffer.from('{\xff\0', 'latin1') };
    assert.deepEqual(answerBody(of('Echo'), types, framed(of('Echo'), PICTURE)), expected);
    assert.deepEqual(answerBody(of('Get'), types, framed(of('Get'), { name: 'a', file: PICTURE })), expected);
    const none = { contentType: 'application/octet-stream', body: Buffer.alloc(0) };
    assert.deepEqual([answerBody(of('Echo'), types, framed(of('Echo'), {})), answerBody(of('Get'), types, framed(of('Get'), { name: 'a' }))], [none, none]);
  });

  test('what is no media type is no answer', () => {
    for (const contentType of ['text', 'text/html\r\nset-cookie: a=b', 'text/html\r\n', 'täxt/html', 'text/', ' text/html'])
      assert.equal(answerBody(of('Echo'), types, framed(of('Echo'), { contentType })), undefined, contentType);
    for (const contentType of ['text/html', 'text/html; charset="utf-8"', 'application/vnd.a+json ;v=1'])
      assert.equal(answerBody(of('Echo'), types, framed(of('Echo'), { contentType }))?.contentType, contentType);
  });
});
