/** Cases of what an API gateway does beyond passing on: identity, limits, transforms, caching. */
import { type Case, handle, named, throughput } from './case.ts';
import { constantRate, type LoadResult, wrk } from './load.ts';
import type { Setting } from './subjects.ts';
import { writeTokens } from './tokens.ts';

const withTokens = wrk({ script: 'tokens' });

function gateway(kind: Setting['kind']): Setting {
  return { kind, gateway: true, accessLog: true };
}

const everything: Case = {
  name: 'gateway',
  title: 'JWT, rate limit, header transform, access log and metrics together',
  note: 'ES256, 100 tokens that come again and again. HAProxy 2.6 verifies each request anew, Envoy keeps tokens (its cache is on), nginx and Traefik have no JWT in their free editions, and do the rest.',
  subjects: [
    handle,
    named('nginx, no JWT', gateway('nginx')),
    named('HAProxy with all', gateway('haproxy')),
    named('Envoy with all', gateway('envoy')),
    named('Traefik, no JWT', gateway('traefik')),
    named('Tidegate with all, handle', gateway('handle')),
    named('Tidegate with all, stream', gateway('stream')),
  ],
  baseline: handle.label,
  columns: ['rate', 'busyRate', 'cpu'],
  goals: [
    { subject: 'Tidegate with all, handle', against: handle.label, metric: 'rate', atLeast: 0.8 },
    ...['HAProxy with all', 'Envoy with all', 'Traefik, no JWT'].map((against) => ({
      ...{ subject: 'Tidegate with all, handle', against, metric: 'rate' as const, atLeast: 2.5 },
    })),
  ],
  warmUp: async (to, seconds) => {
    writeTokens(100);
    return await withTokens(to, seconds);
  },
  measure: (subject, seconds) => throughput(subject, () => withTokens(subject, seconds)),
};

/** More than anybody verifies in a second. */
const TOKENS_A_SECOND = 15_000;

const newTokens: Case = {
  name: 'new-tokens',
  title: 'The same with a token that nobody has seen for each request',
  note: 'Every token is verified, and kept in vain.',
  subjects: [named('HAProxy with all', gateway('haproxy')), named('Envoy with all', gateway('envoy')), named('Tidegate with all, handle', gateway('handle'))],
  baseline: 'Envoy with all',
  columns: ['rate', 'busyRate', 'cpu'],
  goals: [{ subject: 'Tidegate with all, handle', against: 'Envoy with all', metric: 'rate', atLeast: 1 }],
  measure: (subject, seconds) => {
    writeTokens(TOKENS_A_SECOND * seconds);
    return throughput(subject, () => withTokens(subject, seconds));
  },
};

const RATE = 1000;

const aggregation: Case = {
  name: 'aggregate',
  title: 'An answer made of three calls',
  note: `${RATE} requests a second, in an open loop. The calls go out at once, to the backend that the first row's single request goes to.`,
  subjects: [handle, named('Tidegate, three calls', { kind: 'handle', aggregate: true })],
  baseline: handle.label,
  columns: ['rate', 'p50', 'p99', 'cpu'],
  goals: [{ subject: 'Tidegate, three calls', metric: 'p50', atMost: 2 }],
  warmUp: wrk(),
  measure: async (subject, seconds) => {
    let latencies: LoadResult['latencies'];
    const sample = await throughput(subject, async () => {
      const result = await constantRate(subject, seconds, RATE);
      latencies = result.latencies;
      return result;
    });
    return latencies === undefined ? sample : { ...sample, p50: latencies.p50 / 1000, p99: latencies.p99 / 1000 };
  },
};

const toCached = wrk({ path: '/cached' });

const cache: Case = {
  name: 'cache',
  title: 'Answers from the cache',
  note: '150 bytes that are good for a minute. Plain Tidegate asks the backend each time.',
  subjects: [handle, named('nginx with cache', { kind: 'nginx', cache: true }), named('Tidegate with cache, handle', { kind: 'handle', cache: true })],
  baseline: handle.label,
  columns: ['rate', 'busyRate', 'cpu'],
  goals: [{ subject: 'Tidegate with cache, handle', against: handle.label, metric: 'rate', atLeast: 1.5 }],
  warmUp: toCached,
  measure: (subject, seconds) => throughput(subject, () => toCached(subject, seconds)),
};

export const gatewayCases: readonly Case[] = [everything, newTokens, cache, aggregation];
