/** For tests: a service whose one message has fields of the well-known types, of which JSON has forms of its own. */
import { create, toBinary } from '@bufbuild/protobuf';
import { FieldDescriptorProto_Label, FieldDescriptorProto_Type, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { ruledMethod } from './shop.fixture.ts';
import { WELL_KNOWN_FILES } from './well-known-files.ts';

const { STRING, MESSAGE, BYTES, INT64, UINT64 } = FieldDescriptorProto_Type;
const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;

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
      ...(imports ? WELL_KNOWN_FILES : []),
      {
        name: 'demo.proto',
        package: 'demo',
        syntax: 'proto3',
        dependency: [...WELL_KNOWN_FILES.map(({ name }) => name), ...(imports ? [] : ['google/api/annotations.proto'])],
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

/** `demo.Notes/Put` takes and gives a `demo.Note`, which others may extend: `demo.size` is of 64 bits. */
export function extensionDescriptors(): Buffer {
  const set = create(FileDescriptorSetSchema, {
    file: [
      {
        name: 'notes.proto',
        package: 'demo',
        syntax: 'proto2',
        dependency: ['google/protobuf/any.proto'],
        messageType: [{ name: 'Note', field: [known('any', 1, 'Any')], extensionRange: [{ start: 100, end: 200 }] }],
        extension: [{ name: 'size', extendee: '.demo.Note', number: 100, type: INT64, label: OPTIONAL }],
        service: [{ name: 'Notes', method: [{ name: 'Put', inputType: '.demo.Note', outputType: '.demo.Note' }] }],
      },
    ],
  });
  return Buffer.from(toBinary(FileDescriptorSetSchema, set));
}

/** `demo.Files`: bodies that are no JSON, as whole messages and as fields of others. The set lacks what it imports. */
export function fileDescriptors(): Buffer {
  const set = create(FileDescriptorSetSchema, {
    file: [
      {
        name: 'files.proto',
        package: 'demo',
        syntax: 'proto3',
        dependency: ['google/api/httpbody.proto', 'google/api/annotations.proto'],
        messageType: [
          {
            name: 'File',
            field: [
              { name: 'name', number: 1, type: STRING, label: OPTIONAL },
              { name: 'file', number: 2, type: MESSAGE, typeName: '.google.api.HttpBody', label: OPTIONAL },
            ],
          },
        ],
        service: [
          {
            name: 'Files',
            method: [
              ruledMethod('Echo', 'google.api.HttpBody', 'google.api.HttpBody', { verb: 4, path: '/echo', body: '*' }),
              ruledMethod('Put', 'demo.File', 'demo.File', { verb: 3, path: '/files/{name}', body: 'file' }),
              ruledMethod('Get', 'demo.File', 'demo.File', { verb: 2, path: '/files/{name}', responseBody: 'file' }),
            ],
          },
        ],
      },
    ],
  });
  return Buffer.from(toBinary(FileDescriptorSetSchema, set));
}
