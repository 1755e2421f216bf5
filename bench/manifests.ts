/** Manifests for Tidegate: one route for everything, and 10,000 of them on 1,000 hosts. */
import type { Certificate, Setting } from './subjects.ts';
import { ISSUER, jwks } from './tokens.ts';

/** The same as in wrk/routes.lua. */
export const HOSTS: readonly string[] = Array.from({ length: 1000 }, (_, index) => `h${index}.example.com`);
export const PATHS: readonly string[] = Array.from({ length: 10 }, (_, index) => `/p${index}`);

/** @returns file names and their text */
export function tidegateManifests(certificate: Certificate, backendPort: number, setting: Setting): readonly (readonly [name: string, text: string])[] {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const files: [string, string][] = [
    [
      'backend.yaml',
      `apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: tidegate }
spec: { controller: tidegate.dev/ingress-controller }
---
apiVersion: v1
kind: Service
metadata: { name: backend, namespace: bench }
spec: { ports: [{ name: http, port: 80, targetPort: ${backendPort} }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: backend-1, namespace: bench, labels: { kubernetes.io/service-name: backend } }
addressType: IPv4
ports: [{ name: http, port: ${backendPort}, protocol: TCP }]
endpoints: [{ addresses: [127.0.0.1], conditions: { ready: true } }]
---
apiVersion: v1
kind: Secret
metadata: { name: tls, namespace: bench }
type: kubernetes.io/tls
data: { tls.crt: ${base64(certificate.chain)}, tls.key: ${base64(certificate.key)} }
`,
    ],
    [
      'route.yaml',
      `apiVersion: tidegate.dev/v1alpha1
kind: ApiRoute
metadata: { name: all, namespace: bench }
spec:
  ingressClassName: tidegate
  rules:
    - ${setting.aggregate === true ? AGGREGATE : 'backendRefs: [{ name: backend, port: 80 }]'}
${ruleOptions(setting)}`,
    ],
  ];
  const policy = backendPolicy(setting);
  if (policy !== '') files.push(['backend-policy.yaml', policy]);
  if (setting.gateway === true) {
    files.push([
      'auth.yaml',
      `apiVersion: tidegate.dev/v1alpha1
kind: AuthPolicy
metadata: { name: all, namespace: bench }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: all }]
  methods:
    - jwt: { issuer: "${ISSUER}", audiences: [bench], jwks: { inline: '${jwks}' } }
`,
    ]);
  }
  if (setting.rateLimit === true || setting.globalLimit === true || setting.gateway === true) {
    files.push([
      'rate-limit.yaml',
      `apiVersion: tidegate.dev/v1alpha1
kind: RateLimitPolicy
metadata: { name: all, namespace: bench }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: all }]
  scope: ${setting.globalLimit === true ? 'Global' : 'Local'}
  limits:
    - { name: per-client, requests: 1000000, period: 1s, key: [{ type: ClientIP }] }
`,
    ]);
  }
  return files;
}

/** Three calls at once, and some of each answer. */
const AGGREGATE = `filters:
        aggregate:
          calls:
            - { name: one, backendRef: { name: backend, port: 80 }, request: { path: "'/one'" } }
            - { name: two, backendRef: { name: backend, port: 80 }, request: { path: "'/two'" } }
            - { name: three, backendRef: { name: backend, port: 80 }, request: { path: "'/three'" } }
          response:
            body: "{'one': one.body.name, 'two': two.body.price, 'three': three.body.tags}"`;

/** What the one rule has besides its backend, as lines of YAML. */
function ruleOptions({ cache, compression, gateway, healing }: Setting): string {
  const filters: string[] = [];
  if (compression !== undefined) filters.push(`compression: { algorithms: [${compression}] }`);
  if (cache === true) filters.push('cache: {}');
  if (gateway === true) filters.push('requestHeaderModifier: { set: [{ name: X-Bench, value: "1" }] }');
  const lines = filters.length === 0 ? [] : [`filters: { ${filters.join(', ')} }`];
  if (healing === true) lines.push('retry: { attempts: 2, on: [connect-failure, reset, 503] }');
  return lines.map((line) => `      ${line}\n`).join('');
}

function backendPolicy({ backend, healing }: Setting): string {
  const spec: string[] = [];
  if (backend === 'h2c' || backend === 'grpc') spec.push('protocol: H2C');
  if (healing === true) {
    spec.push(
      'sessionAffinity: { cookieName: TG }',
      'healthCheck: { active: { type: HTTP, path: /, interval: 1s }, passive: { consecutiveErrors: 5 } }',
      'circuitBreaker: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, failurePercent: 50 }',
    );
  }
  if (spec.length === 0) return '';
  return `apiVersion: tidegate.dev/v1alpha1
kind: BackendPolicy
metadata: { name: backend, namespace: bench }
spec:
  targetRefs: [{ kind: Service, name: backend }]
${spec.map((line) => `  ${line}\n`).join('')}`;
}

/** An Ingress for each host, with ten paths. */
export function routeManifests(): string {
  return HOSTS.map((host, index) => {
    const paths = PATHS.map((path) => `          - { path: ${path}, pathType: Prefix, backend: { service: { name: backend, port: { number: 80 } } } }`);
    return `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: h${index}, namespace: bench }
spec:
  ingressClassName: tidegate
  rules:
    - host: ${host}
      http:
        paths:
${paths.join('\n')}
`;
  }).join('---\n');
}
