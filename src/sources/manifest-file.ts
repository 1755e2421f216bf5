/**
 * The bytes of one manifest file into decoded objects. A file is read document by document: one that stands as it
 * stood when the file was last read is not read again, so that an edit costs what it changed, not what the file holds.
 */
import { isUtf8 } from 'node:buffer';
import { type Decoded, decode, isMapping } from '../resources/decode.ts';
import { fieldPath, parseFieldPath } from '../resources/field-path.ts';
import { quote } from '../resources/fields.ts';
import type { Problem } from '../resources/resource-set.ts';
import { splitJsonStream } from './json-stream.ts';
import { type DuplicateKey, parseYaml, YamlError, YamlIndex } from './yaml.ts';

/** Larger files are refused: reading one would hold up the control plane for seconds. Kubernetes itself takes at most 1.5 MiB an object. */
export const MAX_FILE_BYTES = 8 * 1024 * 1024;

/** One object of a file. It is the same value in every reading of the file until its document changes. */
export interface ManifestObject {
  readonly decoded: Decoded;
  /** Current 1-based line of the object in its file. */
  line(): number;
  /** Current 1-based line of a field, or of its nearest parent that is there. */
  lineOf(field: string): number;
  /** Problems of the object with their current lines. */
  problems(): readonly Problem[];
}

export interface FileFlaw {
  /** 1-based; 0: the file as a whole. */
  readonly line: number;
  readonly message: string;
  readonly hint: string;
}

export interface ManifestFile {
  /** Objects of ours, in the order of the file; with a flaw, those of the documents that can be read. */
  readonly objects: readonly ManifestObject[];
  /** Whether anything but comments is in the file. */
  readonly isBlank: boolean;
  /** Why the file, or one document of it, could not be read. */
  readonly flaw?: FileFlaw;
  /** The documents, for the next reading. */
  readonly documents: readonly DocumentText[];
}

interface ReadOptions {
  /** What the file held when it was last read. */
  readonly previous?: ManifestFile | undefined;
  /** See `decode`. */
  readonly now?: number | undefined;
}

export function readManifest(bytes: Buffer, options: ReadOptions = {}): ManifestFile {
  const flaw = bytesFlaw(bytes);
  if (flaw !== undefined) return { objects: [], isBlank: false, flaw, documents: [] };
  const known = new Map<string, DocumentText[]>();
  for (const document of options.previous?.documents ?? []) {
    const same = known.get(document.text);
    if (same === undefined) known.set(document.text, [document]);
    else same.push(document);
  }
  const documents: DocumentText[] = [];
  let firstFlaw: FileFlaw | undefined;
  for (const { text, line } of splitDocuments(bytes)) {
    const document = known.get(text)?.shift() ?? new DocumentText(text, options.now);
    document.firstLine = line;
    documents.push(document);
    const own = document.flaw();
    if (own !== undefined) firstFlaw ??= own;
  }
  return {
    objects: documents.flatMap((document) => document.objects),
    isBlank: documents.every((document) => document.isBlank),
    ...(firstFlaw === undefined ? {} : { flaw: firstFlaw }),
    documents,
  };
}

/** What can be said of the size alone, before a file is read. */
export function sizeFlaw(bytes: number): FileFlaw | undefined {
  if (bytes <= MAX_FILE_BYTES) return undefined;
  const size = `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  return { line: 0, message: `the file has ${size}, more than ${MAX_FILE_BYTES / 1024 / 1024} MiB`, hint: 'split it into several files' };
}

function bytesFlaw(bytes: Buffer): FileFlaw | undefined {
  const tooLarge = sizeFlaw(bytes.length);
  if (tooLarge !== undefined) return tooLarge;
  const hint = 'manifests are YAML or JSON in UTF-8; keep other files out of the folder, or give them another extension';
  if (bytes.includes(0)) return { line: 0, message: 'the file is binary, not text', hint };
  return isUtf8(bytes) ? undefined : { line: 0, message: 'the file is not UTF-8 text', hint };
}

/**
 * Splits where a line begins with `---`, as YAML does even inside block scalars. Each text is decoded by itself, so
 * that keeping one does not keep the whole file.
 */
function splitDocuments(bytes: Buffer): { readonly text: string; readonly line: number }[] {
  const parts: { text: string; line: number }[] = [];
  let start = bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  let line = 1;
  let from = start;
  while (start < bytes.length) {
    const mark = bytes.indexOf('\n---', from);
    const isMark = mark >= 0 && (mark + 4 >= bytes.length || WHITE_SPACE.has(bytes[mark + 4] as number));
    if (mark >= 0 && !isMark) {
      from = mark + 1;
      continue;
    }
    const end = mark < 0 ? bytes.length : mark + 1;
    const text = bytes.toString('utf8', start, end);
    // Directives belong to the document after them.
    if (mark >= 0 && /^%/m.test(text) && /^(?:[ \t]*(?:#.*)?\r?\n|%.*\n)*$/.test(text)) {
      from = mark + 1;
      continue;
    }
    for (const part of splitJsonStream(text) ?? [text]) {
      parts.push({ text: part, line });
      for (let at = part.indexOf('\n'); at >= 0; at = part.indexOf('\n', at + 1)) line++;
    }
    start = end;
    from = end;
  }
  return parts;
}

const WHITE_SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** One document of a file, at a line that moves when what stands before it changes. */
class DocumentText {
  readonly text: string;
  /** 1-based line of the file at which the text begins. */
  firstLine = 1;
  readonly objects: readonly ManifestObject[];
  readonly isBlank: boolean;
  /** The line is 0-based, in the text. */
  readonly #flaw: FileFlaw | undefined;
  #index: WeakRef<YamlIndex> | undefined;

  constructor(text: string, now: number | undefined) {
    this.text = text;
    const objects: ManifestObject[] = [];
    let isBlank = false;
    try {
      const { documents, hasDuplicateKeys } = parseYaml(text);
      isBlank = documents.every((value) => value === null);
      for (const [index, value] of documents.entries()) {
        if (value !== null) this.#read(value, index, hasDuplicateKeys, now, objects);
      }
    } catch (error) {
      if (!(error instanceof YamlError)) throw error;
      this.#flaw = { line: error.line, message: error.message, hint: error.hint };
      objects.length = 0;
    }
    this.isBlank = isBlank;
    this.objects = objects;
  }

  flaw(): FileFlaw | undefined {
    return this.#flaw === undefined ? undefined : { ...this.#flaw, line: this.firstLine + this.#flaw.line };
  }

  /** Made where something is to be said about a place, and kept only as long as memory allows: it is larger than the text. */
  index(): YamlIndex {
    const known = this.#index?.deref();
    if (known !== undefined) return known;
    const index = new YamlIndex(this.text);
    this.#index = new WeakRef(index);
    return index;
  }

  #read(value: unknown, document: number, hasDuplicateKeys: boolean, now: number | undefined, objects: ManifestObject[]): void {
    // What is no mapping is no manifest, whatever else it is: plain prose is YAML.
    if (!isMapping(value)) {
      const line = this.index().lineOf(document, []);
      throw new YamlError(
        `the document is ${Array.isArray(value) ? 'a list' : 'plain text'}, not an object`,
        line,
        'write apiVersion, kind, metadata and spec',
      );
    }
    const duplicates = hasDuplicateKeys ? this.index().duplicates(document) : [];
    const places = new Set<string>();
    const readOne = (one: unknown, path: readonly (string | number)[]): void => {
      const items = itemsOf(one);
      if (items !== undefined) {
        for (const [index, item] of items.entries()) readOne(withKindOf(one as ListObject, item), [...path, 'items', index]);
        return;
      }
      places.add(path.join('/'));
      const decoded = decode(one, now === undefined ? {} : { now });
      if (decoded === undefined) return;
      const own = duplicates.filter((duplicate) => path.every((part, index) => duplicate.path[index] === part));
      objects.push(new DocumentObject(this, document, path, decoded, own));
    };
    readOne(value, []);
    const stray = duplicates.find(({ path }) => !path.some((_, length) => places.has(path.slice(0, length).join('/'))));
    if (stray !== undefined) throw new YamlError(`the key ${quote(stray.key)} is there twice`, stray.line, 'keep one of them');
  }
}

/** kubectl takes apart any object whose kind ends in List and that has items. */
function itemsOf(value: unknown): readonly unknown[] | undefined {
  return isMapping(value) && typeof value.kind === 'string' && value.kind.endsWith('List') && Array.isArray(value.items) ? value.items : undefined;
}

interface ListObject {
  readonly apiVersion?: unknown;
  readonly kind: string;
}

/** Items of a ServiceList that say neither kind nor apiVersion, as the API server writes them, are Services. kubectl does the same. */
function withKindOf({ apiVersion, kind }: ListObject, item: unknown): unknown {
  if (kind === 'List' || !isMapping(item) || item.kind || item.apiVersion) return item;
  return { ...item, apiVersion, kind: kind.slice(0, -'List'.length) };
}

class DocumentObject implements ManifestObject {
  readonly decoded: Decoded;
  readonly #text: DocumentText;
  readonly #document: number;
  readonly #path: readonly (string | number)[];
  /** Lines are 0-based, in the text. */
  readonly #problems: readonly (Problem & { readonly line: number })[];

  constructor(text: DocumentText, document: number, path: readonly (string | number)[], decoded: Decoded, duplicates: readonly DuplicateKey[]) {
    this.#text = text;
    this.#document = document;
    this.#path = path;
    const problems = decoded.problems.map((problem) => ({ ...problem, line: text.index().lineOf(document, [...path, ...parseFieldPath(problem.field)]) }));
    for (const duplicate of duplicates) {
      const field = fieldPath(duplicate.path.slice(path.length));
      problems.push({
        severity: 'error',
        reason: 'Invalid',
        field,
        message: `the key ${quote(duplicate.key)} is there twice`,
        hint: 'keep one of them',
        line: duplicate.line,
      });
    }
    this.#problems = problems;
    if (duplicates.length > 0) {
      const { object: _, ...rest } = decoded;
      this.decoded = rest;
    } else {
      this.decoded = decoded;
    }
  }

  line(): number {
    return this.#lineAt([]);
  }

  lineOf(field: string): number {
    return this.#lineAt(parseFieldPath(field));
  }

  problems(): readonly Problem[] {
    return this.#problems.map((problem) => ({ ...problem, line: this.#text.firstLine + problem.line }));
  }

  #lineAt(path: readonly (string | number)[]): number {
    return this.#text.firstLine + this.#text.index().lineOf(this.#document, [...this.#path, ...path]);
  }
}
