/** Session affinity in a worker: from a cookie to the endpoint that it names, and back. */
import { FieldKind, maskOf } from '../exchange/field-names.ts';
import { Fields } from '../exchange/fields.ts';
import type { SessionAffinity } from '../snapshot/upstream.ts';
import type { Balanced } from './balancers/balancer.ts';
import type { EndpointState } from './endpoint-state.ts';

const OTHER = maskOf(FieldKind.Other);

/** Values of the cookies of one upstream's endpoints. */
export class EndpointDigests {
  readonly #digest: (endpoint: string) => string;
  #listed: ReadonlyMap<string, EndpointState> | undefined = undefined;
  #byName = new Map<string, string>();
  #byDigest = new Map<string, EndpointState>();

  /** @param digest from an endpoint's name to its cookie's value */
  constructor(digest: (endpoint: string) => string) {
    this.#digest = digest;
  }

  /** @param listed the upstream's endpoints by name: always the same map while they are the same */
  find(value: string, listed: ReadonlyMap<string, EndpointState>): EndpointState | undefined {
    if (listed !== this.#listed) this.#index(listed);
    return this.#byDigest.get(value);
  }

  /** @param listed as for `find` */
  of({ name }: EndpointState, listed: ReadonlyMap<string, EndpointState>): string {
    if (listed !== this.#listed) this.#index(listed);
    // One that is not listed any more may still answer.
    return this.#byName.get(name) ?? this.#digest(name);
  }

  #index(listed: ReadonlyMap<string, EndpointState>): void {
    const before = this.#byName;
    this.#listed = listed;
    this.#byName = new Map();
    this.#byDigest = new Map();
    for (const [name, endpoint] of listed) {
      const digest = before.get(name) ?? this.#digest(name);
      this.#byName.set(name, digest);
      this.#byDigest.set(digest, endpoint);
    }
  }
}

/** What an affinity needs of its upstream. `UpstreamState` is one. */
export interface AffineUpstream {
  /** The endpoint that a cookie's value stands for, as long as it is listed. */
  findByDigest(value: string, affinity: SessionAffinity): EndpointState | undefined;
  digestOf(endpoint: EndpointState, affinity: SessionAffinity): string;
  /** Requests may go there: it is healthy, or else as good as any. */
  isInUse(endpoint: EndpointState): boolean;
}

/** The affinity of one backendRef of a route. */
export class Affinity {
  readonly settings: SessionAffinity;
  readonly #upstream: AffineUpstream;
  readonly #attributes: string;
  /** Field lines by endpoint. */
  readonly #plainLines = new WeakMap<EndpointState, string>();
  readonly #secureLines = new WeakMap<EndpointState, string>();

  constructor(settings: SessionAffinity, upstream: AffineUpstream) {
    this.settings = settings;
    this.#upstream = upstream;
    this.#attributes = attributesOf(settings);
  }

  /** Where the request's cookie says that it belongs; undefined without one, and where that is not to be kept. */
  endpointOf(request: Pick<Balanced, 'cookie'>): EndpointState | undefined {
    const endpoint = this.#named(request);
    if (endpoint === undefined || this.settings.mode === 'Persistent') return endpoint;
    return this.#upstream.isInUse(endpoint) ? endpoint : undefined;
  }

  /**
   * Adds the cookie that keeps the client at the endpoint that has answered, where it has not got that one already.
   * @param fields of the answer
   */
  stamp(request: Pick<Balanced, 'cookie'> & { readonly scheme: 'http' | 'https' }, endpoint: EndpointState, fields: Fields): void {
    const { cookieName, mode, cookie } = this.settings;
    const before = this.#named(request);
    if (before === endpoint) return;
    // It was somewhere else for this once.
    if (before !== undefined && (mode === 'Persistent' || (cookie?.keepOnFailure === true && this.#upstream.isInUse(before)))) return;
    const secure = cookie?.secure === true || request.scheme === 'https';
    const lines = secure ? this.#secureLines : this.#plainLines;
    let line = lines.get(endpoint);
    if (line === undefined) {
      const value = `${cookieName}=${this.#upstream.digestOf(endpoint, this.settings)}${this.#attributes}${secure ? '; Secure' : ''}`;
      // Once with all checks, then as it is.
      line = Fields.of([['Set-Cookie', value]]).serialize();
      lines.set(endpoint, line);
    }
    fields.appendLines(line, OTHER);
  }

  #named(request: Pick<Balanced, 'cookie'>): EndpointState | undefined {
    const value = request.cookie(this.settings.cookieName);
    return value === undefined ? undefined : this.#upstream.findByDigest(value, this.settings);
  }
}

/** RFC 6265 section 4.1.1; SameSite is of its successor (draft-ietf-httpbis-rfc6265bis). */
function attributesOf({ ttl, cookie = {} }: SessionAffinity): string {
  const { path = '/', domain, sameSite = 'Lax' } = cookie;
  const parts = [`Path=${path}`, ...(domain === undefined ? [] : [`Domain=${domain}`]), ...(ttl === undefined ? [] : [`Max-Age=${ttl / 1000}`])];
  return `; ${[...parts, 'HttpOnly', `SameSite=${sameSite}`].join('; ')}`;
}
