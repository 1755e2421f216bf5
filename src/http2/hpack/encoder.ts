import { FieldKind, maskOf } from '../../exchange/field-names.ts';
import { type Fields, type LineVisitor, withoutBlanks } from '../../exchange/fields.ts';
import { latin1Copy } from '../../exchange/latin1-copy.ts';
import { DEFAULT_TABLE_SIZE, DynamicTable, ENTRY_OVERHEAD } from './dynamic-table.ts';
import { type KnownName, knownName } from './known-names.ts';
import { encodeInteger, encodeShortest, encodeString } from './primitives.ts';
import { STATIC_TABLE, StaticIndex } from './static-table.ts';

const INDEXED = 0x80;
const SIZE_UPDATE = 0x20;

/** What differs from message to message would only push other things out of the table. */
const UNIQUE = maskOf(FieldKind.XRequestId, FieldKind.Traceparent);
/** What a look-up by the whole line would be lost on. */
const NOT_LOOKED_UP = UNIQUE | maskOf(FieldKind.Authorization, FieldKind.Cookie);
const HOST = maskOf(FieldKind.Host);

/** An entry that is larger would leave room for little else. */
const MAX_ENTRY = DEFAULT_TABLE_SIZE / 4;
/** After so many misses in a row values of a name are no longer indexed, but for one in so many, in case that changes. */
const MAX_MISSES = 32;

interface EncoderEntry {
  /** See `HpackEncoder.#entries`. */
  readonly key: string;
  readonly size: number;
  /** How many entries the table had ever had, this one included. */
  readonly number: number;
  readonly name: KnownName;
}

/** `:status` of the static table, by status; '' for others. */
const STATUS_BYTES: readonly string[] = Array.from({ length: 600 }, (_, status) => {
  const index = STATIC_TABLE.findIndex(([name, value]) => name === ':status' && value === String(status));
  return index < 0 ? '' : indexed(index + 1);
});

const METHOD_GET = indexed(StaticIndex.MethodGet);
const METHOD_POST = indexed(StaticIndex.MethodPost);
const SCHEME_HTTP = indexed(StaticIndex.SchemeHttp);
const SCHEME_HTTPS = indexed(StaticIndex.SchemeHttps);
const PATH_ROOT = indexed(StaticIndex.PathRoot);

function indexed(index: number): string {
  return encodeInteger(INDEXED, 0x7f, index);
}

/**
 * Writes the header blocks of one connection (RFC 7541) as text whose characters are bytes. What comes again and again is
 * found by its whole line, as it stands in `Fields`, and costs a look-up then. The peer decodes blocks in the order in which
 * they were made, so one that was made must be sent.
 */
export class HpackEncoder implements LineVisitor {
  readonly #table = new DynamicTable<EncoderEntry>(DEFAULT_TABLE_SIZE);
  /** By `Name: value`, the name and the blanks around the value as they were given. */
  readonly #entries = new Map<string, EncoderEntry>();
  /** Entries that the table had ever had. */
  #added = 0;
  #text = '';
  /** The smallest size since the last block; it must be told where the size went down and up again. */
  #smallest = DEFAULT_TABLE_SIZE;
  #resized = false;

  /** @param size the peer's SETTINGS_HEADER_TABLE_SIZE; more than DEFAULT_TABLE_SIZE is never used */
  setMaxTableSize(size: number): void {
    const maxSize = Math.min(size, DEFAULT_TABLE_SIZE);
    if (maxSize === this.#table.maxSize) return;
    this.#smallest = this.#resized ? Math.min(this.#smallest, maxSize) : maxSize;
    this.#table.maxSize = maxSize;
    this.#resized = true;
    this.#shrink(maxSize);
  }

  /** The head of a response. @param status 100 to 599 @param fields names in any case; hop-by-hop ones are gone */
  response(status: number, fields: Fields): string {
    this.begin();
    this.status(status);
    fields.visit(this, 0);
    return this.finish();
  }

  /** The head of a request; the Host field becomes `:authority`. @param fields as for `response` */
  request(method: string, scheme: 'http' | 'https', path: string, fields: Fields): string {
    this.begin();
    if (method === 'GET') this.#text += METHOD_GET;
    else if (method === 'POST') this.#text += METHOD_POST;
    else this.pair(':method', method);
    this.#text += scheme === 'https' ? SCHEME_HTTPS : SCHEME_HTTP;
    const authority = fields.single(FieldKind.Host);
    if (authority !== undefined) this.pair(':authority', authority);
    if (path === '/') this.#text += PATH_ROOT;
    else this.pair(':path', path);
    fields.visit(this, HOST);
    return this.finish();
  }

  /** @param fields as for `response` */
  trailers(fields: Fields): string {
    this.begin();
    fields.visit(this, 0);
    return this.finish();
  }

  /** Begins a block that is made piece by piece: by `status`, `pair`, `line` and `Fields.visit`, up to `finish`. */
  begin(): void {
    this.#text = '';
    if (!this.#resized) return;
    // RFC 7541 section 4.2.
    if (this.#smallest < this.#table.maxSize) this.#text = encodeInteger(SIZE_UPDATE, 0x1f, this.#smallest);
    this.#text += encodeInteger(SIZE_UPDATE, 0x1f, this.#table.maxSize);
    this.#resized = false;
  }

  finish(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }

  /** @param status 100 to 599 */
  status(status: number): void {
    const bytes = STATUS_BYTES[status] as string;
    if (bytes === '') this.pair(':status', String(status));
    else this.#text += bytes;
  }

  /** @param name lower-case; may be that of a pseudo-header field */
  pair(name: string, value: string): void {
    const key = `${name}: ${value}`;
    const entry = this.#entries.get(key);
    if (entry === undefined) this.#write(key, knownName(name), value);
    else this.#refer(entry);
  }

  line(text: string, start: number, nameLength: number, end: number, kind: FieldKind): void {
    const nameEnd = start + nameLength;
    if (((1 << kind) & NOT_LOOKED_UP) !== 0) {
      const name = knownName(text.slice(start, nameEnd));
      this.#text += (name.isSecret ? name.neverIndexed : name.withoutIndexing) + encodeString(withoutBlanks(text, nameEnd + 1, end));
      return;
    }
    const key = text.slice(start, end);
    const entry = this.#entries.get(key);
    if (entry === undefined) this.#write(key, knownName(text.slice(start, nameEnd)), withoutBlanks(text, nameEnd + 1, end));
    else this.#refer(entry);
  }

  #refer(entry: EncoderEntry): void {
    entry.name.misses = 0;
    this.#text += encodeInteger(INDEXED, 0x7f, STATIC_TABLE.length + 1 + this.#added - entry.number);
  }

  #write(key: string, name: KnownName, value: string): void {
    if (name.isSecret) {
      this.#text += name.neverIndexed + encodeString(value);
      return;
    }
    const size = name.lower.length + value.length + ENTRY_OVERHEAD;
    const { maxSize } = this.#table;
    name.misses++;
    if (size > MAX_ENTRY || size > maxSize || (name.misses > MAX_MISSES && name.misses % MAX_MISSES !== 0)) {
      this.#text += name.withoutIndexing + encodeString(value);
      return;
    }
    this.#text += name.withIndexing + encodeShortest(value);
    this.#shrink(maxSize - size);
    // A slice of its own: the key is one of a whole head.
    const entry: EncoderEntry = { key: latin1Copy(key), size, number: ++this.#added, name };
    this.#table.add(entry);
    this.#entries.set(entry.key, entry);
  }

  #shrink(size: number): void {
    while (this.#table.size > size) {
      const entry = this.#table.evict() as EncoderEntry;
      this.#entries.delete(entry.key);
    }
  }
}
