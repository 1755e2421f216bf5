/** What says who may call goes away: a service of external authorization. */
import { apiRoute, service } from '../gateway/manifests.ts';
import { answers, type Behaviour, FaultyBackend } from './backend.ts';
import { type DataPlaneFault, type Place, serve, sumOf, Watched } from './fault.ts';
import { Findings } from './findings.ts';
import { type Outcome, Traffic } from './traffic.ts';

/** How long the gateway waits for it (ms). */
const TIMEOUT = 1000;

/** What becomes of it; undefined: nobody listens at its port. */
const STATES: readonly (readonly [what: string, behaviour: Behaviour | undefined])[] = [
  ['silent', () => {}],
  ['answering 500', (_request, response) => response.writeHead(500).end()],
  ['gone', undefined],
];

export const authorizerDown: DataPlaneFault = {
  number: 17,
  name: 'External authorization down',
  passes: 'fails closed: 503 for every guarded request, in time; 0 errors elsewhere; it serves again once the service is back',
  async run(place) {
    const findings = new Findings(`the service of external authorization silent (timeout ${TIMEOUT}ms), answering 500, and gone, under load on other routes`);
    const authorizer = await FaultyBackend.start(place.lifetime);
    const guarded = await FaultyBackend.start(place.lifetime);
    const more = `${service('authorizer', [authorizer.port])}${service('guarded', [guarded.port])}${apiRoute('guarded', '  rules: [{ matches: [{ path: { value: /guarded } }], backendRefs: [{ name: guarded, port: 80 }] }]')}---
apiVersion: tidegate.dev/v1alpha1
kind: AuthPolicy
metadata: { name: guarded, namespace: default }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: guarded }]
  externalAuthorization: { backendRef: { name: authorizer, port: 80 }, timeout: ${TIMEOUT}ms }
`;
    const { gateway } = await serve(place, { more });
    const served = place.measure.full ? 2000 : 20;
    findings.checkLoad(await ask(place, gateway.http, 200, served), undefined, 'guarded requests before');
    const watched = new Watched(place, gateway);
    await watched.quiet();
    for (const [what, behaviour] of STATES) {
      const { port } = authorizer;
      if (behaviour === undefined) await authorizer.stop();
      else authorizer.behave = behaviour;
      const before = guarded.requests;
      const traffic = await ask(place, gateway.http, 503, place.measure.full ? 100 : 4);
      findings.check(traffic.failed === 0, `${what}: ${traffic.answered} of ${traffic.total} guarded requests got 503`, traffic.failures.join('; '));
      findings.check(guarded.requests === before, `${guarded.requests - before} of them reached the backend`);
      const slowest = Math.max(...traffic.latencies());
      findings.checkTime(place, slowest < TIMEOUT * 1.2, `answered after ${slowest.toFixed(0)} ms at most`);
      if (behaviour === undefined) await authorizer.listen(port);
    }
    const refused = await sumOf(gateway, 'tidegate_auth_decisions_total{policy="default/guarded",method="externalAuthorization",decision="failed"');
    findings.check(refused > 0, `${refused} decisions counted as failed`);
    authorizer.behave = answers;
    findings.checkLoad(await ask(place, gateway.http, 200, served), undefined, 'guarded requests after its return');
    await watched.judge(findings);
    return findings;
  },
};

/** Requests to the guarded route, all of which are to get that status. */
async function ask({ lifetime }: Place, port: number, status: number, count: number): Promise<Traffic> {
  const traffic = Traffic.start(lifetime, { protocol: 'HTTP/1.1', port, path: '/guarded', wanted: (outcome: Outcome) => outcome.status === status });
  await traffic.more(count);
  await traffic.stop();
  return traffic;
}
