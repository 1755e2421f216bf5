/** Backends that do not answer, or late, and none that can be reached. */
import { percentile } from '../../test-e2e/percentile.ts';
import { apiRoute, service } from '../gateway/manifests.ts';
import { answers, type Behaviour, FaultyBackend } from './backend.ts';
import { type DataPlaneFault, serve, sumOf, Watched } from './fault.ts';
import { Findings } from './findings.ts';
import { PROTOCOLS, Traffic } from './traffic.ts';

const silent: Behaviour = (request) => void request.resume();

export const halfOpen: DataPlaneFault = {
  number: 4,
  name: 'A half-open backend',
  passes: '504 in time, the endpoint is ejected after five of them, then 0 errors',
  async run(place) {
    const findings = new Findings('one of three backends took requests and answered none; backendRequest 500ms, ejection after 5 errors');
    const policy = 'healthCheck: { passive: { consecutiveErrors: 5, baseEjection: 5m } }';
    const { gateway, backends } = await serve(place, { policy, rule: 'timeouts: { backendRequest: 500ms }' });
    const watched = new Watched(place, gateway, { wanted: ({ status }) => status === 200 || status === 504 });
    await watched.quiet();
    const [stuck] = backends as [FaultyBackend];
    let taken = 0;
    stuck.behave = (request, response) => {
      taken++;
      silent(request, response);
    };
    const timeouts = (): number => watched.traffics.reduce((sum, traffic) => sum + (traffic.statuses.get(504) ?? 0), 0);
    while ((await sumOf(gateway, 'tidegate_upstream_endpoints{upstream="default/web/80",state="ejected"}')) < 1) await watched.more(20);
    // Those that were under way then end with 504, too.
    while (timeouts() < taken) await watched.more(20);
    const until = timeouts();
    await watched.more(3000, 100);
    findings.check(timeouts() === until, `${until} requests got 504 before the ejection, ${timeouts() - until} after it`);
    await watched.judge(findings);
    return findings;
  },
};

const SLOW = 1000;

export const slowBackend: DataPlaneFault = {
  number: 5,
  name: 'A slow backend under load',
  passes: "the circuit opens: what it can't take is refused at once; other routes' p99 within 1.2 times",
  async run(place) {
    const { lifetime, measure } = place;
    const findings = new Findings(`a backend that takes ${SLOW} ms for each answer, with maxRequests 10, asked by 40 clients; another route watched`);
    const slow = await FaultyBackend.start(lifetime);
    const more = `${service('slow', [slow.port])}---
apiVersion: tidegate.dev/v1alpha1
kind: BackendPolicy
metadata: { name: slow, namespace: default }
spec: { targetRefs: [{ kind: Service, name: slow }], circuitBreaker: { maxRequests: 10 } }
${apiRoute('slow', '  rules: [{ matches: [{ path: { value: /slow } }], backendRefs: [{ name: slow, port: 80 }] }]')}`;
    const { gateway } = await serve(place, { more });
    const watched = new Watched(place, gateway);
    await watched.quiet();
    // The crowd is there before, too: both cores are busy with clients and backends here, and what it costs them is not the fault's.
    const crowd = PROTOCOLS.map((protocol) =>
      Traffic.start(lifetime, {
        protocol,
        port: gateway.http,
        path: '/slow',
        clients: 20,
        rest: 100,
        wanted: ({ status }) => status === 200 || status === 503,
      }),
    );
    await watched.more(1000, 50);
    watched.latencies();
    await watched.more(4000, 100);
    const before = percentile(watched.latencies(), 99);
    for (const traffic of crowd) traffic.latencies();
    const slowBefore = slow.requests;
    slow.behave = (request, response) => void setTimeout(() => answers(request, response), SLOW);
    const statuses = (status: number): number => crowd.reduce((sum, traffic) => sum + (traffic.statuses.get(status) ?? 0), 0);
    const quickBefore = statuses(200);
    await watched.more(5000, 200);
    while (slow.requests < slowBefore + 10) await watched.more(20);
    while (statuses(200) < quickBefore + 20 || statuses(503) === 0) await watched.more(20);
    const during = percentile(watched.latencies(), 99);
    const refused: number[] = [];
    for (const traffic of crowd) {
      await traffic.stop();
      refused.push(...traffic.latencies().filter((latency) => latency < SLOW / 2));
    }
    findings.check(
      crowd.every((traffic) => traffic.failed === 0),
      `${statuses(200) - quickBefore} slow answers, ${statuses(503)} refused`,
      crowd.flatMap((traffic) => traffic.failures).join('; '),
    );
    findings.note(`refused in ${percentile(refused, 50).toFixed(1)} ms (median)`);
    findings.checkTime({ measure }, !(during > before * 1.2), `p99 of the other route ${before.toFixed(1)} ms before, ${during.toFixed(1)} ms meanwhile`);
    await watched.judge(findings);
    return findings;
  },
};

export const allDown: DataPlaneFault = {
  number: 6,
  name: 'All backends down',
  passes: 'an error within 50 ms, retries within their budget; served again when they are back',
  async run(place) {
    const { measure } = place;
    const findings = new Findings('three backends stopped under load, and started again; two retries each, after 10 and 20 ms at most; TCP checks each second');
    const { gateway, backends } = await serve(place, {
      // What a retry waits is the route's own wish: with 25 ms, the default, two of them may take 75 ms.
      rule: 'retry: { attempts: 2, on: [connect-failure, reset], backoff: 10ms }',
      policy: 'healthCheck: { active: { type: TCP, interval: 1s, unhealthyThreshold: 2, healthyThreshold: 1 } }',
    });
    const ports = backends.map((backend) => backend.port);
    // The first requests meet connections that are being cut.
    const watched = new Watched(place, gateway, { wanted: ({ status }) => status === 200 || status === 502 || status === 503 });
    await watched.quiet();
    for (const backend of backends) await backend.stop();
    const retriesBefore = await sumOf(gateway, 'tidegate_retries_total');
    const [sentBefore, began] = [watched.traffics.reduce((sum, traffic) => sum + traffic.total, 0), performance.now()];
    watched.latencies();
    await watched.more(3000, 200);
    while (watched.traffics.some((traffic) => (traffic.statuses.get(503) ?? 0) === 0)) await watched.more(50);
    const errors = percentile(watched.latencies(), 99);
    findings.checkTime({ measure }, errors <= 50, `p99 of the errors ${errors.toFixed(1)} ms`);
    const retries = (await sumOf(gateway, 'tidegate_retries_total')) - retriesBefore;
    const sent = watched.traffics.reduce((sum, traffic) => sum + traffic.total, 0) - sentBefore;
    const seconds = (performance.now() - began) / 1000;
    // A fifth of the requests of the last ten seconds, of which some are from before, and three a second at least.
    const budget = 0.2 * (sent + sentBefore) + 3 * (seconds + 10);
    findings.check(retries <= budget, `${retries} retries of ${sent} requests`);
    for (const [index, backend] of backends.entries()) await backend.listen(ports[index] as number);
    const good = (): number => watched.traffics.reduce((sum, traffic) => sum + (traffic.statuses.get(200) ?? 0), 0);
    const goodBefore = good();
    while (good() === goodBefore) await watched.more(20);
    findings.note('served again');
    await watched.judge(findings);
    return findings;
  },
};
