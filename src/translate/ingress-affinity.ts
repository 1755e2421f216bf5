/** `affinity` and what goes with it: session affinity as ingress-nginx's users write it. */
import { cookieNameFlaw, headerValueFlaw } from '../resources/fields.ts';
import type { SessionAffinity } from '../snapshot/upstream.ts';
import type { AnnotationValues } from './annotation-values.ts';

/** ingress-nginx's own. */
const COOKIE_NAME = 'INGRESSCOOKIE';
const LONGEST = 0x7fffffff;

export const AFFINITY_ANNOTATIONS: ReadonlySet<string> = new Set([
  'affinity',
  'affinity-mode',
  'affinity-canary-behavior',
  'session-cookie-name',
  'session-cookie-path',
  'session-cookie-domain',
  'session-cookie-samesite',
  'session-cookie-conditional-samesite-none',
  'session-cookie-secure',
  'session-cookie-max-age',
  'session-cookie-expires',
  'session-cookie-change-on-failure',
]);

/** @returns undefined when there is none */
export function readAffinity(values: AnnotationValues): SessionAffinity | undefined {
  if (values.oneOf('affinity', ['cookie']) === undefined) return undefined;
  if (values.oneOf('affinity-canary-behavior', ['sticky', 'legacy']) === 'legacy') {
    values.warn(
      'affinity-canary-behavior',
      'value "legacy" is not supported: a client stays with the canary, or without it',
      'leave it out, or write "sticky"',
    );
  }
  if (values.boolean('session-cookie-conditional-samesite-none') === true) {
    values.warn(
      'session-cookie-conditional-samesite-none',
      'annotation session-cookie-conditional-samesite-none is not supported: SameSite is the same for all browsers',
      'leave it out; browsers that misread SameSite=None are of 2019 and before',
    );
  }
  const maxAge = values.wholeNumber('session-cookie-max-age', 1, LONGEST) ?? values.wholeNumber('session-cookie-expires', 1, LONGEST);
  const path = values.checked('session-cookie-path', attributeFlaw);
  const domain = values.checked('session-cookie-domain', attributeFlaw);
  const sameSite = values.oneOf('session-cookie-samesite', ['Lax', 'Strict', 'None']);
  return {
    cookieName: values.checked('session-cookie-name', cookieNameFlaw) ?? COOKIE_NAME,
    ...(maxAge === undefined ? {} : { ttl: maxAge * 1000 }),
    mode: values.oneOf('affinity-mode', ['balanced', 'persistent']) === 'persistent' ? 'Persistent' : 'Balanced',
    cookie: {
      ...(path === undefined ? {} : { path }),
      ...(domain === undefined ? {} : { domain }),
      ...(sameSite === undefined ? {} : { sameSite }),
      ...(values.boolean('session-cookie-secure') === true ? { secure: true } : {}),
      ...(values.boolean('session-cookie-change-on-failure') === true ? {} : { keepOnFailure: true }),
    },
  };
}

function attributeFlaw(value: string) {
  if (value === '' || value.includes(';'))
    return { message: `${JSON.stringify(value.slice(0, 80))} is no attribute of a cookie`, hint: 'write it without a semicolon' };
  return headerValueFlaw(value);
}
