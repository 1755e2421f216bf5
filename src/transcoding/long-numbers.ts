/** Whole numbers beyond 2^53 in a body: texts to fields of 64 bits, which take those as well, and numbers to all else, as JSON has them. */
import { randomBytes } from 'node:crypto';
import { type DescExtension, type DescField, type DescMessage, type FileRegistry, type JsonValue, ScalarType } from '@bufbuild/protobuf';
import { fieldOf } from './bindings.ts';

/** Begins the text that stands for such a number while it is parsed. Nobody can guess it. */
export const MARK = `${randomBytes(16).toString('hex')}:`;

const OF_64_BITS: ReadonlySet<ScalarType> = new Set([ScalarType.INT64, ScalarType.UINT64, ScalarType.SINT64, ScalarType.FIXED64, ScalarType.SFIXED64]);
const WRAPPERS: ReadonlySet<string> = new Set(['google.protobuf.Int64Value', 'google.protobuf.UInt64Value']);
const ANY = 'google.protobuf.Any';

/** What a value is JSON of; undefined: of anything. */
type Type = { readonly message?: DescMessage | undefined; readonly scalar?: ScalarType | undefined; readonly isMap?: boolean } | undefined;

/**
 * @param json parsed with marks; it is changed
 * @param field what it is JSON of; a message: that
 * @throws SyntaxError where a number stood in the place of a name
 */
export function putLongNumbersBack(json: JsonValue, field: DescField | DescMessage, registry: FileRegistry): JsonValue {
  return back(json, field.kind === 'message' ? { message: field } : typeOf(field), registry);
}

function typeOf(field: DescField | DescExtension | undefined): Type {
  return field && { message: field.message, scalar: field.scalar, isMap: field.fieldKind === 'map' };
}

function back(json: JsonValue, type: Type, registry: FileRegistry): JsonValue {
  if (typeof json === 'string') {
    if (!json.startsWith(MARK)) return json;
    const digits = json.slice(MARK.length);
    return isOf64Bits(type) ? digits : Number(digits);
  }
  if (typeof json !== 'object' || json === null) return json;
  if (Array.isArray(json)) {
    for (let index = 0; index < json.length; index++) json[index] = back(json[index] as JsonValue, type, registry);
    return json;
  }
  const message = type?.message?.typeName === ANY ? messageOf(json['@type'], registry) : type?.message;
  for (const [name, value] of Object.entries(json)) {
    if (name.startsWith(MARK)) throw new SyntaxError('a name is a number');
    const changed = back(value, type?.isMap === true ? { ...type, isMap: false } : message && memberType(message, name, registry), registry);
    // Not by assignment, which would be something else for `__proto__`.
    if (changed !== value) Object.defineProperty(json, name, { value: changed, writable: true, enumerable: true, configurable: true });
  }
  return json;
}

/** @param message of an Any: the one that it holds */
function memberType(message: DescMessage, name: string, registry: FileRegistry): Type {
  // An Any that is held by another one stands there as its value.
  if (message.typeName === ANY) return name === 'value' ? { message } : undefined;
  return typeOf(name.startsWith('[') ? registry.getExtension(name.slice(1, -1)) : fieldOf(message, name));
}

function isOf64Bits(type: Type): boolean {
  if (type === undefined || type.isMap === true) return false;
  return type.scalar === undefined ? type.message !== undefined && WRAPPERS.has(type.message.typeName) : OF_64_BITS.has(type.scalar);
}

/** @param url as `type.googleapis.com/shop.Order` */
function messageOf(url: JsonValue | undefined, registry: FileRegistry): DescMessage | undefined {
  return typeof url === 'string' ? registry.getMessage(url.slice(url.lastIndexOf('/') + 1)) : undefined;
}
