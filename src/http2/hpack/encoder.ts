import { FieldKind, maskOf } from '../../exchange/field-names.ts';
import { type Fields, type LineVisitor, visitLines, withoutBlanks } from '../../exchange/fields.ts';
import { latin1Copy } from '../../exchange/latin1-copy.ts';
import { DEFAULT_TABLE_SIZE, DynamicTable, ENTRY_OVERHEAD } from './dynamic-table.ts';
import { type KnownName, knownName } from './known-names.ts';
import { encodeInteger, encodeShortest, encodeString } from './primitives.ts';
import { STATIC_TABLE, StaticIndex } from './static-table.ts';

const INDEXED = 0x80;
const SIZE_UPDATE = 0x20;

/** What differs from message to message would only push other things out of the table. */
const UNIQUE = maskOf(FieldKind.XRequestId, FieldKind.Traceparent);
/** What a look-up by the whole line would be lost on, and the names of these kinds. */
const NOT_LOOKED_UP = UNIQUE | maskOf(FieldKind.Authorization, FieldKind.Cookie);
const NAMES: readonly (KnownName | undefined)[] = namesByKind([
  [FieldKind.XRequestId, 'x-request-id'],
  [FieldKind.Traceparent, 'traceparent'],
  [FieldKind.Authorization, 'authorization'],
  [FieldKind.Cookie, 'cookie'],
]);

function namesByKind(pairs: readonly (readonly [kind: FieldKind, name: string])[]): (KnownName | undefined)[] {
  const names: (KnownName | undefined)[] = new Array(32).fill(undefined);
  for (const [kind, name] of pairs) names[kind] = knownName(name);
  return names;
}

/** Fields of a block for which it is kept what they were in the last one. */
const MAX_EXPECTED = 32;
const HOST = maskOf(FieldKind.Host);

/** An entry that is larger would leave room for little else. */
const MAX_ENTRY = DEFAULT_TABLE_SIZE / 4;
/** After so many misses in a row values of a name are no longer indexed, but for one in so many, in case that changes. */
const MAX_MISSES = 32;

/** Texts above are not kept to be compared with the next. */
const MAX_KEPT_TEXT = 4 * 1024;

/** Whole lines that were added to a message, and the entries that they all had. */
interface LineGroup {
  readonly lines: string;
  readonly without: number;
  readonly entries: readonly EncoderEntry[];
}

/** What the lines of a text came to, all of which the table had. */
interface LineRun {
  /** See `LineVisitor.beginText`. */
  readonly lines: readonly number[];
  readonly without: number;
  /** Where the run stands among the fields of its block. */
  readonly place: number;
  readonly count: number;
  /** Entries that the table had ever had: with one more all indices are others. */
  readonly added: number;
  readonly block: string;
}

interface EncoderEntry {
  /** See `HpackEncoder.#entries`. */
  readonly key: string;
  readonly size: number;
  /** How many entries the table had ever had, this one included. */
  readonly number: number;
  readonly name: KnownName;
  /** It is still in the table. */
  inTable: boolean;
}

/** `:status` of the static table, by status; '' for others. */
const STATUS_BYTES: readonly string[] = Array.from({ length: 600 }, (_, status) => {
  const index = STATIC_TABLE.findIndex(([name, value]) => name === ':status' && value === String(status));
  return index < 0 ? '' : indexed(index + 1);
});

/** Indices up to here take one byte (RFC 7541 section 6.1). */
const SHORT_INDICES: readonly string[] = Array.from({ length: 0x7f }, (_, index) => indexed(index));

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
  /**
   * The fields of the last block, in order: most messages of a connection have the same ones in the same places, and to
   * compare a line with the one that is expected costs less than to make a string of it and look that up.
   */
  readonly #expected: (EncoderEntry | undefined)[] = [];
  /** For each of them, where its line begins in `#knownText`; -1: not there. */
  readonly #starts: number[] = [];
  #place = 0;
  /** What the last message's lines were part of: the same text has the same lines in the same places, without a look at each. */
  #knownText = '';
  #isKnownText = false;
  /** The lines to come are part of `#knownText`. */
  #inText = false;
  /** What the lines of `#knownText` came to the last time. */
  #run: LineRun | undefined = undefined;
  /** Of the text under way: its place in the block, and how long the block was before it. */
  #textPlace = 0;
  #textStart = 0;
  /** A field was written that is not in the table. */
  #sawLiteral = false;
  /** What was added to the last messages, in order. */
  readonly #groups: (LineGroup | undefined)[] = [];
  #group = 0;
  /** A line came that is never looked up. */
  #sawUnlisted = false;
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
    this.#run = undefined;
    this.#shrink(maxSize);
  }

  /** The head of a response. @param status 100 to 599 @param fields names in any case; hop-by-hop ones are gone */
  response(status: number, fields: Fields): string {
    this.begin();
    this.status(status);
    fields.visit(this, 0);
    return this.finish();
  }

  /** The head of a request; the Host field becomes `:authority`. @param fields as for `response` @param protocol of an extended CONNECT (RFC 8441 section 4) */
  request(method: string, scheme: 'http' | 'https', path: string, fields: Fields, protocol = ''): string {
    this.begin();
    if (method === 'GET') this.#text += METHOD_GET;
    else if (method === 'POST') this.#text += METHOD_POST;
    else this.pair(':method', method);
    this.#text += scheme === 'https' ? SCHEME_HTTPS : SCHEME_HTTP;
    const authority = fields.single(FieldKind.Host);
    if (authority !== undefined) this.pair(':authority', authority);
    if (path === '/') this.#text += PATH_ROOT;
    else this.pair(':path', path);
    if (protocol !== '') this.pair(':protocol', protocol);
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
    this.#place = 0;
    this.#group = 0;
    this.#inText = false;
    this.#isKnownText = false;
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
    const expected = this.#expected[this.#place];
    if (expected?.inTable && expected.name.lower === name && isKeyOf(expected.key, name, value)) this.#refer(expected);
    else this.#find(`${name}: ${value}`, name, value, -1);
  }

  beginText(text: string, lines: readonly number[], without: number): boolean {
    this.#inText = text !== '' && text.length <= MAX_KEPT_TEXT;
    this.#isKnownText = this.#inText && text === this.#knownText;
    if (this.#isKnownText) {
      const run = this.#run;
      if (run !== undefined && this.#isRun(run, lines, without)) {
        this.#text += run.block;
        this.#place += run.count;
        this.#inText = false;
        this.#isKnownText = false;
        return true;
      }
      this.#textPlace = this.#place;
      this.#textStart = this.#text.length;
      this.#sawLiteral = false;
    } else if (this.#inText) {
      this.#knownText = text;
      this.#run = undefined;
      for (let place = 0; place < this.#starts.length; place++) this.#starts[place] = -1;
    }
    return false;
  }

  #isRun(run: LineRun, lines: readonly number[], without: number): boolean {
    const known = run.lines;
    if (run.added !== this.#added || run.place !== this.#place || run.without !== without || known.length !== lines.length) return false;
    for (let index = 0; index < known.length; index++) if (known[index] !== lines[index]) return false;
    return true;
  }

  endText(lines: readonly number[], without: number): void {
    const wasKnown = this.#isKnownText;
    this.#inText = false;
    this.#isKnownText = false;
    // What is not in the table now may be in it the next time.
    if (!wasKnown || this.#sawLiteral) return;
    const place = this.#textPlace;
    // A slice would keep the whole block alive.
    const block = latin1Copy(this.#text.slice(this.#textStart));
    this.#run = { lines: lines.slice(), without, place, count: this.#place - place, added: this.#added, block };
  }

  line(text: string, start: number, nameLength: number, end: number, kind: FieldKind): void {
    const nameEnd = start + nameLength;
    if (((1 << kind) & NOT_LOOKED_UP) !== 0) {
      this.#unlisted(kind, withoutBlanks(text, nameEnd + 1, end));
      return;
    }
    const place = this.#place;
    const expected = this.#expected[place];
    const at = this.#inText ? start : -1;
    if (expected?.inTable && expected.key.length === end - start) {
      if (this.#isKnownText && this.#starts[place] === start) {
        this.#refer(expected);
        return;
      }
      // A slice and a comparison of the whole cost a quarter of `startsWith`.
      if (text.slice(start, end) === expected.key) {
        if (at >= 0) this.#starts[place] = at;
        this.#refer(expected);
        return;
      }
    }
    this.#find(text.slice(start, end), text.slice(start, nameEnd), withoutBlanks(text, nameEnd + 1, end), at);
  }

  field(name: string, value: string, kind: FieldKind): void {
    if (((1 << kind) & NOT_LOOKED_UP) !== 0) this.#unlisted(kind, withoutBlanks(value, 0, value.length));
    else this.line(`${name}: ${value}`, 0, name.length, name.length + 2 + value.length, kind);
  }

  #unlisted(kind: FieldKind, value: string): void {
    const name = NAMES[kind] as KnownName;
    this.#text += (name.isSecret ? name.neverIndexed : name.withoutIndexing) + encodeString(value);
    this.#sawUnlisted = true;
    this.#sawLiteral = true;
  }

  lines(lines: string, without: number): void {
    const number = this.#group++;
    const known = this.#groups[number];
    if (known !== undefined && known.lines === lines && known.without === without && this.#referAll(known.entries)) return;
    const place = this.#place;
    this.#sawUnlisted = false;
    visitLines(this, lines, without);
    if (this.#sawUnlisted || this.#place > MAX_EXPECTED || lines.length > MAX_KEPT_TEXT) return;
    const entries = this.#expected.slice(place, this.#place);
    if (entries.every(isInTable)) this.#groups[number] = { lines, without, entries };
  }

  /** @returns false, and nothing was done: one of them is not in the table any more */
  #referAll(entries: readonly EncoderEntry[]): boolean {
    for (let index = 0; index < entries.length; index++) if (!(entries[index] as EncoderEntry).inTable) return false;
    for (let index = 0; index < entries.length; index++) this.#refer(entries[index] as EncoderEntry);
    return true;
  }

  /** @param start in the text that was begun; -1: the line has one of its own */
  #find(key: string, name: string, value: string, start: number): void {
    const known = this.#entries.get(key);
    const entry = known ?? this.#write(key, knownName(name), value);
    if (this.#place < MAX_EXPECTED) {
      this.#expected[this.#place] = entry;
      this.#starts[this.#place] = start;
    }
    if (known === undefined) this.#place++;
    else this.#refer(known);
  }

  #refer(entry: EncoderEntry): void {
    this.#place++;
    entry.name.misses = 0;
    const index = STATIC_TABLE.length + 1 + this.#added - entry.number;
    this.#text += index < SHORT_INDICES.length ? (SHORT_INDICES[index] as string) : indexed(index);
  }

  /** @returns the entry that was made of it, if one was */
  #write(key: string, name: KnownName, value: string): EncoderEntry | undefined {
    this.#sawLiteral = true;
    if (name.isSecret) {
      this.#text += name.neverIndexed + encodeString(value);
      return undefined;
    }
    const size = name.lower.length + value.length + ENTRY_OVERHEAD;
    const { maxSize } = this.#table;
    name.misses++;
    if (size > MAX_ENTRY || size > maxSize || (name.misses > MAX_MISSES && name.misses % MAX_MISSES !== 0)) {
      this.#text += name.withoutIndexing + encodeString(value);
      return undefined;
    }
    this.#text += name.withIndexing + encodeShortest(value);
    this.#shrink(maxSize - size);
    // A slice of its own: the key is one of a whole head.
    const entry: EncoderEntry = { key: latin1Copy(key), size, number: ++this.#added, name, inTable: true };
    this.#table.add(entry);
    this.#entries.set(entry.key, entry);
    return entry;
  }

  #shrink(size: number): void {
    while (this.#table.size > size) {
      const entry = this.#table.evict() as EncoderEntry;
      entry.inTable = false;
      this.#entries.delete(entry.key);
    }
  }
}

function isInTable(entry: EncoderEntry | undefined): entry is EncoderEntry {
  return entry?.inTable === true;
}

/** Whether a key is `name: value`, given that it begins with the name and a colon. */
function isKeyOf(key: string, name: string, value: string): boolean {
  return key.length === name.length + 2 + value.length && key.charCodeAt(name.length + 1) === 0x20 && key.slice(name.length + 2) === value;
}
