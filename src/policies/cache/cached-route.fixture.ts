/** For tests: a route with the filter `cache` between requests and an origin, without sockets, and with a clock that is set. */
import assert from 'node:assert/strict';
import type { BodySink, Exchange, FetchStream, GivenAnswer, Reply } from '../../exchange/exchange.ts';
import { Fields } from '../../exchange/fields.ts';
import { type BodyLength, NO_BODY } from '../../exchange/streams.ts';
import type { CacheSpec } from '../../snapshot/cache.ts';
import { contextOf } from '../context.fixture.ts';
import { exchangeOf, type RequestSpec } from '../exchange.fixture.ts';
import { type Filter, Verdict } from '../policy.ts';
import { cache } from './cache.ts';
import { CacheMemory } from './cache-memory.ts';
import { type CacheNews, type CacheResults, ResponseCache } from './response-cache.ts';

export interface OriginAnswer {
  readonly status: number;
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
  /** The head, and the body in two pieces after it. */
  readonly inPieces?: boolean;
  /** As the head has it; absent: the body's own. */
  readonly length?: BodyLength;
  /** It comes when this is over: others join meanwhile. */
  readonly after?: Promise<void>;
  /** In the place of all that: what the gateway says itself. */
  readonly reply?: Reply;
}

/** @param fields of the request, as the origin gets it */
export type Origin = (method: string, url: string, fields: Fields) => OriginAnswer;

export interface Got {
  readonly status: number;
  readonly body: string;
  readonly fields: Fields;
}

export const DEFAULTS: CacheSpec = { maxEntryBytes: 1024 * 1024, defaultTTL: 0, varyOnQuery: [], staleWhileRevalidate: 30_000, staleIfError: 300_000 };

class ClockedCache extends ResponseCache {
  readonly clock: () => number;

  constructor(memory: CacheMemory, results: CacheResults, tell: (news: CacheNews) => void, clock: () => number) {
    super(memory, 16 * 1024 * 1024, () => results, tell);
    this.clock = clock;
  }

  override now(): number {
    return this.clock();
  }
}

export class CachedRoute {
  /** Milliseconds. */
  time = 1_000_000;
  readonly results: CacheResults = { hit: 0, stale: 0, revalidated: 0, collapsed: 0, miss: 0, bypass: 0 };
  readonly caches: readonly ResponseCache[];
  readonly #filters: readonly Filter[];
  readonly #origin: Origin;

  constructor(origin: Origin, spec: Partial<CacheSpec> = {}, bytes = 1024 * 1024, workers = 2) {
    this.#origin = origin;
    const buffer = CacheMemory.allocate(bytes);
    const caches: ResponseCache[] = [];
    for (let worker = 0; worker < workers; worker++) {
      const tell = (news: CacheNews): void => {
        for (const other of caches) if (other !== caches[worker]) queueMicrotask(() => other.onNews(news));
      };
      caches.push(new ClockedCache(new CacheMemory(buffer, worker), this.results, tell, () => this.time));
    }
    this.caches = caches;
    this.#filters = caches.map((one) => cache.compile({ ...DEFAULTS, ...spec }, contextOf({ cache: one })));
  }

  /** Sends a request through one worker's filter, and waits for all that comes of it. */
  async send(request: RequestSpec, worker = 0): Promise<Got> {
    const exchange = this.#exchangeOf(request);
    const url = request.url ?? 'http://a.test/';
    const filter = this.#filters[worker] as Filter;
    const got = await new Promise<Got>((resolve, reject) => {
      const finish = (): void => void this.#finish(exchange, filter, url).then(resolve, reject);
      exchange.resume = finish;
      exchange.fail = reject;
      if (filter.onRequest?.(exchange) !== Verdict.Waiting) finish();
    });
    await settled();
    return got;
  }

  /** Sends a request that has to wait. @returns what ends it before it has an answer */
  begin(request: RequestSpec, worker = 0): () => void {
    const exchange = this.#exchangeOf(request);
    exchange.resume = () => {
      throw new Error('nobody waits any more');
    };
    assert.equal((this.#filters[worker] as Filter).onRequest?.(exchange), Verdict.Waiting);
    return () => {
      exchange.onAbandoned?.();
      exchange.onAbandoned = undefined;
    };
  }

  #exchangeOf(request: RequestSpec): Exchange {
    const exchange = exchangeOf(request);
    exchange.routeId = 'ApiRoute/default/a/0';
    exchange.runner = { fetch: (fields, stream) => this.#fetch(request.url ?? 'http://a.test/', fields, stream) };
    return exchange;
  }

  #fetch(url: string, fields: Fields, stream: FetchStream): { resume(): void; abort(): void } {
    let aborted = false;
    queueMicrotask(() => {
      const answer = this.#origin('GET', url, fields);
      if (answer.after !== undefined) void answer.after.then(() => give(answer));
      else if (answer.reply !== undefined) setImmediate(give, answer);
      else give(answer);
    });
    const give = ({ status, body, inPieces, reply, fields: lines, length: told }: OriginAnswer): void => {
      if (aborted) return;
      if (reply !== undefined) {
        stream.onReply(reply);
        return;
      }
      const bytes = Buffer.from(body, 'latin1');
      const length = status === 304 ? NO_BODY : (told ?? bytes.length);
      const answered = Fields.of(lines);
      stream.judge(status, answered, length);
      if (status === 304 || inPieces !== true) {
        stream.respond(status, answered, length, bytes.length === 0 ? undefined : bytes, 0, bytes.length, false, true);
        return;
      }
      stream.respond(status, answered, length, undefined, 0, 0, false, false);
      const half = bytes.length >> 1;
      for (const [start, end] of [[0, half] as const, [half, bytes.length] as const]) if (!aborted) stream.writeBody(bytes, start, end, false);
      if (!aborted) stream.endBody(undefined);
    };
    return {
      resume: () => {},
      abort: () => {
        aborted = true;
      },
    };
  }

  async #finish(exchange: Exchange, filter: Filter, url: string): Promise<Got> {
    const { given } = exchange;
    const own = exchange.reply === undefined && given === undefined ? this.#origin(exchange.method, url, exchange.requestFields) : undefined;
    const reply = exchange.reply ?? own?.reply;
    if (reply !== undefined) {
      const fields = Fields.of([...(reply.fields ?? [])]);
      filter.onResponse?.(exchange, reply.status, fields);
      return { status: reply.status, body: String(reply.body ?? ''), fields };
    }
    if (given !== undefined) {
      filter.onResponse?.(exchange, given.status, given.fields);
      return { status: given.status, body: await bodyOf(given), fields: given.fields };
    }
    const { status, fields: lines, body } = own as OriginAnswer;
    const fields = Fields.of(lines);
    filter.onResponse?.(exchange, status, fields);
    return { status, body: exchange.method === 'HEAD' ? '' : body, fields };
  }
}

function bodyOf({ body, source }: GivenAnswer): Promise<string> {
  if (source === undefined) return Promise.resolve(body?.toString('latin1') ?? '');
  return new Promise((resolve, reject) => {
    let text = '';
    const sink: BodySink = {
      writeGiven: (bytes, start, end) => {
        text += bytes.toString('latin1', start, end);
        return true;
      },
      endGiven: () => resolve(text),
      abortGiven: (reason) => reject(new Error(reason)),
    };
    source.start(sink, true);
  });
}

/** All microtasks have run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
