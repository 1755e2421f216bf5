/** Credentials in headers, cookies and query parameters: found, and taken away. */

import { countCookies, withoutCookie } from '../../exchange/cookies.ts';
import type { Exchange } from '../../exchange/exchange.ts';
import { countParameters, withoutParameter } from '../../exchange/query.ts';
import type { CredentialSource } from '../../snapshot/auth.ts';
import { REPEATED_CREDENTIAL, Refusal } from './method.ts';

export class Credentials {
  readonly #from: readonly CredentialSource[];

  constructor(from: readonly CredentialSource[]) {
    this.#from = from.map((source) => (source.type === 'Header' ? { ...source, prefix: source.prefix.toLowerCase() } : source));
  }

  /**
   * @returns the first credential that is there, maybe empty; characters are bytes but in query parameters, which are UTF-8 decoded.
   *   A refusal where a header of that name is there twice, for others might read the other one; undefined where there is none
   */
  find(exchange: Exchange): FoundCredential | Refusal | undefined {
    for (const source of this.#from) {
      if (source.type === 'Header') {
        const values = exchange.requestFields.getAll(source.name);
        if (values.length === 0) continue;
        const { prefix } = source;
        const text = values.length === 1 ? behind(values[0] as string, prefix) : undefined;
        if (values.length > 1 && values.some((value) => behind(value, prefix) !== undefined)) return REPEATED_CREDENTIAL;
        if (text !== undefined) return { text, encoding: 'latin1' };
      } else if (source.type === 'Cookie') {
        const text = exchange.cookie(source.name);
        if (text !== undefined) return { text, encoding: 'latin1' };
      } else {
        const text = exchange.query === '' ? undefined : exchange.queryParam(source.name);
        if (text !== undefined) return { text, encoding: 'utf8' };
      }
    }
    return undefined;
  }

  /**
   * As `find`, for what must be there once, wherever: whoever comes after may take another one for it (RFC 6750 section 2 allows one place a
   * request).
   */
  findOnly(exchange: Exchange): FoundCredential | Refusal | undefined {
    const found = this.find(exchange);
    if (found === undefined || found instanceof Refusal) return found;
    // A header is looked at above.
    if (this.#from.length === 1 && this.#from[0]?.type === 'Header') return found;
    let places = 0;
    const headers = new Set<string>();
    for (const source of this.#from) {
      if (source.type === 'Header') {
        if (headers.has(source.name)) continue;
        headers.add(source.name);
        const prefixes = this.#from.flatMap((other) => (other.type === 'Header' && other.name === source.name ? [other.prefix] : []));
        places += exchange.requestFields.getAll(source.name).filter((value) => prefixes.some((prefix) => behind(value, prefix) !== undefined)).length;
      } else if (source.type === 'Cookie') {
        places += exchange.cookie(source.name) === undefined ? 0 : countCookies(exchange.requestFields, source.name);
      } else if (exchange.query !== '') {
        places += countParameters(exchange.query, source.name);
      }
    }
    return places > 1 ? REPEATED_CREDENTIAL : found;
  }

  /** Takes it away from all the places where it may be. */
  strip(exchange: Exchange): void {
    const { requestFields } = exchange;
    for (const source of this.#from) {
      if (source.type === 'Header') {
        if (requestFields.getAll(source.name).some((value) => behind(value, source.prefix) !== undefined)) requestFields.remove(source.name);
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

export interface FoundCredential {
  readonly text: string;
  /** Which bytes the characters stand for. */
  readonly encoding: 'latin1' | 'utf8';
}

const WORDS = { Header: 'header', Cookie: 'cookie', QueryParam: 'query parameter' } as const;

/** What stands behind the prefix; undefined where it is not there. @param prefix in lower case */
function behind(value: string, prefix: string): string | undefined {
  if (prefix === '') return value;
  // Blanks at the end of a value are gone: a scheme alone is that scheme with an empty credential.
  const word = prefix.trimEnd();
  if (value.length === word.length) return value.toLowerCase() === word ? '' : undefined;
  if (value.length < prefix.length || value.slice(0, prefix.length).toLowerCase() !== prefix) return undefined;
  return prefix.endsWith(' ') ? value.slice(prefix.length).trimStart() : value.slice(prefix.length);
}
