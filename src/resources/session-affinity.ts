/** BackendPolicy's `sessionAffinity`: requests of one client stay at one endpoint, by a cookie. */
import { SESSION_AFFINITY } from '../snapshot/defaults.ts';
import { cookieName, duration, oneOf, wholeSeconds } from './fields.ts';
import { strictObject } from './strict-object.ts';

export const sessionAffinity = strictObject({
  cookieName: cookieName.default(SESSION_AFFINITY.cookieName).describe('Name of the cookie that the gateway sets.'),
  ttl: duration({ positive: true })
    .prefault(`${SESSION_AFFINITY.ttl / 3_600_000}h`)
    .superRefine(wholeSeconds)
    .describe("How long a client keeps the cookie, in whole seconds: the cookie's Max-Age."),
  mode: oneOf(['Balanced', 'Persistent'])
    .default(SESSION_AFFINITY.mode)
    .describe('Balanced: a client stays while its endpoint is healthy, and then gets another one. Persistent: as long as the endpoint exists.'),
});
