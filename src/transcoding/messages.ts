/** Requests as messages, and messages as answers (google/api/http.proto, "HTTP/JSON transcoding"). */
import { type DescField, type DescMessage, type FileRegistry, fromBinary, fromJson, type JsonValue, ScalarType, toBinary, toJson } from '@bufbuild/protobuf';
import { endOfString, quoteLongNumbers } from '../exchange/long-numbers.ts';
import { type Binding, fieldOf, isTextInJson } from './bindings.ts';

/** A request that does not fit its method. */
export class RequestFault extends Error {}

type JsonObject = { [name: string]: JsonValue };

/**
 * @param values what the path says, by field
 * @param query parameters in their order
 * @param body the request's; undefined where the rule takes none
 * @returns the message in gRPC's framing
 * @throws RequestFault
 */
export function requestMessage(
  { method, body: rule, bodyField }: Binding,
  registry: FileRegistry,
  values: ReadonlyMap<string, string>,
  query: Iterable<readonly [string, string]>,
  body: Buffer | undefined,
): Buffer {
  let json: JsonObject = {};
  const given = body === undefined || body.length === 0 ? undefined : parse(body);
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

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parse(body: Buffer): JsonValue {
  try {
    const text = utf8.decode(body);
    if (hasTooManyValues(text)) throw new RequestFault(`the body has more than ${MAX_VALUES} values`);
    // Fields of 64 bits, which long numbers are for, take texts as well.
    return JSON.parse(quoteLongNumbers(text, '') ?? text) as JsonValue;
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

/** @param adds to a repeated field; else it takes the place of what is there */
function put(json: JsonObject, message: DescMessage, path: string, value: string, adds: boolean): void {
  const [name = '', ...rest] = path.split('.');
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
  if (field.fieldKind === 'list' && adds) json[field.jsonName] = [...(Array.isArray(known) ? known : []), textOf(field, value)];
  else if (known !== undefined && adds) throw new RequestFault(`${name} is there twice`);
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

/**
 * @param body of a gRPC answer with status 0
 * @returns JSON; undefined where it is not one message that is what the method gives
 */
export function answerJson({ method, responseBody }: Binding, registry: FileRegistry, body: Buffer): string | undefined {
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return undefined;
  try {
    const message = fromBinary(method.output, body.subarray(5));
    const json = toJson(method.output, message, { registry }) as JsonObject;
    if (responseBody === '') return JSON.stringify(json);
    // A field alone has to be there, also with its default: of a list that is empty clients want an empty list.
    const defaults = json[responseBody] === undefined ? (toJson(method.output, message, { registry, alwaysEmitImplicit: true }) as JsonObject) : json;
    return JSON.stringify(defaults[responseBody] ?? null);
  } catch {
    return undefined;
  }
}
