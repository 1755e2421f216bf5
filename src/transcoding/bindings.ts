/** The unary methods of services in a descriptor set, by the requests that their google.api.http rules take. */
import { createFileRegistry, type DescField, type DescMessage, type DescMethod, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { type DescriptorProto, type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { type HttpRule, httpRules, jsonNameOf } from './http-rules.ts';
import { PathTemplate, TemplateFlaw } from './path-template.ts';
import { WELL_KNOWN_FILES } from './well-known-files.ts';

/** What is wrong with a descriptor set. */
export class DescriptorFault extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

export interface Binding {
  readonly httpMethod: string;
  readonly template: PathTemplate;
  readonly method: DescMethod;
  /** `*`, the name of a field in JSON, or empty. */
  readonly body: string;
  readonly bodyField: DescField | undefined;
  /** What alone of the message is the answer. */
  readonly responseField: DescField | undefined;
}

export interface Transcoding {
  readonly registry: FileRegistry;
  /** Those that go first are first. */
  readonly bindings: readonly Binding[];
}

const MAX_BINDINGS = 1000;

/**
 * @param bytes a FileDescriptorSet with everything that its files import, but for google/api/ and the well-known types, which may be missing
 * @throws DescriptorFault
 */
export function readTranscoding(bytes: Uint8Array, services: readonly string[]): Transcoding {
  let registry: FileRegistry;
  try {
    const set = fromBinary(FileDescriptorSetSchema, bytes);
    completeImports(set);
    for (const file of set.file) for (const message of file.messageType) nameFields(message);
    registry = createFileRegistry(set);
  } catch (error) {
    throw new DescriptorFault(`no descriptor set can be read: ${(error as Error).message}`, 'make it with protoc --descriptor_set_out --include_imports');
  }
  const bindings: Binding[] = [];
  for (const name of services) {
    const service = registry.getService(name);
    if (service === undefined) throw new DescriptorFault(`there is no service ${name}`, 'write the full name of a service in the descriptor set');
    for (const method of service.methods) {
      // JSON has no form for a stream.
      if (method.methodKind !== 'unary') continue;
      for (const rule of httpRules(method)) bindings.push(bindingOf(method, rule));
    }
  }
  if (bindings.length === 0) throw new DescriptorFault(`there are no unary methods in ${services.join(', ')}`, 'name a service that has some');
  if (bindings.length > MAX_BINDINGS) throw new DescriptorFault(`there are more than ${MAX_BINDINGS} rules`, 'name fewer services');
  bindings.sort((a, b) => (a.template.order < b.template.order ? -1 : a.template.order > b.template.order ? 1 : 0));
  return { registry, bindings };
}

/** What everybody imports may be left out of a set: the well-known types are known here, and of the rest of google/api/ only options are used, which are read by number. */
function completeImports(set: FileDescriptorSet): void {
  const names = new Set(set.file.map(({ name }) => name));
  const imported = new Set(set.file.flatMap(({ dependency }) => dependency));
  for (const file of WELL_KNOWN_FILES.toReversed()) {
    if (!imported.has(file.name) || names.has(file.name)) continue;
    set.file.unshift(file);
    names.add(file.name);
    for (const name of file.dependency) imported.add(name);
  }
  for (const file of set.file) {
    if (!file.dependency.some((name) => !names.has(name) && name.startsWith('google/api/'))) continue;
    file.dependency = file.dependency.filter((name) => names.has(name) || !name.startsWith('google/api/'));
    // Both are indices into the list that has changed, and nothing here asks for them.
    file.publicDependency = [];
    file.weakDependency = [];
  }
}

/** Not every compiler writes down what fields are called in JSON. */
function nameFields(message: DescriptorProto): void {
  for (const field of message.field) if (field.jsonName === '') field.jsonName = jsonNameOf(field.name);
  for (const inner of message.nestedType) nameFields(inner);
}

function bindingOf(method: DescMethod, { method: httpMethod, template: text, body, responseBody }: HttpRule): Binding {
  const where = `${method.parent.typeName}.${method.name}, ${text}:`;
  const hint = 'mend the google.api.http option';
  let template: PathTemplate;
  try {
    template = PathTemplate.parse(text);
  } catch (error) {
    if (error instanceof TemplateFlaw) throw new DescriptorFault(`${where} the path ${error.message}`, hint);
    throw error;
  }
  for (const { field } of template.variables) {
    const found = fieldAt(method.input, field);
    if (found === undefined || !isScalar(found)) throw new DescriptorFault(`${where} ${field} is no scalar field of ${method.input.typeName}`, hint);
  }
  const bodyField = body === '' || body === '*' ? undefined : fieldOf(method.input, body);
  if (body !== '' && body !== '*' && bodyField === undefined) throw new DescriptorFault(`${where} ${method.input.typeName} has no field ${body}`, hint);
  const responseField = responseBody === '' ? undefined : fieldOf(method.output, responseBody);
  if (responseBody !== '' && responseField === undefined) throw new DescriptorFault(`${where} ${method.output.typeName} has no field ${responseBody}`, hint);
  return { httpMethod, template, method, body, bodyField, responseField };
}

/** By its name in the .proto file or in JSON. */
export function fieldOf(message: DescMessage, name: string): DescField | undefined {
  return message.fields.find((field) => field.name === name || field.jsonName === name);
}

/** @param path as `book.author.id` */
export function fieldAt(message: DescMessage, path: string): DescField | undefined {
  const [name = '', ...rest] = path.split('.');
  const field = fieldOf(message, name);
  if (field === undefined || rest.length === 0) return field;
  return field.fieldKind === 'message' ? fieldAt(field.message, rest.join('.')) : undefined;
}

function isScalar(field: DescField): boolean {
  return field.fieldKind === 'scalar' || field.fieldKind === 'enum' || (field.fieldKind === 'message' && isTextInJson(field.message));
}

/** Messages whose JSON is a text, a number or a truth value (ProtoJSON, "JSON Options"). */
const TEXTS = new Set([
  ...['Timestamp', 'Duration', 'FieldMask', 'BoolValue', 'BytesValue', 'DoubleValue', 'FloatValue'],
  ...['Int32Value', 'Int64Value', 'StringValue', 'UInt32Value', 'UInt64Value'],
]);

/** Whether a value of it can stand in a path or a query. */
export function isTextInJson({ typeName }: DescMessage): boolean {
  return typeName.startsWith('google.protobuf.') && TEXTS.has(typeName.slice('google.protobuf.'.length));
}
