/** For tests: a service whose one message has fields of the well-known types, of which JSON has forms of its own. */
import { create, toBinary } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt';

const { MESSAGE, BYTES, UINT64 } = FieldDescriptorProto_Type;
const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;

const FILES = [
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
].map(({ proto }) => proto);

function known(name: string, number: number, type: string, label = OPTIONAL) {
  return { name, number, type: MESSAGE, typeName: `.google.protobuf.${type}`, label };
}

/**
 * `demo.Things/Put` takes POST /demo.Things/Put with a `demo.Thing`, and gives one.
 * @param imports what the file imports is in the set, too
 */
export function wellKnownDescriptors(imports = true): Buffer {
  const set = create(FileDescriptorSetSchema, {
    file: [
      ...(imports ? FILES : []),
      {
        name: 'demo.proto',
        package: 'demo',
        syntax: 'proto3',
        dependency: [...FILES.map(({ name }) => name), ...(imports ? [] : ['google/api/annotations.proto'])],
        messageType: [
          {
            name: 'Thing',
            field: [
              ...[known('made_at', 1, 'Timestamp'), known('lasts', 2, 'Duration'), known('mask', 3, 'FieldMask'), known('count', 4, 'Int64Value')],
              ...[known('flag', 5, 'BoolValue'), known('label', 6, 'StringValue'), known('extra', 7, 'Struct'), known('any', 8, 'Any')],
              ...[known('value', 9, 'Value'), known('flags', 10, 'BoolValue', REPEATED)],
              ...[
                { name: 'data', number: 11, type: BYTES, label: OPTIONAL },
                { name: 'large', number: 12, type: UINT64, label: OPTIONAL },
              ],
            ],
          },
        ],
        service: [{ name: 'Things', method: [{ name: 'Put', inputType: '.demo.Thing', outputType: '.demo.Thing' }] }],
      },
    ],
  });
  return Buffer.from(toBinary(FileDescriptorSetSchema, set));
}
