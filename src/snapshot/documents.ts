/** Documents from elsewhere that policies need: fetched once for the pod, and kept up to date as long as a snapshot names them. */

/** A set of keys (RFC 7517 section 5), or the metadata of an OpenID provider. */
export type DocumentKind = 'jwks' | 'discovery';

export interface DocumentRequest {
  readonly kind: DocumentKind;
  /** Whole, http or https. */
  readonly url: string;
  /** How long it counts as fresh (ms). Where several policies name the same document, the shortest holds. */
  readonly cacheFor: number;
}

/** What a document is known by in the pod. */
export function documentKey({ kind, url }: Pick<DocumentRequest, 'kind' | 'url'>): string {
  return `${kind} ${url}`;
}

/** Where an OpenID provider tells of itself (OpenID Connect Discovery 1.0, section 4). */
export function discoveryUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
}
