/** What an ApiRoute's rule says about trouble: retry, hedge and fallback, the mirror, and faults made on purpose. */
import { z } from 'zod';
import { GRPC_STATUSES } from '../snapshot/grpc-status.ts';
import type { RetryCondition } from '../snapshot/recovery.ts';
import { BODILESS, dnsLabel, duration, headerValue, portReference, quote, wholeNumber } from './fields.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';
import { nearest } from './suggestion.ts';

const ATOMIC = { 'x-kubernetes-list-type': 'atomic' };

const percent = wholeNumber({ min: 0, max: 100, hint: 'write a whole number from 0 to 100' });

/** A Service that something beside the backendRefs goes to. */
export const serviceRef = strictObject({
  name: dnsLabel.describe('Name of a Service.'),
  namespace: dnsLabel.exactOptional().describe("Its namespace, where a ReferenceGrant must allow the reference. Absent: the route's own."),
  port: portReference.describe("The Service's port, by number or by name."),
});

const FAILURES = ['connect-failure', 'reset', 'timeout'] as const;
const CONDITION_WORDS: readonly string[] = [...FAILURES, ...GRPC_STATUSES];

/** gRPC writes UNAVAILABLE, Envoy unavailable, and both mean the same. */
function conditionWord(value: string): string {
  return value.toLowerCase().replaceAll('_', '-');
}

function conditionFlaw(value: number | string): Flaw | undefined {
  const statuses = 'statuses are numbers from 400 to 599';
  if (typeof value === 'number') {
    return Number.isInteger(value) && value >= 400 && value <= 599 ? undefined : { message: `${value} is no status that stands for a failure`, hint: statuses };
  }
  if (/^[0-9]+$/.test(value)) return { message: `${quote(value)} is a number in quotes, which names nothing`, hint: `write ${value} without quotes` };
  if (CONDITION_WORDS.includes(conditionWord(value))) return undefined;
  const near = nearest(conditionWord(value), CONDITION_WORDS);
  const hint = near === undefined ? `write ${FAILURES.join(', ')}, a status such as 503, or a gRPC status such as unavailable` : `did you mean ${near}?`;
  return { message: `${quote(value)} is nothing that a request is tried again for`, hint };
}

const condition = z
  .union([z.number(), z.string()])
  .superRefine(flaws(conditionFlaw))
  .meta({ 'x-kubernetes-int-or-string': true })
  .transform((value) => (typeof value === 'number' ? value : conditionWord(value)) as RetryCondition);

/**
 * The field `on`, which kubectl sends as `true` where it is written without quotes: to YAML 1.1 the word is a boolean, of keys
 * too. So both names are taken, for users write the one and API servers get the other.
 */
function onField<Item extends z.ZodType>(item: Item, description: string) {
  const list = z.array(item).min(1).max(32).exactOptional();
  return {
    on: list.describe(description).meta(ATOMIC),
    true: list.describe('The same as on: what kubectl makes of that word without quotes.').meta(ATOMIC),
  };
}

const ON_ONCE = { rule: '!(has(self.on) && has(self.__true__))', message: 'on is there twice, with and without quotes' };

function onFlaw(value: { readonly on?: unknown; readonly true?: unknown }): Flaw | undefined {
  return value.on === undefined || value.true === undefined
    ? undefined
    : { message: 'on is there twice, with and without quotes', hint: 'keep one of them', path: ['true'] };
}

const DEFAULT_CONDITIONS: readonly RetryCondition[] = ['connect-failure', 'reset', 502, 503, 504];

/** What holds where `retry` does not say otherwise. */
const BACKOFF = 25;
const MAX_BACKOFF = 250;
export const RETRY_BUDGET_PERCENT = 20;

export const retrySchema = strictObject(
  {
    attempts: wholeNumber({ min: 0, max: 10 }).default(1).describe('Tries after the first, at most. 0: none, whatever happens.'),
    ...onField(
      condition,
      "What a request is tried again for: connect-failure, reset, timeout (no answer within timeouts.backendRequest), a status, or a gRPC status by name. 502 and 504 stand for the gateway's own, too. Absent: connect-failure, reset, 502, 503 and 504.",
    ),
    backoff: duration().exactOptional().describe('The first retry waits up to this long, each later one up to twice as long. Absent: 25ms.'),
    maxBackoff: duration().exactOptional().describe('No retry waits longer. Absent: 250ms, or backoff where that is longer.'),
    budgetPercent: percent
      .default(RETRY_BUDGET_PERCENT)
      .describe('Share of the requests of the last 10 s, of the whole pod, that retries may be; three a second are always allowed.'),
    nonIdempotent: z
      .boolean()
      .default(false)
      .describe(
        'Also requests that a backend may have acted on already, of methods such as POST. Without it they are only tried again when no backend got them.',
      ),
  },
  {
    cel: [
      ON_ONCE,
      {
        rule: '!has(self.maxBackoff) || !has(self.backoff) || duration(self.backoff) <= duration(self.maxBackoff)',
        message: 'backoff cannot be longer than maxBackoff',
      },
    ],
  },
)
  .superRefine(
    flaws((value) =>
      value.maxBackoff !== undefined && (value.backoff ?? 0) > value.maxBackoff
        ? { message: 'backoff is longer than maxBackoff', hint: 'make maxBackoff at least as long: it bounds every wait', path: ['backoff'] }
        : onFlaw(value),
    ),
  )
  .transform(({ attempts, on, true: unquoted, backoff, maxBackoff, budgetPercent, nonIdempotent }) => ({
    attempts,
    on: on ?? unquoted ?? DEFAULT_CONDITIONS,
    backoff: backoff ?? Math.min(BACKOFF, maxBackoff ?? BACKOFF),
    maxBackoff: maxBackoff ?? Math.max(MAX_BACKOFF, backoff ?? 0),
    budgetPercent,
    nonIdempotent,
  }))
  .describe('When a request is tried again, on another endpoint where there is one. Absent: once, and only if no backend can have acted on it.');

export const hedgeSchema = strictObject({
  after: duration({ positive: true }).describe('How long to wait for an answer before another try goes out beside the first.'),
  max: wholeNumber({ min: 1, max: 5 }).default(1).describe('Tries beside the first, at most.'),
}).describe('Sends requests of idempotent methods once more when their answer is slow: the first good answer wins. Counts as retry in the budget.');

/** Statuses that say who may not; what stands in for an answer must not hide them. */
const REFUSALS = new Set([401, 403]);

const fallbackStatus = z
  .number()
  .superRefine(
    flaws((value) => {
      if (!Number.isInteger(value) || value < 400 || value > 599) return { message: `${value} is out of range`, hint: 'write statuses from 400 to 599' };
      if (REFUSALS.has(value)) return { message: `${value} says that somebody is not allowed, and is never replaced`, hint: 'leave it out' };
      return undefined;
    }),
  )
  .meta({ type: 'integer', minimum: 400, maximum: 599, format: 'int32' });

export const fallbackSchema = strictObject(
  {
    ...onField(fallbackStatus, "Statuses that the fallback takes the place of, the gateway's own 502, 503 and 504 too. Absent: those three."),
    backendRef: serviceRef.exactOptional().describe('The request goes there, once.'),
    response: strictObject({
      statusCode: wholeNumber({ min: 200, max: 599, hint: 'status codes of whole answers are numbers from 200 to 599' }).describe('Status of the answer.'),
      contentType: headerValue.default('text/plain; charset=utf-8').describe('Its Content-Type, where it has a body.'),
      body: z.string().max(65536).default('').describe('Body of the answer.'),
    })
      .superRefine(
        flaws((value) =>
          BODILESS.has(value.statusCode) && value.body !== ''
            ? { message: `an answer with status ${value.statusCode} has no body`, hint: 'leave body out, or use another status', path: ['body'] }
            : undefined,
        ),
      )
      .exactOptional()
      .describe('The gateway answers this.'),
  },
  { cel: [ON_ONCE, { rule: 'has(self.backendRef) != has(self.response)', message: 'a fallback has one of backendRef and response' }] },
)
  .superRefine(
    flaws(({ backendRef, response, ...value }) => {
      if (backendRef === undefined && response === undefined) return { message: 'the fallback is missing', hint: 'write backendRef or response' };
      if (backendRef === undefined || response === undefined) return onFlaw(value);
      return { message: 'response stands beside backendRef', hint: 'keep one of them', path: ['response'] };
    }),
  )
  .transform(({ on, true: unquoted, backendRef, response }) => ({
    on: on ?? unquoted ?? [502, 503, 504],
    ...(backendRef === undefined ? {} : { backendRef }),
    ...(response === undefined ? {} : { response }),
  }))
  .describe('What the client gets in place of a failure, once all tries are used up.');

export const mirrorSchema = strictObject({
  backendRef: serviceRef.describe('Where the copies go. Its answers are dropped.'),
  percent: percent.default(100).describe('Share of the requests of which a copy is sent.'),
}).describe('Sends copies of requests to another Service, without a bearing on the request itself. Requests with a body of more than 64 KiB are not copied.');

export const faultInjectionSchema = strictObject(
  {
    delay: strictObject({
      duration: duration({ positive: true }).describe('How long these requests are held back.'),
      percent: percent.describe('Share of the requests.'),
    })
      .exactOptional()
      .describe('Requests that are held back.'),
    abort: strictObject({
      statusCode: wholeNumber({ min: 400, max: 599, hint: 'statuses of failures are numbers from 400 to 599' }).describe('Status of the answer.'),
      percent: percent.describe('Share of the requests.'),
    })
      .exactOptional()
      .describe('Requests that the gateway answers with a failure.'),
  },
  { cel: [{ rule: 'has(self.delay) || has(self.abort)', message: 'faultInjection needs delay, abort or both' }] },
)
  .superRefine(
    flaws(({ delay, abort }) =>
      delay === undefined && abort === undefined ? { message: 'faultInjection injects nothing', hint: 'write delay, abort or both' } : undefined,
    ),
  )
  .describe('Makes trouble on purpose, to see what comes of it. Each part by its own chance.');
