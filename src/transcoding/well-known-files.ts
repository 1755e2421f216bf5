/** Files that everybody imports, and that descriptor sets may lack: the well-known types, and google.api.HttpBody. */
import { create } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt';

/** A body as it is, with its type: neither in requests nor in answers JSON. */
export const HTTP_BODY = 'google.api.HttpBody';

const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;
const { STRING, BYTES, MESSAGE } = FieldDescriptorProto_Type;

const httpBody = create(FileDescriptorProtoSchema, {
  name: 'google/api/httpbody.proto',
  package: 'google.api',
  syntax: 'proto3',
  dependency: ['google/protobuf/any.proto'],
  messageType: [
    {
      name: 'HttpBody',
      field: [
        { name: 'content_type', number: 1, type: STRING, label: OPTIONAL },
        { name: 'data', number: 2, type: BYTES, label: OPTIONAL },
        { name: 'extensions', number: 3, type: MESSAGE, typeName: '.google.protobuf.Any', label: REPEATED },
      ],
    },
  ],
});

/** Those that import others come behind them. */
export const WELL_KNOWN_FILES: readonly FileDescriptorProto[] = [
  ...[
    file_google_protobuf_any,
    file_google_protobuf_duration,
    file_google_protobuf_empty,
    file_google_protobuf_field_mask,
    file_google_protobuf_struct,
    file_google_protobuf_timestamp,
    file_google_protobuf_wrappers,
  ].map(({ proto }) => proto),
  httpBody,
];
