import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import type { PolicyCounter } from '../exchange/policy-counters.ts';
import type { Cors } from '../snapshot/cors.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from './policy.ts';
import { addVary } from './vary.ts';

/** The CORS protocol (Fetch standard, section 3.2): which other origins' scripts may make requests, and read the answers. */
export const cors: Policy<'cors'> = {
  name: 'cors',
  compile: (spec, context) => new CorsFilter(spec, context),
};

/** What a backend says of it, of which nothing reaches the client. */
const CORS_FIELDS = [
  'access-control-allow-origin',
  'access-control-allow-credentials',
  'access-control-allow-methods',
  'access-control-allow-headers',
  'access-control-expose-headers',
  'access-control-max-age',
  'access-control-allow-private-network',
];
/** Scheme, host, port. */
const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Of the names that a preflight asks for; nobody has more than a request may have fields. */
const MAX_NAMES = 100;

class CorsFilter implements Filter {
  readonly policy = 'cors';
  readonly #spec: Cors;
  readonly #origins: ReadonlySet<string>;
  /** Scheme, what the host ends in, port. */
  readonly #wildcards: readonly { readonly scheme: string; readonly suffix: string; readonly port: string }[];
  /** Every origin may, so that all get the same answer. Never with credentials. */
  readonly #any: boolean;
  readonly #methods: ReadonlySet<string>;
  readonly #headers: ReadonlySet<string>;
  readonly #expose: string;
  readonly #counts: { readonly [decision in 'preflightAllowed' | 'preflightRefused' | 'allowed' | 'refused']: PolicyCounter };

  constructor(spec: Cors, context: PolicyContext) {
    this.#spec = spec;
    this.#origins = new Set(spec.allowOrigins.filter((origin) => !origin.includes('://*.')));
    this.#wildcards = spec.allowOrigins
      .filter((origin) => origin.includes('://*.'))
      .map((origin) => {
        const [, scheme = '', suffix = '', port = ''] = /^([^:]+):\/\/\*([^:]+)(:[0-9]+)?$/.exec(origin) ?? [];
        return { scheme, suffix, port };
      });
    this.#any = this.#origins.has('*');
    this.#methods = new Set(spec.allowMethods);
    this.#headers = new Set(spec.allowHeaders);
    this.#expose = spec.exposeHeaders.join(', ');
    const count = (kind: string, decision: string): PolicyCounter => context.counter('tidegate_cors_requests_total', { kind, decision });
    this.#counts = {
      preflightAllowed: count('preflight', 'allowed'),
      preflightRefused: count('preflight', 'refused'),
      allowed: count('actual', 'allowed'),
      refused: count('actual', 'refused'),
    };
  }

  describe(): string {
    const { allowOrigins, allowMethods, allowCredentials } = this.#spec;
    return `origins ${allowOrigins.join(', ')} may use ${allowMethods.join(', ')}${allowCredentials ? ' with credentials' : ''}`;
  }

  onRequest(exchange: Exchange): Verdict {
    if (exchange.method !== 'OPTIONS') return Verdict.Continue;
    const fields = exchange.requestFields;
    const methods = fields.getAll('access-control-request-method');
    if (methods.length === 0 || fields.get('origin') === undefined) return Verdict.Continue;
    const granted = this.#grant(fields, methods);
    (granted === undefined ? this.#counts.preflightRefused : this.#counts.preflightAllowed).value++;
    exchange.reply = { status: 204, reason: granted === undefined ? 'cors_preflight_refused' : 'cors_preflight', ...(granted && { fields: granted }) };
    return Verdict.Answered;
  }

  /** What a preflight is told beside its origin; undefined: nothing. */
  #grant(fields: Fields, methods: readonly string[]): Reply['fields'] {
    const [method = ''] = methods;
    if (methods.length !== 1 || (!this.#any && this.#allowed(fields.getAll('origin')) === undefined)) return undefined;
    const anyMethod = this.#methods.has('*') && TOKEN.test(method);
    if (!anyMethod && !this.#methods.has(method)) return undefined;
    const names = fields
      .getAll('access-control-request-headers')
      .flatMap((value) => value.split(','))
      .map((name) => name.trim().toLowerCase())
      .filter((name) => name !== '');
    if (names.length > MAX_NAMES) return undefined;
    const anyHeader = this.#headers.has('*');
    if (!names.every((name) => (anyHeader && TOKEN.test(name)) || this.#headers.has(name))) return undefined;
    // Where all are allowed, those that were asked for are named: * means nothing to requests with credentials, and never Authorization.
    const allowedHeaders = anyHeader ? names : this.#spec.allowHeaders;
    return [
      ['Access-Control-Allow-Methods', anyMethod ? method : this.#spec.allowMethods.join(', ')],
      ...(allowedHeaders.length === 0 ? [] : [['Access-Control-Allow-Headers', allowedHeaders.join(', ')] as const]),
      ['Access-Control-Max-Age', String(this.#spec.maxAge)],
    ];
  }

  onResponse(exchange: Exchange, _status: number, fields: Fields): void {
    const { reply, requestFields } = exchange;
    const isPreflight = reply?.reason === 'cors_preflight' || reply?.reason === 'cors_preflight_refused';
    if (!isPreflight) for (const name of CORS_FIELDS) fields.remove(name);
    if (!this.#any) addVary(fields, 'Origin');
    if (isPreflight) {
      addVary(fields, 'Access-Control-Request-Method');
      addVary(fields, 'Access-Control-Request-Headers');
      if (reply?.reason === 'cors_preflight_refused') return;
    }
    const origins = requestFields.getAll('origin');
    const allowed = this.#any ? '*' : this.#allowed(origins);
    if (!isPreflight && origins.length > 0) (allowed === undefined ? this.#counts.refused : this.#counts.allowed).value++;
    if (allowed === undefined) return;
    fields.set('Access-Control-Allow-Origin', allowed);
    if (this.#spec.allowCredentials) fields.set('Access-Control-Allow-Credentials', 'true');
    if (!isPreflight && this.#expose !== '') fields.set('Access-Control-Expose-Headers', this.#expose);
  }

  /** @returns what Access-Control-Allow-Origin says; undefined: this origin may not */
  #allowed([origin, ...others]: readonly string[]): string | undefined {
    if (origin === undefined || others.length > 0) return undefined;
    if (this.#origins.has(origin)) return origin;
    const [, scheme, host = '', port = ''] = ORIGIN.exec(origin) ?? [];
    if (scheme === undefined) return undefined;
    return this.#wildcards.some(
      (one) => one.scheme === scheme && one.port === port && host.endsWith(one.suffix) && host.length > one.suffix.length && !host.startsWith('.'),
    )
      ? origin
      : undefined;
  }
}
