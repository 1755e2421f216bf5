/**
 * YAML as kubectl reads it. kubectl stands on sigs.k8s.io/yaml, and that on a YAML 1.1 parser for Go whose plain scalars
 * are resolved by rules of its own: `y`, `on` and `off` are booleans, `0777` is octal, `1_000` a number, and
 * `12:30` and dates are strings. The schema below is those rules. JSON is read by it too, being nearly a subset.
 */
import {
  constructFromEvents,
  defineScalarTag,
  EVENT_ID,
  type Event,
  FAILSAFE_SCHEMA,
  getScalarValue,
  mergeTag,
  NOT_RESOLVED,
  parseEvents,
  type ScalarTagDefinition,
  YAMLException,
} from 'js-yaml';
import { deepenFlowLine } from './yaml-flow-indent.ts';

/** Deepest nesting of lists and mappings. No manifest comes near it, and the parser's own stack stays far from its end. */
export const MAX_DEPTH = 100;

/** Most aliases in a document, and how many times larger than its text they may make it. */
const MAX_ALIASES = 1000;
const MAX_EXPANSION = 10;

/** How many characters are gone through, all tries together, for a text with shallow lines within brackets. */
const MAX_PARSED = 16 * 1024 * 1024;

/** The text is no YAML, or more than is read of it. */
export class YamlError extends Error {
  override readonly name = 'YamlError';
  /** 0-based, in the text. */
  readonly line: number;
  readonly hint: string;

  constructor(message: string, line: number, hint: string) {
    super(message);
    this.line = line;
    this.hint = hint;
  }
}

const TRUE = new Set(['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON']);
const FALSE = new Set(['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF']);
const NULL = new Set(['', '~', 'null', 'Null', 'NULL']);
const SPECIAL_FLOATS: ReadonlyMap<string, number> = new Map([
  ...['.nan', '.NaN', '.NAN'].map((text) => [text, Number.NaN] as const),
  ...['.inf', '.Inf', '.INF', '+.inf', '+.Inf', '+.INF'].map((text) => [text, Number.POSITIVE_INFINITY] as const),
  ...['-.inf', '-.Inf', '-.INF'].map((text) => [text, Number.NEGATIVE_INFINITY] as const),
]);

function tag<T>(name: string, resolve: (source: string) => T | typeof NOT_RESOLVED, implicitFirstChars?: readonly string[]): ScalarTagDefinition<T> {
  return defineScalarTag<T>(`tag:yaml.org,2002:${name}`, {
    implicit: implicitFirstChars !== undefined,
    implicitFirstChars: implicitFirstChars ?? null,
    resolve,
    identify: () => false,
  });
}

/** Go's strconv.ParseInt with base 0, after underscores are taken out. */
function integer(source: string): number | typeof NOT_RESOLVED {
  const match = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))$/.exec(source.replaceAll('_', ''));
  if (match === null) return NOT_RESOLVED;
  const [, sign, hex, binary, octal, decimal] = match;
  const digits = hex ?? binary ?? octal ?? (decimal as string);
  const value = Number.parseInt(digits, hex !== undefined ? 16 : binary !== undefined ? 2 : octal !== undefined ? 8 : 10);
  return sign === '-' && value !== 0 ? -value : value;
}

function float(source: string): number | typeof NOT_RESOLVED {
  const special = SPECIAL_FLOATS.get(source);
  if (special !== undefined) return special;
  const plain = source.replaceAll('_', '');
  if (!/^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/.test(plain)) return NOT_RESOLVED;
  // What is too large for a number is text to Go: a short commit id such as 12e4567.
  const value = Number(plain);
  return Number.isFinite(value) ? value : NOT_RESOLVED;
}

const DIGITS = [...'0123456789'];

const SCHEMA = FAILSAFE_SCHEMA.withTags(
  tag('null', (source) => (NULL.has(source) ? null : NOT_RESOLVED), ['', '~', 'n', 'N']),
  tag('bool', (source) => (TRUE.has(source) ? true : FALSE.has(source) ? false : NOT_RESOLVED), [...'yYtToOnNfF']),
  tag('int', integer, [...DIGITS, '-', '+']),
  tag('float', float, [...DIGITS, '-', '+', '.']),
  tag('timestamp', (source) => source),
  tag('binary', (source) => Buffer.from(source, 'base64').toString('utf8')),
  mergeTag,
);

export interface YamlText {
  /** The value of each document; null for an empty one. */
  readonly documents: readonly unknown[];
  /** Whether a key stands twice in a mapping, where the later value counts; `YamlIndex` tells where that is. */
  readonly hasDuplicateKeys: boolean;
}

/**
 * @param source any number of documents
 * @throws YamlError
 */
export function parseYaml(source: string): YamlText {
  const parsed = parse(source);
  const { text, events } = parsed;
  let documents: unknown[];
  let hasDuplicateKeys = false;
  try {
    documents = constructFromEvents(events, { source: text, schema: SCHEMA, maxAliases: MAX_ALIASES });
  } catch (error) {
    if (!(error instanceof YAMLException) || error.reason !== 'duplicated mapping key') throw constructionError(error, parsed);
    hasDuplicateKeys = true;
    documents = construct(parsed);
  }
  if (events.some((event) => event.type === EVENT_ID.ALIAS)) for (const document of documents) checkExpansion(document, events.length);
  return { documents, hasDuplicateKeys };
}

interface ParsedText {
  /** The source, or what it had to be read as: the same lines. Events point into it. */
  readonly text: string;
  readonly events: Event[];
}

function construct(parsed: ParsedText): unknown[] {
  try {
    return constructFromEvents(parsed.events, { source: parsed.text, schema: SCHEMA, json: true, maxAliases: MAX_ALIASES });
  } catch (error) {
    throw constructionError(error, parsed);
  }
}

function parse(source: string): ParsedText {
  let text = source;
  let first: unknown;
  for (let parsed = 0; ; parsed += text.length) {
    try {
      return { text, events: parseEvents(text, { maxDepth: MAX_DEPTH }) };
    } catch (error) {
      first ??= error;
      const mended = error instanceof YAMLException && parsed < MAX_PARSED ? deepenFlowLine(text, error) : undefined;
      // The first line that was shallow tells better than what came of reading on where something was left open.
      if (mended === undefined) throw yamlError(isTooDeep(error) ? error : first);
      text = mended;
    }
  }
}

function isTooDeep(error: unknown): boolean {
  return error instanceof YAMLException && error.reason.includes('maxDepth');
}

/** The constructor does not say where a key is that is no text. */
function constructionError(error: unknown, { text, events }: ParsedText): unknown {
  if (!(error instanceof YAMLException) || !error.reason.includes('complex keys')) return yamlError(error);
  const key = complexKey(events);
  const line = key === undefined ? 0 : text.slice(0, startOf(key)).split('\n').length - 1;
  return new YamlError(
    'not YAML that Kubernetes takes: a list or mapping stands where a key belongs',
    line,
    'write keys as plain text, put values with {{ }} in quotes, or render the template first',
  );
}

/** The first list or mapping that is the key of a mapping. */
function complexKey(events: readonly Event[]): Event | undefined {
  /** For each list, mapping and document that is open, whether a key comes next; never in other than a mapping. */
  const open: { readonly isMapping: boolean; isKeyNext: boolean }[] = [];
  for (const event of events) {
    if (event.type === EVENT_ID.POP) {
      open.pop();
      continue;
    }
    const around = open.at(-1);
    const isCollection = event.type === EVENT_ID.MAPPING || event.type === EVENT_ID.SEQUENCE;
    if (around?.isMapping) {
      if (around.isKeyNext && isCollection) return event;
      around.isKeyNext = !around.isKeyNext;
    }
    if (isCollection || event.type === EVENT_ID.DOCUMENT) open.push({ isMapping: event.type === EVENT_ID.MAPPING, isKeyNext: true });
  }
  return undefined;
}

function yamlError(error: unknown): YamlError {
  if (!(error instanceof YAMLException)) throw error;
  const line = error.mark?.line ?? 0;
  if (isTooDeep(error)) return new YamlError(`lists and mappings are nested more than ${MAX_DEPTH} deep`, line, 'write the file flatter');
  if (error.reason.includes('maxAliases')) return new YamlError(`the document has more than ${MAX_ALIASES} aliases`, line, 'write the values out');
  const column = (error.mark?.column ?? 0) + 1;
  return new YamlError(`not YAML: ${error.reason} (column ${column})`, line, 'check indentation, quotes and brackets up to this line');
}

/**
 * Aliases are shared values in memory, but whoever walks them meets each as often as it is named: exponentially often, if
 * need be, and as deep as they are chained. An alias's target stands before it, so that the walk here meets every
 * shared value first where it is written, and goes no deeper than the text does.
 */
function checkExpansion(document: unknown, events: number): void {
  const bound = events * MAX_EXPANSION + 1000;
  const measured = new Map<object, Measure | undefined>();
  const measure = (value: unknown): Measure => {
    if (typeof value !== 'object' || value === null) return LEAF;
    const known = measured.get(value);
    if (known !== undefined) return known;
    if (measured.has(value)) throw new YamlError('an alias contains itself', 0, 'write the value out');
    measured.set(value, undefined);
    let size = 1;
    let height = 0;
    for (const part of Object.values(value)) {
      const inner = measure(part);
      size += inner.size;
      height = Math.max(height, inner.height);
    }
    const result = { size, height: height + 1 };
    measured.set(value, result);
    return result;
  };
  const { size, height } = measure(document);
  if (size > bound) throw new YamlError(`aliases make the document more than ${MAX_EXPANSION} times as large`, 0, 'write the values out');
  if (height > MAX_DEPTH) throw new YamlError(`with its aliases, the document is nested more than ${MAX_DEPTH} deep`, 0, 'write the file flatter');
}

interface Measure {
  readonly size: number;
  readonly height: number;
}

const LEAF: Measure = { size: 1, height: 0 };

interface IndexNode {
  /** Offset of the key where the node is a mapping's value, of the node itself otherwise. */
  readonly offset: number;
  /** Offset of the node itself. */
  readonly start: number;
  readonly fields?: Map<string, IndexNode>;
  readonly items?: IndexNode[];
}

export interface DuplicateKey {
  readonly path: readonly (string | number)[];
  readonly key: string;
  /** 0-based, in the text. */
  readonly line: number;
}

/** Where things are in a text: made only where something is to be said about one of them. */
export class YamlIndex {
  readonly #documents: IndexNode[] = [];
  readonly #duplicates: DuplicateKey[][] = [];
  readonly #lineStarts: number[] = [0];

  /** @param source text that `parseYaml` takes */
  constructor(source: string) {
    const { text, events } = parse(source);
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#lineStarts.push(at + 1);
    let position = 0;

    const read = (offset: number, path: readonly (string | number)[]): IndexNode => {
      const event = events[position++] as Event;
      const start = startOf(event);
      const at = offset < 0 ? start : offset;
      if (event.type === EVENT_ID.SEQUENCE) {
        const items: IndexNode[] = [];
        while ((events[position] as Event).type !== EVENT_ID.POP) items.push(read(-1, [...path, items.length]));
        position++;
        return { offset: at, start, items };
      }
      if (event.type === EVENT_ID.MAPPING) {
        const fields = new Map<string, IndexNode>();
        while ((events[position] as Event).type !== EVENT_ID.POP) {
          const keyEvent = events[position] as Event;
          const keyStart = startOf(keyEvent);
          const key = keyEvent.type === EVENT_ID.SCALAR ? getScalarValue(text, keyEvent) : '';
          read(-1, path);
          const inner = [...path, key];
          // Merge keys may stand more than once.
          if (key !== '<<' && fields.has(key)) this.#duplicates.at(-1)?.push({ path: inner, key, line: this.#lineAt(keyStart) });
          fields.set(key, read(keyStart, inner));
        }
        position++;
        return { offset: at, start, fields };
      }
      return { offset: at, start };
    };

    while (position < events.length) {
      position++;
      this.#duplicates.push([]);
      if ((events[position] as Event).type === EVENT_ID.POP) this.#documents.push({ offset: 0, start: 0 });
      else this.#documents.push(read(-1, []));
      position++;
    }
  }

  /**
   * 0-based line of the field at `path` of a document, or of its nearest parent that is there.
   * @param document 0-based
   */
  lineOf(document: number, path: readonly (string | number)[]): number {
    let node = this.#documents[document];
    if (node === undefined) return 0;
    let offset = node.start;
    for (const part of path) {
      const inner: IndexNode | undefined =
        typeof part === 'number' ? node.items?.[part] : (node.fields?.get(part) ?? (part === 'on' ? node.fields?.get('true') : undefined));
      if (inner === undefined) break;
      node = inner;
      offset = inner.offset;
    }
    return this.#lineAt(offset);
  }

  /** Keys that stand twice in a mapping of the document. */
  duplicates(document: number): readonly DuplicateKey[] {
    return this.#duplicates[document] ?? [];
  }

  #lineAt(offset: number): number {
    let low = 0;
    let high = this.#lineStarts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#lineStarts[middle] as number) <= offset) low = middle;
      else high = middle;
    }
    return low;
  }
}

function startOf(event: Event): number {
  switch (event.type) {
    case EVENT_ID.SCALAR:
      return event.valueStart < 0 ? Math.max(event.tagStart, event.anchorStart, 0) : event.valueStart;
    case EVENT_ID.MAPPING:
    case EVENT_ID.SEQUENCE:
      return event.start;
    case EVENT_ID.ALIAS:
      return event.anchorStart;
    default:
      return 0;
  }
}
