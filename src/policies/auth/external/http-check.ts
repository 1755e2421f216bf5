/** The check as ingress-nginx and Traefik make it: a request without a body, whose answer's status decides. */
import type { CallAnswer, CallRequest } from '../../../exchange/calls.ts';
import type { Exchange } from '../../../exchange/exchange.ts';
import { FieldKind, FORWARDING, HOP_BY_HOP, kindOfName, maskOf } from '../../../exchange/field-names.ts';
import { Fields } from '../../../exchange/fields.ts';
import type { ExternalAuthorization } from '../../../snapshot/external-authorization.ts';
import { type Changes, type CheckOutcome, type CheckProtocol, isMessageField, MAX_ANSWER_BYTES, NO_CHANGES } from './check.ts';

const NO_BODY = Buffer.alloc(0);
/** Of the client's request, what tells of a body that the check does not have, and of its own connection. */
const NOT_SENT = HOP_BY_HOP | maskOf(FieldKind.Host, FieldKind.ContentLength, FieldKind.Expect);
/** What the gateway says itself, and every check gets. */
const OWN = FORWARDING | maskOf(FieldKind.XRequestId, FieldKind.Traceparent);
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export class HttpCheck implements CheckProtocol {
  readonly #spec: ExternalAuthorization;
  readonly #requestHeaders: ReadonlySet<string>;

  constructor(spec: ExternalAuthorization) {
    this.#spec = spec;
    this.#requestHeaders = new Set(spec.requestHeaders);
  }

  request(exchange: Exchange): CallRequest {
    const { path, query, authority } = this.#spec;
    const { method, scheme } = exchange;
    const fields = this.#requestHeaders.size === 0 ? exchange.requestFields.clone() : this.#chosen(exchange.requestFields);
    fields.removeKinds(NOT_SENT);
    if (authority !== undefined) fields.set('Host', authority);
    fields.set('Accept-Encoding', 'identity');
    const target = exchange.path + exchange.query;
    // The names that Traefik has for them, then those of ingress-nginx. What the client says by these names is never heard.
    fields.set('X-Forwarded-Method', method);
    fields.set('X-Forwarded-Uri', target);
    fields.set('X-Forwarded-Host', exchange.authority);
    fields.set('X-Forwarded-Proto', scheme);
    fields.set('X-Original-Method', method);
    fields.set('X-Original-URL', `${scheme}://${exchange.authority}${target}`);
    fields.set('X-Auth-Request-Redirect', target);
    return { name: 'externalAuthorization', method, path, query, fields, body: NO_BODY, maxAnswerBytes: MAX_ANSWER_BYTES, decode: true };
  }

  read({ status, fields, body }: CallAnswer): CheckOutcome | undefined {
    if (status >= 200 && status < 300) return { allowed: true, changes: this.#changes(fields) };
    if (status !== 401 && status !== 403 && !REDIRECTS.has(status)) return undefined;
    const passed: (readonly [string, string])[] = [];
    fields.forEach((name, value) => {
      if (!isMessageField(name)) passed.push([name, value]);
    });
    return { allowed: false, status, fields: passed, body };
  }

  /** A client can have 304, 412, 416 or 431 for a header of its own. */
  isTrouble({ status }: CallAnswer): boolean {
    return status >= 500;
  }

  /** Those named, and the gateway's own. */
  #chosen(all: Fields): Fields {
    const fields = new Fields();
    all.forEach((name, value) => {
      if ((OWN & (1 << kindOfName(name))) !== 0 || this.#requestHeaders.has(name.toLowerCase())) fields.append(name, value);
    });
    return fields;
  }

  #changes(fields: Fields): Changes {
    const cookies = fields.getAll('set-cookie');
    const { headersToBackend } = this.#spec;
    if (cookies.length === 0 && headersToBackend.length === 0) return NO_CHANGES;
    return {
      ...NO_CHANGES,
      request: headersToBackend.flatMap((name) => fields.getAll(name).map((value) => ({ name, value, action: 'Add' as const }))),
      // As with ingress-nginx: whoever is asked may renew the session of a client that it lets pass.
      response: cookies.map((value) => ({ name: 'Set-Cookie', value, action: 'Add' as const })),
    };
  }
}
