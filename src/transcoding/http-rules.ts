/** google.api.http of a method: read from the option itself, so that descriptor sets need not have google/api/ in them. */
import { create, createFileRegistry, type DescMessage, type DescMethod, fromBinary, toJson } from '@bufbuild/protobuf';
import { FieldDescriptorProto_Label, FieldDescriptorProto_Type, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

export interface HttpRule {
  readonly method: string;
  readonly template: string;
  /** `*`: the whole message; a field's name; empty: none. */
  readonly body: string;
  /** A field's name; empty: the whole message. */
  readonly responseBody: string;
}

/** What protoc calls a field in JSON. */
export function jsonNameOf(name: string): string {
  return name.replace(/_+([a-z0-9])?/gi, (_all, letter: string | undefined) => letter?.toUpperCase() ?? '');
}

/** The option's number (google/api/annotations.proto). */
const HTTP_OPTION = 72295728;

const { STRING, MESSAGE } = FieldDescriptorProto_Type;
const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;

function field(name: string, number: number, typeName?: string, label: FieldDescriptorProto_Label = OPTIONAL) {
  return { name, jsonName: jsonNameOf(name), number, label, type: typeName === undefined ? STRING : MESSAGE, ...(typeName === undefined ? {} : { typeName }) };
}

const HTTP_RULE = createFileRegistry(
  create(FileDescriptorSetSchema, {
    file: [
      {
        name: 'rule.proto',
        package: 'rule',
        syntax: 'proto3',
        messageType: [
          {
            name: 'HttpRule',
            field: [
              ...[field('get', 2), field('put', 3), field('post', 4), field('delete', 5), field('patch', 6), field('body', 7)],
              ...[field('custom', 8, '.rule.Custom'), field('additional_bindings', 11, '.rule.HttpRule', REPEATED), field('response_body', 12)],
            ],
          },
          { name: 'Custom', field: [field('kind', 1), field('path', 2)] },
        ],
      },
    ],
  }),
).getMessage('rule.HttpRule') as DescMessage;

interface WrittenRule {
  readonly get?: string;
  readonly put?: string;
  readonly post?: string;
  readonly delete?: string;
  readonly patch?: string;
  readonly body?: string;
  readonly custom?: { readonly kind?: string; readonly path?: string };
  readonly additionalBindings?: readonly WrittenRule[];
  readonly responseBody?: string;
}

/** A method without the option has one rule: POST to its gRPC path, with the whole message as body. */
export function httpRules(method: DescMethod): HttpRule[] {
  const option = method.proto.options?.$unknown?.findLast(({ no }) => no === HTTP_OPTION);
  if (option === undefined) return [{ method: 'POST', template: `/${method.parent.typeName}/${method.name}`, body: '*', responseBody: '' }];
  const written = toJson(HTTP_RULE, fromBinary(HTTP_RULE, withoutLength(option.data))) as WrittenRule;
  return [written, ...(written.additionalBindings ?? [])].flatMap(ruleOf);
}

function ruleOf(written: WrittenRule): HttpRule[] {
  const { body = '', responseBody = '', custom } = written;
  for (const method of ['get', 'put', 'post', 'delete', 'patch'] as const) {
    const template = written[method];
    if (template !== undefined && template !== '') return [{ method: method.toUpperCase(), template, body, responseBody }];
  }
  return custom?.kind === undefined || custom.path === undefined ? [] : [{ method: custom.kind, template: custom.path, body, responseBody }];
}

/** Unknown fields are kept with the length before them, a varint. */
function withoutLength(data: Uint8Array): Uint8Array {
  let start = 0;
  while (((data[start] ?? 0) & 0x80) !== 0) start++;
  return data.subarray(start + 1);
}
