/**
 * What users write for each policy. The schemas' output is what the snapshot holds, but for `rateLimit`, whose policy
 * translation turns into the limits of each route. They are apart from the policies themselves because workers run those,
 * and need no schemas: zod and what is built with it would cost each of them 20 MiB.
 */
import type { z } from 'zod';
import {
  directResponseSchema,
  ipAccessSchema,
  limitsSchema,
  requestHeaderModifierSchema,
  requestRedirectSchema,
  responseHeaderModifierSchema,
  urlRewriteSchema,
} from '../resources/api-route-filters.ts';
import { rateLimitPolicySchema } from '../resources/rate-limit-policy.ts';
import type { RouteFilters } from '../snapshot/snapshot.ts';

export const policySchemas: { readonly [Name in keyof RouteFilters]-?: z.ZodType } = {
  ipAccess: ipAccessSchema,
  limits: limitsSchema,
  rateLimit: rateLimitPolicySchema,
  requestRedirect: requestRedirectSchema,
  directResponse: directResponseSchema,
  requestHeaderModifier: requestHeaderModifierSchema,
  urlRewrite: urlRewriteSchema,
  responseHeaderModifier: responseHeaderModifierSchema,
};
