/** For tests: what filters are compiled with, without a gateway around it. */
import { noCalls } from '../exchange/calls.ts';
import { NO_FETCHER } from '../fetch/fetcher.ts';
import { NO_DOCUMENTS } from '../fetch/worker-documents.ts';
import { knownConsumers } from './auth/context.fixture.ts';
import { ResponseCache } from './cache/response-cache.ts';
import type { LimitDecisions, PolicyContext } from './policy.ts';
import { RateLimiter } from './rate-limit/limiter.ts';
import { Secrets } from './secrets.ts';

export function contextOf(parts: Partial<PolicyContext> = {}): PolicyContext {
  return {
    rateLimiter: parts.rateLimiter ?? new RateLimiter(RateLimiter.allocate({ counterSets: 4, logSets: 4 }), 0),
    cache: ResponseCache.unused(),
    calls: noCalls,
    countCall: () => {},
    auth: knownConsumers(),
    secrets: new Secrets(),
    random: Math.random,
    documents: NO_DOCUMENTS,
    fetcher: NO_FETCHER,
    counter: () => ({ value: 0 }),
    limitDecisions: noDecisions,
    ...parts,
  };
}

/** Nothing decided so far. */
export function noDecisions(): LimitDecisions {
  return { allowed: 0, refused: 0, shadowRefused: 0, nearlyRefused: 0 };
}
