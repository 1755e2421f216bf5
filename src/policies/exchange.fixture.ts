/** For tests: exchanges without a connection. */
import { parseAuthority } from '../exchange/authority.ts';
import { Exchange } from '../exchange/exchange.ts';
import { Fields } from '../exchange/fields.ts';
import { normalizePath } from '../exchange/path.ts';
import { type BodyLength, type ClientStream, NO_BODY } from '../exchange/streams.ts';
import type { PathMatch } from '../snapshot/match.ts';

export interface RequestSpec {
  readonly method?: string;
  /** Absolute, or a host and `*`; its host and port are what Host says. */
  readonly url?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** That for the backend, where a filter has made another one of it. */
  readonly upstreamQuery?: string;
  readonly client?: string;
  readonly body?: BodyLength;
  readonly headBytes?: number;
  readonly matchedPath?: PathMatch;
}

/** A client's side on which nothing may be called but `setBodyLimit`. */
export class SilentStream {
  readonly requestBody: BodyLength;
  readonly requestEnded = false;
  readonly responded = false;
  bodyLimit: number | undefined = undefined;

  constructor(requestBody: BodyLength) {
    this.requestBody = requestBody;
  }

  setBodyLimit(bytes: number): void {
    this.bodyLimit = bytes;
  }
}

export function exchangeOf({
  method = 'GET',
  url = 'http://a.test/',
  headers = {},
  upstreamQuery,
  client = '192.0.2.1',
  body = NO_BODY,
  headBytes = 100,
  matchedPath,
}: RequestSpec = {}): Exchange {
  const [, scheme, authority = '', rawPath = '/', query = ''] = /^(https?):\/\/([^/?*]*)([^?]*)(\?.*)?$/.exec(url) ?? [];
  const path = rawPath === '*' ? '*' : normalizePath(rawPath === '' ? '/' : rawPath);
  if (path === undefined || scheme === undefined) throw new Error(`not a URL: ${url}`);
  const exchange = new Exchange(
    {
      method,
      path,
      query,
      scheme: scheme as 'http' | 'https',
      authority,
      host: parseAuthority(authority)?.host ?? '',
      protocol: 'HTTP/1.1',
      fields: Fields.of([['Host', authority], ...Object.entries(headers)]),
      headBytes,
    },
    new SilentStream(body) as unknown as ClientStream,
    { remoteAddress: client, remotePort: 40000, localPort: 8080, tls: undefined },
    0,
  );
  exchange.matchedPath = matchedPath;
  if (upstreamQuery !== undefined) exchange.upstreamQuery = upstreamQuery;
  return exchange;
}
