/** What is watched, and where the API server has it. */
import { KINDS, type Kind } from '../../resources/kinds.ts';

export interface Collection {
  readonly kind: Kind;
  /** As in paths and permissions; the label of metrics. */
  readonly resource: string;
  /** In which versions it may be had, the newest first. */
  readonly groupVersions: readonly string[];
  /** The gateway goes on without it when the cluster has no such kind. */
  readonly mayBeAbsent: boolean;
}

const RESOURCES: Readonly<Record<string, string>> = {
  IngressClass: 'ingressclasses',
  Ingress: 'ingresses',
  ApiRoute: 'apiroutes',
  RateLimitPolicy: 'ratelimitpolicies',
  AuthPolicy: 'authpolicies',
  ApiConsumer: 'apiconsumers',
  BackendPolicy: 'backendpolicies',
  Service: 'services',
  EndpointSlice: 'endpointslices',
  Secret: 'secrets',
  ConfigMap: 'configmaps',
  ReferenceGrant: 'referencegrants',
};

export const COLLECTIONS: readonly Collection[] = KINDS.map((kind) => {
  const resource = RESOURCES[kind.kind];
  if (resource === undefined) throw new TypeError(`kind ${kind.kind} has no resource name`);
  const groupVersions = [kind.apiVersion, ...(kind.otherVersions ?? [])];
  return { kind, resource, groupVersions, mayBeAbsent: !isBuiltIn(kind.apiVersion) };
});

/** Of a group that every cluster has. */
export function isBuiltIn(apiVersion: string): boolean {
  return apiVersion === 'v1' || apiVersion.startsWith('networking.k8s.io/') || apiVersion.startsWith('discovery.k8s.io/');
}

/** @param namespace undefined: all of them, or none for cluster-scoped kinds */
export function pathsOf({ groupVersions, resource }: Collection, namespace?: string): string[] {
  const inNamespace = namespace === undefined ? '' : `/namespaces/${namespace}`;
  return groupVersions.map((version) => `${version === 'v1' ? '/api/v1' : `/apis/${version}`}${inNamespace}/${resource}`);
}

/** A kind that is missing here is a fault of ours. */
export function collectionOf(kind: string): Collection {
  return COLLECTIONS.find((one) => one.kind.kind === kind) as Collection;
}
