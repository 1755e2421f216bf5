/**
 * The registry of policies. Its order is the order of execution on requests, and backwards on answers:
 *
 * 1. `closed`: what is not to be served at all costs the least.
 * 2. `compression`, `errorPages`: they have no part in requests. On answers they come last, in the order error page, coding: what is
 *    encoded can't be changed any more, and a page is encoded as any answer.
 * 3. `ipAccess`, `cors`, then `limits`: who is shut out uses up nobody's rate limit, as with Envoy's RBAC before its rate limits.
 *    (nginx counts first and looks at allow and deny after; there a client that is shut out eats into the limits of others.)
 *    A preflight is answered before anybody asks who it is: browsers send it without credentials.
 * 4. `sessionCookies`: what browsers keep for the logins of other routes is nobody's here, services that `auth` asks included.
 *    `auth`: who calls, and whether they may. After what needs no look at who calls, before everything that may be counted or
 *    answered by who calls. It sees the request as it was matched: what a rewrite makes of it later goes round no check.
 * 5. `rateLimit`: redirects and direct answers are answers too and count. On answers it comes late, so that its fields are
 *    there whatever a header modifier or a backend says.
 *    `decompression` follows: nobody's body is decoded who is not let in.
 * 6. `cache`: what it serves counts against limits, and nothing that follows happens to it but on its way back. So what it keeps
 *    is what the backend gave, and header modifiers hold for hits as for anything else.
 * 7. `faultInjection`: what is made to fail counts against limits, as it would if it failed by itself.
 * 8. `requestRedirect`, `directResponse`: they see the request as the client sent it, before any rewrite.
 * 9. `requestHeaderModifier`, then `urlRewrite`, both for the backend only: keys of limits, matches and redirects never see
 *    what they wrote.
 * 10. `mirror`: the copy is what the backend gets.
 * 11. `aggregate`: answers by calls of its own, which see the request as it would go on; a copy of it has gone to the mirror by no
 *    way but a backend's, so there is none. `grpcJson` beside it: a rule has one of them.
 * 12. `responseHeaderModifier`: so near to the backend that everything else has the last word on answers; those of a backendRef come before it, and the
 *    gateway's own answers get it too.
 * 13. `transform`: next to the backend on both ways. It makes the body that the backend gets, whoever else has looked at the client's, and
 *    what it makes of an answer is what header modifiers, caches of clients and codings see.
 */
import type { RouteFilters } from '../snapshot/filters.ts';
import { aggregate } from './aggregate/aggregate.ts';
import { auth } from './auth/auth.ts';
import { cache } from './cache/cache.ts';
import { closed } from './closed.ts';
import { compression } from './compression/compression.ts';
import { cors } from './cors.ts';
import { decompression } from './decompression/decompression.ts';
import { directResponse } from './direct-response.ts';
import { errorPages } from './error-pages.ts';
import { faultInjection } from './fault-injection.ts';
import { grpcJson } from './grpc-json/grpc-json.ts';
import { ipAccess } from './ip-access.ts';
import { limits } from './limits.ts';
import { mirror } from './mirror.ts';
import type { Policy } from './policy.ts';
import { rateLimit } from './rate-limit/rate-limit.ts';
import { requestHeaderModifier } from './request-header-modifier.ts';
import { requestRedirect } from './request-redirect.ts';
import { responseHeaderModifier } from './response-header-modifier.ts';
import { sessionCookies } from './session-cookies.ts';
import { transform } from './transform/transform.ts';
import { urlRewrite } from './url-rewrite.ts';

export const policies: readonly { [Name in keyof RouteFilters]-?: Policy<Name> }[keyof RouteFilters][] = [
  closed,
  compression,
  errorPages,
  ipAccess,
  cors,
  limits,
  sessionCookies,
  auth,
  rateLimit,
  decompression,
  cache,
  faultInjection,
  requestRedirect,
  directResponse,
  requestHeaderModifier,
  urlRewrite,
  mirror,
  aggregate,
  grpcJson,
  responseHeaderModifier,
  transform,
];
