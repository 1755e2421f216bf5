/** Credentials in headers, cookies and query parameters: found, and taken away. */

import { countCookies, withoutCookie } from '../../exchange/cookies.ts';
import type { Exchange } from '../../exchange/exchange.ts';
import { FAMILY_KINDS, FieldKind, kindOfName, maskOf } from '../../exchange/field-names.ts';
import { type Fields, type OtherNames, otherNames } from '../../exchange/fields.ts';
import { latin1Copy } from '../../exchange/latin1-copy.ts';
import { countParameters, withoutParameter } from '../../exchange/query.ts';
import type { CredentialSource } from '../../snapshot/auth.ts';
import { REPEATED_CREDENTIAL, type Refusal } from './method.ts';

/** A header that may have the credential. */
class HeaderSource {
  readonly type = 'Header';
  readonly name: string;
  /** In lower case. */
  readonly #prefix: string;
  readonly #endsInBlank: boolean;
  /** The prefix as it was written last: most clients write it alike. */
  #spelling: string;
  /** Blanks at the end of a value are gone: a scheme alone is that scheme with an empty credential. */
  readonly #scheme: string;
  readonly #kind: FieldKind;
  readonly #others: OtherNames;
  /** No other name has its kind. */
  readonly #isOwnKind: boolean;

  constructor(name: string, prefix: string) {
    this.name = name;
    this.#prefix = prefix.toLowerCase();
    this.#endsInBlank = this.#prefix.endsWith(' ');
    this.#spelling = this.#prefix;
    this.#scheme = this.#prefix.trimEnd();
    this.#kind = kindOfName(name);
    this.#others = otherNames([name]);
    this.#isOwnKind = this.#kind !== FieldKind.Other && (FAMILY_KINDS & maskOf(this.#kind)) === 0;
  }

  /** What stands there; a refusal where the header is there twice, for others might read the other one. */
  find(fields: Fields): string | Refusal | undefined {
    if (!this.#mayBeIn(fields)) return undefined;
    const only = this.#isOwnKind ? fields.single(this.#kind) : undefined;
    if (only !== undefined) return this.behindPrefix(only);
    const values = fields.getAll(this.name);
    if (values.length === 1) return this.behindPrefix(values[0] as string);
    return values.some((value) => this.behindPrefix(value) !== undefined) ? REPEATED_CREDENTIAL : undefined;
  }

  /** False is certain, and costs no list of values: most requests have the credential elsewhere, or none. */
  #mayBeIn(fields: Fields): boolean {
    return this.#kind === FieldKind.Other ? fields.hasOthers(this.#others) : fields.mayHave(maskOf(this.#kind));
  }

  /** Undefined where the prefix is not there. */
  behindPrefix(value: string): string | undefined {
    const prefix = this.#prefix;
    if (prefix === '') return value;
    if (value.length === this.#scheme.length) return value.toLowerCase() === this.#scheme ? '' : undefined;
    const start = value.slice(0, prefix.length);
    if (start !== this.#spelling) {
      if (start.toLowerCase() !== prefix) return undefined;
      this.#spelling = latin1Copy(start);
    }
    const rest = value.slice(prefix.length);
    const first = rest.charCodeAt(0);
    // Of letters, digits and signs there is nothing to trim.
    return (first > 0x20 && first < 0x7f) || !this.#endsInBlank ? rest : rest.trimStart();
  }
}

type Source = HeaderSource | Exclude<CredentialSource, { readonly type: 'Header' }>;

export class Credentials {
  readonly #from: readonly Source[];
  /** Headers by name, each with all the prefixes that it may have. */
  readonly #headers: ReadonlyMap<string, readonly HeaderSource[]>;
  /** There is one place, and it is a header. */
  readonly #isHeaderAlone: boolean;

  constructor(from: readonly CredentialSource[]) {
    this.#from = from.map((source) => (source.type === 'Header' ? new HeaderSource(source.name, source.prefix) : source));
    this.#headers = Map.groupBy(
      this.#from.filter((source) => source.type === 'Header'),
      ({ name }) => name,
    );
    this.#isHeaderAlone = from.length === 1 && from[0]?.type === 'Header';
  }

  /**
   * @returns the first credential that is there, maybe empty, a character for each byte. A refusal where a header of that name is there
   *   twice; undefined where there is none
   */
  find(exchange: Exchange): string | Refusal | undefined {
    const from = this.#from;
    for (let index = 0; index < from.length; index++) {
      const source = from[index] as Source;
      const found =
        source.type === 'Header'
          ? source.find(exchange.requestFields)
          : source.type === 'Cookie'
            ? exchange.cookie(source.name)
            : exchange.query === ''
              ? undefined
              : asBytes(exchange.queryParam(source.name));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /**
   * As `find`, for what must be there once, wherever: whoever comes after may take another one for it (RFC 6750 section 2 allows one place a
   * request).
   */
  findOnly(exchange: Exchange): string | Refusal | undefined {
    const found = this.find(exchange);
    // A header is looked at by `find`.
    if (typeof found !== 'string' || this.#isHeaderAlone) return found;
    let places = 0;
    for (const [name, sources] of this.#headers) {
      for (const value of exchange.requestFields.getAll(name)) if (sources.some((source) => source.behindPrefix(value) !== undefined)) places++;
    }
    for (const source of this.#from) {
      if (source.type === 'Cookie') places += exchange.cookie(source.name) === undefined ? 0 : countCookies(exchange.requestFields, source.name);
      else if (source.type === 'QueryParam' && exchange.query !== '') places += countParameters(exchange.query, source.name);
    }
    return places > 1 ? REPEATED_CREDENTIAL : found;
  }

  /** Takes it away from all the places where it may be. */
  strip(exchange: Exchange): void {
    const { requestFields } = exchange;
    for (const source of this.#from) {
      if (source.type === 'Header') {
        if (requestFields.getAll(source.name).some((value) => source.behindPrefix(value) !== undefined)) requestFields.remove(source.name);
      } else if (source.type === 'Cookie') {
        if (exchange.cookie(source.name) !== undefined) withoutCookie(requestFields, source.name);
      } else if (exchange.upstreamQuery !== '') exchange.upstreamQuery = withoutParameter(exchange.upstreamQuery, source.name);
    }
  }

  /** For `explain`. */
  describe(): string {
    return this.#from.map((source) => `${WORDS[source.type]} ${source.name}`).join(', ');
  }
}

const WORDS = { Header: 'header', Cookie: 'cookie', QueryParam: 'query parameter' } as const;

/** UTF-8, a character for each byte, as headers have it. */
function asBytes(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return Buffer.from(text).toString('latin1');
  return text;
}
