/** The Redis in which replicas count together is slow, gone and back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile } from '../../test-e2e/percentile.ts';
import { get } from '../gateway/client.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import { globalPolicy, limitedRoute, until } from '../redis/global-limits.ts';
import { RedisServer } from '../redis/redis-server.ts';
import type { DataPlaneFault } from './fault.ts';
import { Findings } from './findings.ts';

/** What each policy answers while the store is down. */
const EXPECTED = { allow: 200, deny: 503, local: 200 } as const;
type Policy = keyof typeof EXPECTED;
const POLICIES = Object.keys(EXPECTED) as readonly Policy[];

/** The store may add so much to a request (ms). */
const ALLOWED = 10;

/** One after the other, so that none waits for another one. @returns their times, and answers that are not as they should be */
async function measured(gateway: GatewayUnderTest, requests: number, wanted: (policy: Policy) => number): Promise<{ times: number[]; wrong: string[] }> {
  const times: number[] = [];
  const wrong: string[] = [];
  for (let index = 0; index < requests; index++) {
    const policy = POLICIES[index % POLICIES.length] as Policy;
    const startedAt = performance.now();
    const { status } = await get(gateway.http, `/${policy}`);
    times.push(performance.now() - startedAt);
    if (status !== wanted(policy)) wrong.push(`${policy} ${status}`);
    await sleep(2);
  }
  return { times, wrong };
}

const p99 = (times: readonly number[]): number => percentile(times, 99);

export const redisDown: DataPlaneFault = {
  number: 16,
  name: 'Redis down or slow',
  passes: 'onStoreFailure holds: Allow 200, Deny 503, Local counts in the pod; at most 10 ms added to a request; counting again once it is back',
  async run(place) {
    const { lifetime, measure, tell } = place;
    const requests = measure.full ? 1500 : 30;
    const findings = new Findings(
      `policies of each onStoreFailure, ${requests} requests at each stage: Redis was there, stopped (SIGSTOP), let go on, killed and started anew`,
    );
    const redis = await RedisServer.start(lifetime);
    const manifests = [
      limitedRoute('allow') + globalPolicy('allow', 'Allow', ['{ requests: 1000000, period: 24h }']),
      limitedRoute('deny') + globalPolicy('deny', 'Deny', ['{ requests: 1000000, period: 24h }']),
      limitedRoute('local') + globalPolicy('local', 'Local', ['{ requests: 1000000, period: 24h }']),
    ].join('');
    const gateway = await GatewayUnderTest.start(lifetime, { 'all.yaml': manifests }, ['--workers', '1', '--redis', `redis://127.0.0.1:${redis.port}`]);
    const down = (policy: Policy): number => EXPECTED[policy];
    const isBack = async (): Promise<boolean> => {
      const answer = await get(gateway.http, '/deny');
      return answer.status === 200 && answer.headers['x-ratelimit-limit'] === '1000000';
    };

    await until(isBack);
    const calm = await measured(gateway, requests, () => 200);
    findings.note(`p99 ${p99(calm.times).toFixed(1)} ms while it was there`);
    for (const [what, stop, start] of [
      ['stopped', async () => redis.pause(), async () => redis.resume()],
      ['killed', () => redis.kill(), () => redis.run()],
    ] as const) {
      tell(`Redis is ${what}`);
      await stop();
      const { times, wrong } = await measured(gateway, requests, down);
      findings.check(wrong.length === 0, `${wrong.length} of ${times.length} answers not as declared while it was ${what}`, wrong.slice(0, 5).join(', '));
      // What a request takes by itself is in both.
      const added = Math.max(...times) - percentile(calm.times, 50);
      const late = times.filter((time) => time - percentile(calm.times, 50) > ALLOWED).length;
      findings.checkTime(
        place,
        p99(times) - percentile(calm.times, 50) <= ALLOWED,
        `p99 ${p99(times).toFixed(1)} ms then, at most ${added.toFixed(1)} ms more than the median before (${late} beyond ${ALLOWED} ms)`,
      );
      const startedAt = performance.now();
      await start();
      await until(isBack);
      findings.note(`counted again ${((performance.now() - startedAt) / 1000).toFixed(1)} s after it was back`);
    }
    const told = gateway.log.filter(({ msg }) => msg === 'rate limit store is down: what policies say in onStoreFailure holds').length;
    findings.note(`told ${told} times`);
    return findings;
  },
};
