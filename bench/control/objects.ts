/** The cluster that `make bench-control` makes: many Ingresses with two rules each, Services, and ten endpoints for each of them. */
import { CONTROLLER_NAME } from '../../src/resources/ingress-class.ts';
import type { KubernetesObject } from '../../test-e2e/cluster/api-client.ts';

export const PATHS_PER_INGRESS = 2;
export const ENDPOINTS_PER_SERVICE = 10;

/** Where every endpoint listens: one backend answers on all pod addresses. */
export const POD_PORT = 9000;

const NAMESPACES = 20;
/** Last parts of an address that are used: 1 to 250. */
const PER_BLOCK = 250;
/** Blocks 10.244.0 to 10.244.127 are those of the start, the others for endpoints that come later. */
const LATER_BLOCK = 128;

export interface Size {
  readonly ingresses: number;
  readonly services: number;
}

export function namespaceOf(index: number): string {
  return `scale-${String(index % NAMESPACES).padStart(2, '0')}`;
}

export function hostOf(ingress: number): string {
  return `shop-${ingress}.example.com`;
}

/** `ingress`'s path `/` leads to the first, `/api` to the second; both are of its namespace. */
export function servicesOf(ingress: number, { services }: Size): readonly [number, number] {
  return [ingress % services, (ingress + NAMESPACES) % services];
}

/** @param place of the endpoint, over all Services */
export function addressOf(place: number): string {
  return `10.244.${Math.floor(place / PER_BLOCK)}.${(place % PER_BLOCK) + 1}`;
}

/** Ten addresses that no Service had at the start. @param round each has its own, as far as there are any */
export function laterAddresses(round: number): string[] {
  const places = (256 - LATER_BLOCK) * PER_BLOCK;
  return Array.from({ length: ENDPOINTS_PER_SERVICE }, (_, index) => addressOf(LATER_BLOCK * PER_BLOCK + ((round * ENDPOINTS_PER_SERVICE + index) % places)));
}

/** Which Service had the address at the start. */
export function serviceAt(address: string): number {
  const [, , block, last] = address.split('.').map(Number) as [number, number, number, number];
  return Math.floor((block * PER_BLOCK + last - 1) / ENDPOINTS_PER_SERVICE);
}

export function ingress(name: string, namespace: string, host: string, backends: Readonly<Record<string, number>>): KubernetesObject {
  const paths = Object.entries(backends).map(([path, service]) => ({
    path,
    pathType: 'Prefix',
    backend: { service: { name: `app-${service}`, port: { number: 80 } } },
  }));
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, namespace, labels: { app: name, team: namespace }, annotations: { 'example.com/owner': `${namespace}@example.com` } },
    spec: { ingressClassName: 'tidegate', rules: [{ host, http: { paths } }] },
  };
}

export function ingressAt(index: number, size: Size): KubernetesObject {
  const [first, second] = servicesOf(index, size);
  return ingress(`shop-${index}`, namespaceOf(index), hostOf(index), { '/': first, '/api': second });
}

export function endpointSlice(service: number, addresses: readonly string[]): KubernetesObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `app-${service}-1`, namespace: namespaceOf(service), labels: { 'kubernetes.io/service-name': `app-${service}` } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: POD_PORT, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true, serving: true, terminating: false } })),
  };
}

/** What has to be there before the rest. */
export function* foundations(): Generator<KubernetesObject> {
  yield { apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name: 'tidegate' }, spec: { controller: CONTROLLER_NAME } };
  for (let index = 0; index < NAMESPACES; index++) yield { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespaceOf(index) } };
}

export function* everything(size: Size): Generator<KubernetesObject> {
  for (let index = 0; index < size.services; index++) {
    yield {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `app-${index}`, namespace: namespaceOf(index) },
      spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80, targetPort: POD_PORT, protocol: 'TCP' }] },
    };
    const first = index * ENDPOINTS_PER_SERVICE;
    yield endpointSlice(
      index,
      Array.from({ length: ENDPOINTS_PER_SERVICE }, (_, place) => addressOf(first + place)),
    );
  }
  for (let index = 0; index < size.ingresses; index++) yield ingressAt(index, size);
}
