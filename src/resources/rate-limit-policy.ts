/** tidegate.dev/v1alpha1 RateLimitPolicy. */
import { z } from 'zod';
import { MAX_EXPRESSION_LENGTH } from '../expressions/checked-source.ts';
import { requestHead } from '../expressions/environments.ts';
import { checkExpression, compileExpression } from '../expressions/expression.ts';
import { lookAgain } from '../expressions/pattern-size.ts';
import { expression } from './expression-text.ts';
import { dnsSubdomain, duration, oneOf, quote, text, wholeNumber } from './fields.ts';
import { namespacedMetadata, unused } from './metadata.ts';
import { targetRefs } from './policy-target.ts';
import { requestPart } from './request-part.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

/** Most requests of one limit; buckets count in 32 bits. */
export const MAX_REQUESTS = 1_000_000_000;

const keyPart = requestPart(
  ['ClientIP', 'Header', 'Cookie', 'QueryParam', 'Method', 'Path', 'Claim', 'Consumer', 'Expression'],
  'What requests are told apart by.',
);

const COST_HINT = 'write a whole number of 0 or more, such as "1"';

/** An expression that needs no request has its result looked at now. */
function costFlaw(source: string): Flaw | undefined {
  const flaw = checkExpression(source, requestHead, 'int');
  if (flaw !== undefined) return flaw;
  const { uses, evaluate } = lookAgain(() => compileExpression(source, requestHead, 'int'));
  if (uses.fields.size > 0 || uses.segments.size > 0) return undefined;
  try {
    return evaluate({}) < 0 ? { message: 'the cost is below zero', hint: COST_HINT } : undefined;
  } catch (error) {
    return { message: `the cost always fails: ${(error as Error).message}`, hint: COST_HINT };
  }
}

const ALGORITHMS = ['TokenBucket', 'LeakyBucket', 'FixedWindow', 'SlidingWindow'] as const;

const limit = strictObject(
  {
    name: text(limitNameFlaw, { pattern: /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/, minLength: 1, maxLength: 63 })
      .exactOptional()
      .describe("Name of the limit in headers, logs and metrics; absent: the policy's, with -2, -3 for later ones."),
    algorithm: oneOf(ALGORITHMS)
      .default('TokenBucket')
      .describe(
        'TokenBucket: burst at once, refilled evenly. LeakyBucket: an even pace, burst requests wait. FixedWindow: windows aligned to the epoch. SlidingWindow: at most requests in any period.',
      ),
    requests: wholeNumber({ min: 1, max: MAX_REQUESTS }).describe('How many requests each bucket takes in a period.'),
    period: duration({ positive: true }).exactOptional().describe('Length of the period, such as 1s or 1m. Either this or calendar.'),
    calendar: oneOf(['Day', 'Month']).exactOptional().describe('A quota by calendar (UTC) in place of period; FixedWindow only.'),
    burst: wholeNumber({ min: 0, max: MAX_REQUESTS })
      .exactOptional()
      .describe('TokenBucket: capacity (default: requests). LeakyBucket: queue length (default 0).'),
    key: z
      .array(keyPart)
      .max(8)
      .default([])
      .describe('Requests with the same values share a bucket. Absent: all share one. Where a value is missing, its absence is one.')
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    when: expression(requestHead, 'bool').exactOptional().describe('CEL: for which requests the limit is, such as request.method == "POST". Absent: for all.'),
    cost: text(costFlaw, { minLength: 1, maxLength: MAX_EXPRESSION_LENGTH })
      .exactOptional()
      .describe('CEL: what a request costs, a whole number of 0 or more. A cost beyond the bucket is refused. Absent: 1.'),
    mode: oneOf(['Enforce', 'Shadow']).default('Enforce').describe('Shadow counts and logs, and never refuses nor shows.'),
  },
  {
    cel: [
      { rule: 'has(self.period) != has(self.calendar)', message: 'a limit needs one of period and calendar' },
      { rule: "!has(self.calendar) || (has(self.algorithm) && self.algorithm == 'FixedWindow')", message: 'calendar goes with algorithm FixedWindow only' },
      {
        rule: "!has(self.burst) || !has(self.algorithm) || self.algorithm in ['TokenBucket', 'LeakyBucket']",
        message: 'burst goes with TokenBucket and LeakyBucket only',
      },
    ],
  },
)
  .superRefine(
    flaws((value) => {
      const found: Flaw[] = [];
      if (value.period === undefined && value.calendar === undefined)
        found.push({ message: 'period is missing', hint: 'write period, such as 1m, or calendar: Day', path: ['period'] });
      if (value.period !== undefined && value.calendar !== undefined) {
        found.push({ message: 'calendar stands beside period', hint: 'keep one of them', path: ['calendar'] });
      }
      if (value.calendar !== undefined && value.algorithm !== 'FixedWindow') {
        found.push({ message: `calendar has no meaning with ${value.algorithm}`, hint: 'write algorithm: FixedWindow, or use period', path: ['calendar'] });
      }
      if (value.burst !== undefined && value.algorithm !== 'TokenBucket' && value.algorithm !== 'LeakyBucket') {
        found.push({ message: `burst has no meaning with ${value.algorithm}`, hint: 'leave burst out, or use TokenBucket or LeakyBucket', path: ['burst'] });
      }
      if (value.burst === 0 && value.algorithm === 'TokenBucket') {
        found.push({ message: 'a TokenBucket with burst 0 lets nothing through', hint: 'write a burst of 1 or more', path: ['burst'] });
      }
      return found;
    }),
  )
  .transform((value) => ({
    ...(value.name === undefined ? {} : { name: value.name }),
    algorithm: value.algorithm,
    requests: value.requests,
    /** Milliseconds; 0 when `calendar` is set. */
    period: value.period ?? 0,
    ...(value.calendar === undefined ? {} : { calendar: value.calendar }),
    /** TokenBucket: capacity. LeakyBucket: queue length. Others: 0. */
    burst: value.burst ?? (value.algorithm === 'TokenBucket' ? value.requests : 0),
    key: value.key,
    ...(value.when === undefined ? {} : { when: value.when }),
    ...(value.cost === undefined ? {} : { cost: value.cost }),
    mode: value.mode,
  }));

function limitNameFlaw(value: string): Flaw | undefined {
  if (value.length <= 63 && /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(value)) return undefined;
  return {
    message: `${quote(value)} is not a name for a limit`,
    hint: 'use at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit',
  };
}

export const rateLimitPolicySchema = strictObject({
  apiVersion: z.literal('tidegate.dev/v1alpha1'),
  kind: z.literal('RateLimitPolicy'),
  metadata: namespacedMetadata(dnsSubdomain),
  spec: strictObject({
    targetRefs: targetRefs(['ApiRoute', 'Ingress'], { ApiRoute: 'tidegate.dev', Ingress: 'networking.k8s.io' }, 'a rule'),
    scope: oneOf(['Local', 'Global'])
      .default('Local')
      .describe('Local: exact within the pod, over all its workers. Global: exact over all replicas, through Redis (--redis).'),
    onStoreFailure: oneOf(['Allow', 'Deny', 'Local'])
      .default('Allow')
      .describe('While Redis is slow or down. Allow: no limit. Deny: 503. Local: each pod counts for itself, from nothing. Without meaning in scope Local.'),
    limits: z
      .array(limit)
      .min(1)
      .max(16)
      .superRefine(
        flaws((limits) => {
          const names = new Set<string>();
          const found: Flaw[] = [];
          for (const [index, { name }] of limits.entries()) {
            if (name === undefined) continue;
            if (names.has(name))
              found.push({ message: `the limit name ${quote(name)} is there twice`, hint: 'give each limit a name of its own', path: [index, 'name'] });
            names.add(name);
          }
          return found;
        }),
      )
      .describe('Limits of the targets. All apply; the tightest answers, with 429 and Retry-After; a refused request uses up none.')
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
  }),
  status: unused,
});

export type RateLimitPolicy = z.output<typeof rateLimitPolicySchema>;
export type RateLimit = RateLimitPolicy['spec']['limits'][number];
