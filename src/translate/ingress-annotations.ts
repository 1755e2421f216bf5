/** The `nginx.ingress.kubernetes.io/` annotations of an Ingress. */
import type { Ingress } from '../resources/ingress.ts';
import type { Entry } from '../resources/resource-set.ts';
import { MAX_BODY_BYTES, NGINX_MAX_BODY_BYTES } from '../snapshot/defaults.ts';
import type { SessionAffinity } from '../snapshot/upstream.ts';
import { AnnotationValues, PREFIX, parseBoolean } from './annotation-values.ts';
import { AFFINITY_ANNOTATIONS, readAffinity } from './ingress-affinity.ts';
import { BACKEND_ANNOTATIONS } from './ingress-backend-protocol.ts';
import { CANARY_ANNOTATIONS } from './ingress-canary.ts';
import { type IngressRetries, RETRY_ANNOTATIONS, readRetries } from './ingress-retries.ts';
import type { Issues } from './issues.ts';
import { compareText } from './order.ts';

/** `proxy-body-size: "0"` takes the bound away. */
const UNBOUNDED = Number.MAX_SAFE_INTEGER;

export interface IngressSettings {
  /** Send HTTP to HTTPS where there is TLS. */
  readonly sslRedirect: boolean;
  /** Send HTTP to HTTPS everywhere. */
  readonly forceSslRedirect: boolean;
  readonly maxRequestBodyBytes: number;
  readonly retries: IngressRetries;
  /** An annotation says who may call, and this version can't tell them from others: nobody is served. */
  readonly closed: boolean;
  /** TLS for its hosts is passed through to what serves `/`. */
  readonly sslPassthrough: boolean;
  readonly sessionAffinity?: SessionAffinity;
}

/** What to do about annotations that say who may call. To serve openly what they guard would be a hole. */
const ADDRESS_GUARD = 'write an ApiRoute with filters.ipAccess in place of the Ingress, or take the annotation out to serve everybody';
const LOGIN_GUARD = 'let the backend check who calls, and take the annotation out';
const GUARDS: ReadonlyMap<string, string> = new Map([
  ['allowlist-source-range', ADDRESS_GUARD],
  ['whitelist-source-range', ADDRESS_GUARD],
  ['denylist-source-range', ADDRESS_GUARD],
  ['auth-secret', LOGIN_GUARD],
  ['auth-tls-secret', LOGIN_GUARD],
  ['auth-type', LOGIN_GUARD],
  ['auth-url', LOGIN_GUARD],
]);

/** Annotations that refuse some requests of those who may call; without them more is served than was meant, which the warning must say. */
const RESTRICTIONS = /^(limit-|global-rate-limit|enable-modsecurity|modsecurity-)/;

/**
 * Tells of bad values, which are taken for the default, and of annotations that this version does not serve. Those that guard
 * access close the Ingress, whatever their value. Those of a canary are read elsewhere (ingress-canary.ts).
 */
export function readAnnotations(entry: Entry<Ingress>, ingress: Ingress, issues: Issues): IngressSettings {
  const { annotations } = ingress.metadata;
  const names = Object.keys(annotations).filter((name) => name.startsWith(PREFIX));
  let sslRedirect = true;
  let forceSslRedirect = false;
  let closed = false;
  let sslPassthrough = false;
  let maxRequestBodyBytes = names.length > 0 ? NGINX_MAX_BODY_BYTES : MAX_BODY_BYTES;
  for (const name of names.sort(compareText)) {
    const value = annotations[name] as string;
    const field = `metadata.annotations[${JSON.stringify(name)}]`;
    const short = name.slice(PREFIX.length);
    switch (short) {
      case 'ssl-redirect':
        sslRedirect = parseBoolean(value) ?? refuse(entry, issues, field, value, 'neither true nor false', 'write "true" or "false"') ?? sslRedirect;
        break;
      case 'force-ssl-redirect':
        forceSslRedirect = parseBoolean(value) ?? refuse(entry, issues, field, value, 'neither true nor false', 'write "true" or "false"') ?? forceSslRedirect;
        break;
      case 'ssl-passthrough':
        sslPassthrough = parseBoolean(value) ?? refuse(entry, issues, field, value, 'neither true nor false', 'write "true" or "false"') ?? sslPassthrough;
        break;
      case 'proxy-body-size':
        maxRequestBodyBytes =
          parseSize(value) ?? refuse(entry, issues, field, value, 'not a size', 'write one as "8m", "512k" or "1g"; "0" for no bound') ?? maxRequestBodyBytes;
        break;
      case 'canary':
        // That of a canary is never read here.
        if (parseBoolean(value) === undefined) refuse(entry, issues, field, value, 'neither true nor false', 'write "true" or "false"');
        break;
      default:
        if (AFFINITY_ANNOTATIONS.has(short) || CANARY_ANNOTATIONS.has(short) || RETRY_ANNOTATIONS.has(short) || BACKEND_ANNOTATIONS.has(short)) break;
        if (GUARDS.has(short)) closed = true;
        tellUnsupported(entry, issues, field, short);
    }
  }
  const values = new AnnotationValues(entry, ingress, issues);
  const sessionAffinity = names.length === 0 ? undefined : readAffinity(values);
  const retries = readRetries(values);
  return { sslRedirect, forceSslRedirect, maxRequestBodyBytes, retries, closed, sslPassthrough, ...(sessionAffinity === undefined ? {} : { sessionAffinity }) };
}

function tellUnsupported(entry: Entry<Ingress>, issues: Issues, field: string, name: string): void {
  const message = `annotation ${name} is not supported in this version`;
  const remedy = GUARDS.get(name);
  if (remedy === undefined) {
    issues.add(entry, 'told', {
      severity: 'warning',
      reason: 'UnsupportedValue',
      field,
      message: RESTRICTIONS.test(name) ? `${message}: requests that it would refuse are let through` : message,
      hint: 'leave it out; the README lists those that are supported',
    });
    return;
  }
  issues.add(entry, 'Accepted', {
    severity: 'error',
    reason: 'UnsupportedValue',
    field,
    message: `${message}, and it guards access: the Ingress answers 503 to everybody`,
    hint: remedy,
  });
}

function refuse(entry: Entry<Ingress>, issues: Issues, field: string, value: string, flaw: string, hint: string): undefined {
  issues.add(entry, 'Accepted', { severity: 'error', reason: 'Invalid', field, message: `${JSON.stringify(value.slice(0, 80))} is ${flaw}`, hint });
  return undefined;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** As nginx reads sizes. */
function parseSize(value: string): number | undefined {
  const match = /^([0-9]{1,15})([bkmg]?)$/i.exec(value);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * (UNITS[(match[2] ?? '').toLowerCase()] as number);
  return bytes === 0 ? UNBOUNDED : Math.min(bytes, UNBOUNDED);
}
