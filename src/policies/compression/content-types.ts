/** Of `application` those that are text; all of `text` is compressed, event streams too, and what says so by its suffix. */
const USUAL = new Set([
  ...[
    'json',
    'javascript',
    'x-javascript',
    'ecmascript',
    'xml',
    'xhtml+xml',
    'x-ndjson',
    'ndjson',
    'jsonl',
    'yaml',
    'toml',
    'graphql',
    'sql',
    'wasm',
    'rtf',
  ].map((name) => `application/${name}`),
  'image/svg+xml',
]);

/** Media types whose bodies are worth compressing. Their parameters do not matter. */
export class ContentTypes {
  readonly #listed: ReadonlySet<string> | undefined;

  /** @param listed `type/subtype` and `type/*` in lower case; empty: the usual ones */
  constructor(listed: readonly string[]) {
    this.#listed = listed.length === 0 ? undefined : new Set(listed);
  }

  /** @param contentType value of Content-Type */
  has(contentType: string): boolean {
    const semicolon = contentType.indexOf(';');
    const type = (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
    if (this.#listed !== undefined) return this.#listed.has(type) || this.#listed.has(`${type.slice(0, type.indexOf('/'))}/*`);
    return type.startsWith('text/') || USUAL.has(type) || type.endsWith('+json') || type.endsWith('+xml');
  }
}
