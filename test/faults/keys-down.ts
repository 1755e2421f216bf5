/** What says who may call goes away: the key set of a tokens' issuer. */
import { ec } from '../../src/policies/auth/jwt/tokens.fixture.ts';
import { type Answering, IdentityProvider, ISSUER } from '../gateway/identity-provider.ts';
import { apiRoute } from '../gateway/manifests.ts';
import { type DataPlaneFault, type Place, serve, sumOf, Watched } from './fault.ts';
import { Findings } from './findings.ts';
import { Traffic } from './traffic.ts';

/** What becomes of it, and how the gateway calls that; `gone`: nobody listens at its port. */
const STATES: readonly (readonly [what: string, result: string, answering: Answering | 'gone'])[] = [
  ['gone', 'connect_failed', 'gone'],
  ['answering 500', 'bad_status', (_, response) => response.writeHead(500).end()],
  ['answering nonsense', 'bad_content', (_, response) => response.end('<html>')],
  ['silent', 'timed_out', () => {}],
];

export const keysDown: DataPlaneFault = {
  number: 17,
  name: 'A key set down',
  passes: 'keys that were had serve on; without any, 503; 0 errors elsewhere; it serves again, and by new keys, once the key set is back',
  async run(place) {
    const findings = new Findings('the key set of tokens (cacheFor 1s) gone, answering 500 and nonsense, and silent, under load on other routes');
    const provider = await IdentityProvider.start(place.lifetime);
    const { port } = provider;
    const keys = provider.answers.get('/keys') as Answering;
    const policy = (
      name: string,
    ): string => `${apiRoute(name, `  rules: [{ matches: [{ path: { value: /${name} } }], backendRefs: [{ name: web, port: 80 }] }]`)}---
apiVersion: tidegate.dev/v1alpha1
kind: AuthPolicy
metadata: { name: ${name}, namespace: default }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: ${name} }]
  methods: [{ jwt: { issuer: "${ISSUER}", jwks: { uri: "http://127.0.0.1:${port}/${name}", cacheFor: 1s }, from: [{ queryParam: token }] } }]
`;
    const { gateway } = await serve(place, { more: policy('keys') + policy('never') });
    const few = place.measure.full ? 2000 : 8;
    const ask = async (path: string, status: number, what: string): Promise<void> => {
      const traffic = Traffic.start(place.lifetime, { protocol: 'HTTP/1.1', port: gateway.http, path, wanted: (outcome) => outcome.status === status });
      await traffic.more(few);
      await traffic.stop();
      findings.checkLoad(traffic, undefined, what);
    };
    const known = `/keys?token=${provider.token()}`;
    await ask(known, 200, 'requests with a token before');
    const watched = new Watched(place, gateway);
    await watched.quiet();
    // Each further failure takes longer to be tried again, and a time-out 5 s.
    for (const [what, result, answering] of STATES.slice(0, place.measure.full ? undefined : 1)) {
      if (answering === 'gone') await provider.stop();
      else provider.answers.set('/keys', answering);
      await untilTried(place, watched, () => sumOf(gateway, `tidegate_document_fetches_total{kind="jwks",result="${result}"`));
      await ask(known, 200, `requests with a known token, key set ${what},`);
      await ask(`/keys?token=${provider.token({ jti: what })}`, 200, 'with a new token of a known key');
      await ask(`/never?token=${provider.token()}`, 503, 'where no keys were ever had, to get 503');
      if (answering === 'gone') await provider.listen(port);
    }
    provider.keys = [['two', ec()]];
    provider.answers.set('/keys', keys);
    provider.answers.set('/never', keys);
    const fresh = `token=${provider.token({}, 'two')}`;
    const ok = (): Promise<number> => sumOf(gateway, 'tidegate_documents{kind="jwks",state="fresh"');
    await untilTried(place, watched, async () => ((await ok()) === 2 ? 1 : 0));
    await ask(`/keys?${fresh}`, 200, 'with a token of a new key after its return');
    await ask(`/never?${fresh}`, 200, 'where keys were had for the first time');
    await ask(known, 401, 'with a token of a key that is gone, to get 401');
    await watched.judge(findings);
    return findings;
  },
};

/** Traffic goes on until a try of the gateway has come to what is waited for. */
async function untilTried({ measure }: Place, watched: Watched, count: () => Promise<number>): Promise<void> {
  while ((await count()) < 1) await watched.more(measure.full ? 100 : 10);
}
