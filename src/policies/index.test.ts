/**
 * Walks the registry, so that no policy is forgotten: each has its file, its schema, its line for `explain`, and golden
 * cases in testdata/. A golden file holds documents with `spec`, as users write it, and `cases`; a policy whose snapshot
 * form is made by translation from more than its spec has that as `compiled`.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { loadAll } from 'js-yaml';
import { noCalls } from '../exchange/calls.ts';
import type { Exchange, Reply } from '../exchange/exchange.ts';
import { Fields } from '../exchange/fields.ts';
import type { Identity } from '../exchange/identity.ts';
import { NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { NO_FETCHER } from '../fetch/fetcher.ts';
import { NO_DOCUMENTS } from '../fetch/worker-documents.ts';
import { routeFiltersSchema } from '../resources/api-route-filters.ts';
import { authPolicySchema } from '../resources/auth-policy.ts';
import { rateLimitPolicySchema } from '../resources/rate-limit-policy.ts';
import type { RouteFilters } from '../snapshot/filters.ts';
import { knownConsumers } from './auth/context.fixture.ts';
import { ResponseCache } from './cache/response-cache.ts';
import { exchangeOf, type RequestSpec, type SilentStream } from './exchange.fixture.ts';
import { policies } from './index.ts';
import type { Policy, PolicyContext } from './policy.ts';
import { Verdict } from './policy.ts';
import { SimulatedTime } from './rate-limit/limiter.fixture.ts';
import { RateLimiter } from './rate-limit/limiter.ts';
import { Secrets } from './secrets.ts';

interface GoldenCase {
  readonly name: string;
  readonly request: RequestSpec;
  /** The backend's answer; the filter's own, or none, where it is absent. */
  readonly answer?: { readonly status: number; readonly headers: Readonly<Record<string, string>> };
  readonly expect: {
    readonly verdict?: keyof typeof Verdict;
    readonly reply?: Reply;
    readonly upstreamPath?: string;
    readonly upstreamHost?: string;
    readonly bodyLimit?: number;
    readonly upstreamQuery?: string;
    readonly identity?: Identity;
    readonly requestHeaders?: readonly (readonly [string, string])[];
    readonly responseHeaders?: Readonly<Record<string, string>>;
    /** What becomes of the answer's body, whose length is that of its Content-Length. */
    readonly responseBody?: 'passed' | 'staged' | 'replaced';
    /** The request's body passes a stage. */
    readonly requestStaged?: boolean;
  };
}

interface Golden {
  readonly spec: unknown;
  readonly compiled?: unknown;
  readonly describe: string;
  readonly cases: readonly GoldenCase[];
}

const ALL = policies as readonly Policy[];
/**
 * What users write. Rate limits and who may call are no fields of a rule but objects of their own, which translation reads; nobody
 * writes `closed`, which is what translation makes of a guard that it can't honour, and `sessionCookies`, which it makes of other routes' logins.
 */
const SCHEMAS = { ...routeFiltersSchema.shape, rateLimit: rateLimitPolicySchema, auth: authPolicySchema, closed: undefined, sessionCookies: undefined };
const TESTDATA = new URL('./testdata/', import.meta.url);

function fileName(policy: string): string {
  return policy.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function goldens(policy: string): Golden[] {
  return loadAll(readFileSync(new URL(`${fileName(policy)}.golden.yaml`, TESTDATA), 'utf8')) as Golden[];
}

function context(): PolicyContext {
  const time = new SimulatedTime();
  return {
    rateLimiter: new RateLimiter(RateLimiter.allocate({ counterSets: 64, logSets: 64, time }), 0, time),
    calls: noCalls,
    auth: knownConsumers(),
    secrets: new Secrets(),
    countCall: () => {},
    cache: ResponseCache.unused(),
    random: () => 0.5,
    counter: () => ({ value: 0 }),
    limitDecisions: () => ({ allowed: 0, refused: 0, shadowRefused: 0, nearlyRefused: 0 }),
    documents: NO_DOCUMENTS,
    fetcher: NO_FETCHER,
  };
}

function pairsOf(fields: Fields): [string, string][] {
  const pairs: [string, string][] = [];
  fields.forEach((name, value) => {
    pairs.push([name, value]);
  });
  return pairs;
}

/** What came of a case, as far as its expectation speaks of it. */
function outcome(exchange: Exchange, verdict: Verdict | undefined, response: Fields, body: string, expected: GoldenCase['expect']): GoldenCase['expect'] {
  const bodyLimit = (exchange.stream as unknown as SilentStream).bodyLimit;
  return {
    ...(verdict === undefined || (verdict === Verdict.Continue && expected.verdict === undefined)
      ? {}
      : { verdict: (Object.keys(Verdict) as (keyof typeof Verdict)[]).find((name) => Verdict[name] === verdict) }),
    ...(exchange.reply === undefined ? {} : { reply: exchange.reply }),
    ...(bodyLimit === undefined ? {} : { bodyLimit }),
    ...(expected.upstreamPath === undefined ? {} : { upstreamPath: exchange.upstreamPath }),
    ...(expected.upstreamHost === undefined ? {} : { upstreamHost: exchange.upstreamHost }),
    ...(expected.upstreamQuery === undefined ? {} : { upstreamQuery: exchange.upstreamQuery }),
    ...(exchange.identity === undefined ? {} : { identity: exchange.identity }),
    ...(expected.requestHeaders === undefined ? {} : { requestHeaders: pairsOf(exchange.requestFields) }),
    ...(expected.responseBody === undefined ? {} : { responseBody: body }),
    ...(expected.requestStaged === undefined ? {} : { requestStaged: exchange.requestStage !== undefined }),
    ...(expected.responseHeaders === undefined ? {} : { responseHeaders: Object.fromEntries(pairsOf(response)) }),
  } as GoldenCase['expect'];
}

describe('the registry', () => {
  it('has each filter of routes once, in the order that its comment gives', () => {
    const names: readonly (keyof RouteFilters)[] = [
      'closed',
      'compression',
      'errorPages',
      'ipAccess',
      'cors',
      'limits',
      'sessionCookies',
      'auth',
      'rateLimit',
      'decompression',
      'cache',
      'faultInjection',
      'requestRedirect',
      'directResponse',
      'requestHeaderModifier',
      'urlRewrite',
      'mirror',
      'aggregate',
      'grpcJson',
      'responseHeaderModifier',
      'transform',
    ];
    assert.deepEqual(
      ALL.map(({ name }) => name),
      names,
    );
  });

  it('has everything that an ApiRoute may name', () => {
    assert.deepEqual(
      Object.keys(routeFiltersSchema.shape).filter((name) => !ALL.some((policy) => policy.name === name)),
      [],
    );
  });

  it('loads no schemas: workers run it', async () => {
    const listLoaded = `
      const { registerHooks } = require('node:module');
      const { parentPort, workerData } = require('node:worker_threads');
      const loaded = [];
      registerHooks({ resolve: (specifier, context, next) => { const found = next(specifier, context); loaded.push(found.url); return found; } });
      import(workerData).then(() => parentPort.postMessage(loaded));`;
    const worker = new Worker(listLoaded, { eval: true, workerData: new URL('./index.ts', import.meta.url).href });
    const [loaded] = (await once(worker, 'message')) as [string[]];
    assert.ok(loaded.some((url) => url.endsWith('/rate-limit/rate-limit.ts')));
    assert.deepEqual(
      loaded.filter((url) => /[/]zod[/]|[/]src[/]resources[/]/.test(url)),
      [],
    );
  });

  it('has no golden file without a policy', () => {
    const known = ALL.map(({ name }) => `${fileName(name)}.golden.yaml`);
    assert.deepEqual(readdirSync(TESTDATA).toSorted(), known.toSorted());
  });
});

for (const policy of ALL) {
  describe(policy.name, () => {
    it('is in a file of its name', () => {
      const file = fileName(policy.name);
      assert.ok(existsSync(new URL(`./${file}.ts`, import.meta.url)) || existsSync(new URL(`./${file}/${file}.ts`, import.meta.url)));
    });

    const schema = SCHEMAS[policy.name];
    if (schema !== undefined) {
      it('refuses what it does not know', () => {
        const result = schema.safeParse({ ...(goldens(policy.name)[0]?.spec as object), unknownField: 1 });
        assert.equal(result.success, false);
      });
    }

    for (const [index, golden] of goldens(policy.name).entries()) {
      const spec = schema === undefined ? golden.spec : schema.parse(golden.spec);
      const filter = policy.compile((golden.compiled ?? spec) as never, context());

      it(`describes itself (${index + 1})`, () => {
        assert.equal(filter.describe(), golden.describe);
        assert.equal(filter.policy, policy.name);
      });

      for (const example of golden.cases) {
        it(`${example.name} (${index + 1})`, () => {
          const exchange = exchangeOf(example.request);
          const verdict = filter.onRequest?.(exchange);
          const response = Fields.of(example.answer === undefined ? (exchange.reply?.fields ?? []) : Object.entries(example.answer.headers));
          const status = example.answer?.status ?? exchange.reply?.status ?? 200;
          filter.onResponse?.(exchange, status, response);
          const length = example.request.method === 'HEAD' || status === 304 ? NO_BODY : Number(response.get('content-length') ?? UNKNOWN_LENGTH);
          const change = filter.onResponseBody?.(exchange, status, response, length);
          const body = change === undefined ? 'passed' : 'stage' in change ? 'staged' : 'replaced';
          assert.deepEqual(outcome(exchange, verdict, response, body, example.expect), example.expect);
        });
      }
    }
  });
}
