/** Pieces of manifests that tests put together. */

/** A Service `name` with port 80 and its endpoints on loopback. */
export function service(name: string, ports: readonly number[], namespace = 'default'): string {
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec: { ports: [{ name: http, port: 80 }] }
${endpoints(name, ports, namespace)}`;
}

/** A slice for each port, since a slice has one port for all its addresses. */
export function endpoints(name: string, ports: readonly number[], namespace = 'default', conditions = '{ ready: true }'): string {
  return ports
    .map(
      (port, index) => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-${index}, namespace: ${namespace}, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ name: http, port: ${port}, protocol: TCP }]
endpoints: [{ addresses: [127.0.0.1], conditions: ${conditions} }]
`,
    )
    .join('');
}

/** An ApiRoute whose spec is given as YAML, indented by two. */
export function apiRoute(name: string, spec: string): string {
  return `---
apiVersion: tidegate.dev/v1alpha1
kind: ApiRoute
metadata: { name: ${name}, namespace: default }
spec:
${spec.replace(/^\n+|\s+$/g, '')}
`;
}

/** Everything goes to one Service. */
export function catchAll(name: string): string {
  return apiRoute(name, `  rules: [{ backendRefs: [{ name: ${name}, port: 80 }] }]`);
}
