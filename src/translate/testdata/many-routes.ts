/** A large set of manifests, for measuring. */
import type { Manifest } from './build-set.ts';

/** Rules of one ApiRoute, paths of one Ingress, rules that share a Service. */
const PER_OBJECT = 10;
const HOSTS = 1000;

/**
 * @param rules how many there are: half of them in ApiRoutes, half in Ingresses, ten an object, on up to 1,000 hosts, with a
 *   Service, a slice of three endpoints and a BackendPolicy for each ten, and a rate limit on each tenth object
 */
export function manyRoutes(rules: number): Manifest[] {
  return Array.from({ length: Math.ceil(rules / PER_OBJECT) }, (_, index) => manifestsOf(index)).flat();
}

function manifestsOf(index: number): Manifest[] {
  const namespace = `team-${index % 20}`;
  const metadata = (name: string): object => ({ name: `${name}-${index}`, namespace });
  const host = `host-${index % HOSTS}.example.com`;
  const places = [...Array(PER_OBJECT).keys()];
  const route =
    index % 2 === 0
      ? {
          apiVersion: 'tidegate.dev/v1alpha1',
          kind: 'ApiRoute',
          metadata: metadata('route'),
          spec: {
            hostnames: [host],
            rules: places.map((place) => ({
              name: `rule-${place}`,
              matches: [{ path: { value: `/v1/${index}/${place}` }, methods: ['GET', 'POST'], headers: [{ name: 'x-tenant', value: 'acme' }] }],
              filters: { requestHeaderModifier: { set: [{ name: 'x-rule', value: String(place) }] } },
              backendRefs: [{ name: `service-${index}`, port: 80 }],
            })),
          },
        }
      : {
          apiVersion: 'networking.k8s.io/v1',
          kind: 'Ingress',
          metadata: metadata('route'),
          spec: {
            ingressClassName: 'tidegate',
            rules: [
              {
                host,
                http: {
                  paths: places.map((place) => ({
                    path: `/v1/${index}/${place}`,
                    pathType: 'Prefix',
                    backend: { service: { name: `service-${index}`, port: { name: 'http' } } },
                  })),
                },
              },
            ],
          },
        };
  return [
    route,
    { apiVersion: 'v1', kind: 'Service', metadata: metadata('service'), spec: { ports: [{ name: 'http', port: 80 }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata('slice'), labels: { 'kubernetes.io/service-name': `service-${index}` } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080 }],
      endpoints: [1, 2, 3].map((last) => ({ addresses: [`10.${index >> 8}.${index & 255}.${last}`], zone: 'a' })),
    },
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'BackendPolicy',
      metadata: metadata('policy'),
      spec: { targetRefs: [{ kind: 'Service', name: `service-${index}` }], loadBalancer: { type: 'LeastRequest' } },
    },
    ...(index % 10 === 0
      ? [
          {
            apiVersion: 'tidegate.dev/v1alpha1',
            kind: 'RateLimitPolicy',
            metadata: metadata('limit'),
            spec: { targetRefs: [{ kind: route.kind, name: `route-${index}` }], limits: [{ requests: 100, period: '1m', key: [{ type: 'ClientIP' }] }] },
          },
        ]
      : []),
  ];
}
