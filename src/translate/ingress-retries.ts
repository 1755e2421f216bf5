/** Annotations of ingress-nginx that say how long a backend is waited for, and when the next one is asked. */
import { RETRY_BUDGET_PERCENT } from '../resources/recovery.ts';
import { ROUTE_TIMEOUTS } from '../snapshot/defaults.ts';
import type { Retry, RetryCondition } from '../snapshot/recovery.ts';
import type { Timeouts } from '../snapshot/route.ts';
import type { AnnotationValues } from './annotation-values.ts';

const NEXT_UPSTREAM = 'proxy-next-upstream';
const TRIES = 'proxy-next-upstream-tries';
const TIMEOUT = 'proxy-next-upstream-timeout';
const READ = 'proxy-read-timeout';
const SEND = 'proxy-send-timeout';

export const RETRY_ANNOTATIONS: ReadonlySet<string> = new Set([NEXT_UPSTREAM, TRIES, TIMEOUT, READ, SEND]);

/** Words of `proxy-next-upstream`, each with what it stands for. */
const CONDITIONS: ReadonlyMap<string, readonly RetryCondition[]> = new Map<string, readonly RetryCondition[]>([
  ['error', ['connect-failure', 'reset']],
  ['timeout', ['timeout']],
  ...['500', '502', '503', '504', '403', '404', '429'].map((status) => [`http_${status}`, [Number(status)]] as const),
]);
const DEFAULT_WORDS = 'error timeout';
/** With the first one. */
const DEFAULT_TRIES = 3;
/** What "0", which is no bound to nginx, comes to; an ApiRoute's retry goes as far. */
const MAX_RETRIES = 10;
const MOST_SECONDS = 1_000_000_000;

/** Longer than any request lasts, and still a number to count with. */
const NO_TIMEOUT = Number.MAX_SAFE_INTEGER;

export interface IngressRetries {
  readonly timeouts: Timeouts;
  /** Absent where no annotation speaks of it: then the one retry that every route has. */
  readonly retry?: Retry;
}

const DEFAULTS: IngressRetries = { timeouts: ROUTE_TIMEOUTS };

/** Tells of bad values, which are taken for the default. */
export function readRetries(values: AnnotationValues): IngressRetries {
  const timeouts = readTimeouts(values);
  const asked = values.text(NEXT_UPSTREAM) ?? values.text(TRIES) ?? values.text(TIMEOUT);
  if (asked !== undefined) return { timeouts, retry: readRetry(values) };
  return timeouts === ROUTE_TIMEOUTS ? DEFAULTS : { timeouts };
}

function readTimeouts(values: AnnotationValues): Timeouts {
  const { request, backendRequest, idle } = ROUTE_TIMEOUTS;
  const read = seconds(values, READ);
  const send = seconds(values, SEND);
  if (read === undefined && send === undefined) return ROUTE_TIMEOUTS;
  const longest = Math.max(read ?? idle, send ?? idle);
  return {
    // nginx bounds no request as a whole: who allows longer silence than that does not mean to be cut there.
    request: longest > request ? NO_TIMEOUT : request,
    backendRequest: read ?? backendRequest,
    // One time for both directions here, two there: the longer one cuts nothing that nginx would let through.
    idle: longest,
  };
}

function readRetry(values: AnnotationValues): Retry {
  const on = new Set<RetryCondition>();
  let isOff = false;
  let nonIdempotent = false;
  for (const word of (values.text(NEXT_UPSTREAM) ?? DEFAULT_WORDS).split(/[\s,]+/)) {
    const conditions = CONDITIONS.get(word);
    if (conditions !== undefined) for (const condition of conditions) on.add(condition);
    else if (word === 'off') isOff = true;
    else if (word === 'non_idempotent') nonIdempotent = true;
    else if (word === 'invalid_header') values.warn(NEXT_UPSTREAM, 'invalid_header is not supported: malformed answers are not tried again', 'leave it out');
    else if (word !== '')
      values.refuse(
        NEXT_UPSTREAM,
        `not all of nginx's words: there is no ${JSON.stringify(word.slice(0, 40))}`,
        `write some of ${[...CONDITIONS.keys()].join(', ')}, non_idempotent, or off`,
      );
  }
  const tries = values.wholeNumber(TRIES, 0, 1000) ?? DEFAULT_TRIES;
  const within = seconds(values, TIMEOUT);
  return {
    attempts: isOff ? 0 : Math.min(tries === 0 ? MAX_RETRIES : tries - 1, MAX_RETRIES),
    on: [...on],
    // nginx asks the next one at once.
    backoff: 0,
    maxBackoff: 0,
    budgetPercent: RETRY_BUDGET_PERCENT,
    nonIdempotent,
    ...(within === undefined ? {} : { within }),
  };
}

/** In milliseconds; undefined also for "0". */
function seconds(values: AnnotationValues, name: string): number | undefined {
  return (values.wholeNumber(name, 0, MOST_SECONDS) ?? 0) * 1000 || undefined;
}
