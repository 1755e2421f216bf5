/** Requests as messages, and messages as answers (google/api/http.proto, "HTTP/JSON transcoding"). */
import {
  type DescField,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  ScalarType,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import type { Fields } from '../exchange/fields.ts';
import { parseJsonText } from '../exchange/json-text.ts';
import { endOfString, quoteLongNumbers } from '../exchange/long-numbers.ts';
import { type Binding, fieldOf, isTextInJson } from './bindings.ts';
import { MARK, putLongNumbersBack } from './long-numbers.ts';
import { HTTP_BODY } from './well-known-files.ts';

/** A request that does not fit its method. */
export class RequestFault extends Error {}

type JsonObject = { [name: string]: JsonValue };

/**
 * @param values what the path says, by field
 * @param query parameters in their order
 * @param body the request's; undefined where the rule takes none
 * @param fields the request's
 * @returns the message in gRPC's framing
 * @throws RequestFault
 */
export function requestMessage(
  { method, body: rule, bodyField }: Binding,
  registry: FileRegistry,
  values: ReadonlyMap<string, string>,
  query: Iterable<readonly [string, string]>,
  body: Buffer | undefined,
  fields: Pick<Fields, 'get'>,
): Buffer {
  let json: JsonObject = {};
  const isRaw = rule === '*' ? method.input.typeName === HTTP_BODY : isHttpBody(bodyField);
  const given = body === undefined || body.length === 0 ? undefined : isRaw ? rawBody(body, fields) : parse(body, bodyField ?? method.input, registry);
  if (rule === '*' && given !== undefined) {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) throw new RequestFault('the body is no object');
    json = given;
  } else if (bodyField !== undefined && given !== undefined) {
    json[bodyField.jsonName] = given;
  }
  if (rule !== '*') {
    for (const [path, value] of query) {
      const [first] = path.split('.');
      if (values.has(path) || (bodyField !== undefined && (first === bodyField.name || first === bodyField.jsonName))) {
        throw new RequestFault(`${path} is not for the query`);
      }
      put(json, method.input, path, value, true);
    }
  }
  for (const [path, value] of values) put(json, method.input, path, value, false);
  try {
    return framed(toBinary(method.input, fromJson(method.input, json, { registry })));
  } catch (error) {
    throw new RequestFault((error as Error).message);
  }
}

function isHttpBody(field: DescField | undefined): boolean {
  return field?.fieldKind === 'message' && field.message.typeName === HTTP_BODY;
}

/** google.api.HttpBody has no place for a coding. */
function rawBody(body: Buffer, fields: Pick<Fields, 'get'>): JsonValue {
  if ((fields.get('content-encoding') ?? 'identity') !== 'identity') throw new RequestFault('the body is encoded');
  return { contentType: fields.get('content-type') ?? '', data: body.toString('base64') };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** @param type what the body is JSON of */
function parse(body: Buffer, type: DescMessage | DescField, registry: FileRegistry): JsonValue {
  try {
    const text = utf8.decode(body);
    if (hasTooManyValues(text)) throw new RequestFault(`the body has more than ${MAX_VALUES} values`);
    const marked = quoteLongNumbers(text, MARK);
    return marked === undefined ? (parseJsonText(text) as JsonValue) : putLongNumbersBack(parseJsonText(marked) as JsonValue, type, registry);
  } catch (error) {
    throw error instanceof RequestFault ? error : new RequestFault('the body is no JSON');
  }
}

/** What a message is made of costs up to two microseconds each, while other requests wait. */
const MAX_VALUES = 50_000;
const QUOTE = 0x22;
const COMMA = 0x2c;

function hasTooManyValues(text: string): boolean {
  // One needs two characters at least.
  if (text.length < 2 * MAX_VALUES) return false;
  let values = 1;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (code === COMMA) values++;
  }
  return values > MAX_VALUES;
}

/** Elements of a field's path; messages may hold messages of their own type. */
const MAX_FIELD_DEPTH = 32;

/** @param adds to a repeated field; else it takes the place of what is there */
function put(json: JsonObject, message: DescMessage, path: string, value: string, adds: boolean): void {
  const [name = '', ...rest] = path.split('.', MAX_FIELD_DEPTH + 1);
  if (rest.length === MAX_FIELD_DEPTH) throw new RequestFault(`${name} has too many fields within each other`);
  const field = fieldOf(message, name);
  if (field === undefined) throw new RequestFault(`there is no field ${name}`);
  // JSON may name it either way.
  if (field.name !== field.jsonName && Object.hasOwn(json, field.name)) {
    json[field.jsonName] ??= json[field.name] as JsonValue;
    delete json[field.name];
  }
  if (rest.length > 0) {
    if (field.fieldKind !== 'message') throw new RequestFault(`${name} has no fields`);
    const inner = Object.hasOwn(json, field.jsonName) ? json[field.jsonName] : {};
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) throw new RequestFault(`${name} is no object`);
    json[field.jsonName] = inner;
    put(inner, field.message, rest.join('.'), value, adds);
    return;
  }
  const known = Object.hasOwn(json, field.jsonName) ? json[field.jsonName] : undefined;
  if (field.fieldKind === 'list' && adds) {
    if (Array.isArray(known)) known.push(textOf(field, value));
    else json[field.jsonName] = [textOf(field, value)];
  } else if (known !== undefined && adds) throw new RequestFault(`${name} is there twice`);
  else json[field.jsonName] = textOf(field, value);
}

/** Text as the JSON of a field: numbers and enums may be texts, truth values may not. */
function textOf(field: DescField, value: string): JsonValue {
  if (field.scalar === ScalarType.BOOL || field.message?.typeName === 'google.protobuf.BoolValue') {
    if (value !== 'true' && value !== 'false') throw new RequestFault(`${field.name} is neither true nor false`);
    return value === 'true';
  }
  // A message has no text but those that are one in JSON (http.proto: "primitive type or a repeated primitive type").
  if (field.message !== undefined && !isTextInJson(field.message)) throw new RequestFault(`${field.name} is a message`);
  if (field.fieldKind === 'map') throw new RequestFault(`${field.name} is a map`);
  return field.enum !== undefined && /^-?\d{1,10}$/.test(value) ? Number(value) : value;
}

/** RFC-less framing of gRPC over HTTP/2: not compressed, and how long it is. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

/** What an answer of HTTP says of its body, and that. */
export interface AnswerBody {
  readonly contentType: string;
  readonly body: string | Buffer;
}

/**
 * @param body of a gRPC answer with status 0
 * @returns JSON, or what a google.api.HttpBody holds; undefined where it is not one message that is what the method gives
 */
export function answerBody({ method, responseField }: Binding, registry: FileRegistry, body: Buffer): AnswerBody | undefined {
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return undefined;
  try {
    const message = fromBinary(method.output, body.subarray(5));
    if (responseField === undefined && method.output.typeName === HTTP_BODY) return rawAnswer(message);
    if (responseField !== undefined && isHttpBody(responseField)) return rawAnswer((message as Readonly<Record<string, unknown>>)[responseField.localName]);
    return { contentType: 'application/json', body: answerJson(message, method.output, responseField, registry) };
  } catch {
    return undefined;
  }
}

function answerJson(message: Message, type: DescMessage, responseField: DescField | undefined, registry: FileRegistry): string {
  const json = toJson(type, message, { registry }) as JsonObject;
  if (responseField === undefined) return JSON.stringify(json);
  // A field alone has to be there, also with its default: of a list that is empty clients want an empty list.
  const name = responseField.jsonName;
  const defaults = json[name] === undefined ? (toJson(type, message, { registry, alwaysEmitImplicit: true }) as JsonObject) : json;
  return JSON.stringify(defaults[name] ?? null);
}

/** RFC 9110 section 8.3.1, as far as it keeps a line one line. */
const MEDIA_TYPE = /^[!#$%&'*+\-.^_`|~0-9a-z]+\/[!#$%&'*+\-.^_`|~0-9a-z]+[\t ]*(?:;[\t\x20-\x7e]*)?$/i;

/** @param message a google.api.HttpBody; undefined: an empty one */
function rawAnswer(message: unknown): AnswerBody | undefined {
  const { contentType = '', data = new Uint8Array() } = (message ?? {}) as { readonly contentType?: string; readonly data?: Uint8Array };
  if (contentType !== '' && !MEDIA_TYPE.test(contentType)) return undefined;
  // Whoever is told nothing guesses.
  return { contentType: contentType === '' ? 'application/octet-stream' : contentType, body: Buffer.from(data.buffer, data.byteOffset, data.byteLength) };
}
