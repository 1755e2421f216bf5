/** The kinds that Tidegate reads, and how an object that is misnamed is told from one that is not ours. */
import type { z } from 'zod';
import { apiConsumerSchema } from './api-consumer.ts';
import { type ApiRoute, apiRouteSchema } from './api-route.ts';
import { authPolicySchema, closedTargets } from './auth-policy.ts';
import { backendPolicySchema } from './backend-policy.ts';
import { type ConfigMap, configMapSchema } from './config-map.ts';
import { endpointSliceSchema } from './endpoint-slice.ts';
import { quote } from './fields.ts';
import { ingressSchema } from './ingress.ts';
import { CONTROLLER_NAME, type IngressClass, ingressClassSchema } from './ingress-class.ts';
import { rateLimitPolicySchema } from './rate-limit-policy.ts';
import { REFERENCE_GRANT_VERSIONS, referenceGrantSchema } from './reference-grant.ts';
import type { ClosedTarget, ResourceSet } from './resource-set.ts';
import { type Secret, secretSchema } from './secret.ts';
import { serviceSchema } from './service.ts';
import type { Flaw } from './strict-object.ts';
import { nearest } from './suggestion.ts';
import { AUTHORITIES_KEY } from './trust-anchors.ts';

export const GROUP = 'tidegate.dev';

/** The maps of a ResourceSet. */
export type SetField = Exclude<keyof ResourceSet, 'apiServer' | 'fileProblems' | 'rejected'>;

export interface Kind {
  readonly kind: string;
  readonly apiVersion: string;
  /** In which the same schema holds. */
  readonly otherVersions?: readonly string[];
  readonly field: SetField;
  readonly scope: 'Namespaced' | 'Cluster';
  readonly schema: z.ZodType;
  /**
   * What is questionable about a good object.
   * @param now milliseconds since the epoch; absent: nothing that depends on the time is looked at
   */
  readonly warnings?: (object: never, now: number | undefined) => readonly Flaw[];
  /** Of a policy that fails closed: see `Entry.closes`. @param value the object as read */
  readonly closes?: (value: Readonly<Record<string, unknown>>) => readonly ClosedTarget[];
}

export const KINDS: readonly Kind[] = [
  { kind: 'IngressClass', apiVersion: 'networking.k8s.io/v1', field: 'ingressClasses', scope: 'Cluster', schema: ingressClassSchema, warnings: classWarnings },
  { kind: 'Ingress', apiVersion: 'networking.k8s.io/v1', field: 'ingresses', scope: 'Namespaced', schema: ingressSchema },
  { kind: 'ApiRoute', apiVersion: `${GROUP}/v1alpha1`, field: 'apiRoutes', scope: 'Namespaced', schema: apiRouteSchema, warnings: routeWarnings },
  { kind: 'RateLimitPolicy', apiVersion: `${GROUP}/v1alpha1`, field: 'rateLimitPolicies', scope: 'Namespaced', schema: rateLimitPolicySchema },
  {
    kind: 'AuthPolicy',
    apiVersion: `${GROUP}/v1alpha1`,
    field: 'authPolicies',
    scope: 'Namespaced',
    schema: authPolicySchema,
    closes: closedTargets,
  },
  { kind: 'ApiConsumer', apiVersion: `${GROUP}/v1alpha1`, field: 'apiConsumers', scope: 'Namespaced', schema: apiConsumerSchema },
  { kind: 'BackendPolicy', apiVersion: `${GROUP}/v1alpha1`, field: 'backendPolicies', scope: 'Namespaced', schema: backendPolicySchema },
  { kind: 'Service', apiVersion: 'v1', field: 'services', scope: 'Namespaced', schema: serviceSchema },
  { kind: 'EndpointSlice', apiVersion: 'discovery.k8s.io/v1', field: 'endpointSlices', scope: 'Namespaced', schema: endpointSliceSchema },
  { kind: 'Secret', apiVersion: 'v1', field: 'secrets', scope: 'Namespaced', schema: secretSchema, warnings: secretWarnings },
  { kind: 'ConfigMap', apiVersion: 'v1', field: 'configMaps', scope: 'Namespaced', schema: configMapSchema, warnings: configMapWarnings },
  {
    kind: 'ReferenceGrant',
    apiVersion: REFERENCE_GRANT_VERSIONS[0],
    otherVersions: REFERENCE_GRANT_VERSIONS.slice(1),
    field: 'referenceGrants',
    scope: 'Namespaced',
    schema: referenceGrantSchema,
  },
];

const OURS: ReadonlyMap<string, Kind> = new Map(KINDS.map((kind) => [kind.kind, kind]));
const GROUP_KINDS = KINDS.filter((kind) => groupOf(kind.apiVersion) === GROUP).map((kind) => kind.kind);

/** Kinds of others that happen to bear a name of ours; passed over. */
const NAMESAKES: ReadonlySet<string> = new Set([
  'serving.knative.dev/Service',
  'networking.internal.knative.dev/Ingress',
  'config.openshift.io/Ingress',
  'kuadrant.io/RateLimitPolicy',
  'kuadrant.io/AuthPolicy',
]);

/** Kinds of Kubernetes that are near enough to one of ours to be taken for its misspelling. */
const NEIGHBOURS: ReadonlySet<string> = new Set([
  'Endpoints',
  'ServiceCIDR',
  'ServiceAccount',
  'EndpointSliceList',
  'ServiceList',
  'ConfigMapList',
  'SecretList',
  'IngressList',
]);

export type Identity =
  | { readonly type: 'Ours'; readonly kind: Kind }
  /** One of our kinds in a group or version that does not have it. */
  | { readonly type: 'WrongVersion'; readonly kind: Kind; readonly flaw: Flaw }
  | { readonly type: 'Rejected'; readonly flaw: Flaw }
  | { readonly type: 'NotOurs' };

const NOT_OURS: Identity = { type: 'NotOurs' };

/** Which of the kinds an object with this apiVersion and kind is. */
export function identify(apiVersion: string, kind: string): Identity {
  const group = groupOf(apiVersion);
  const ours = OURS.get(kind);
  if (ours !== undefined) {
    if (ours.apiVersion === apiVersion || ours.otherVersions?.includes(apiVersion) === true) return { type: 'Ours', kind: ours };
    if (NAMESAKES.has(`${group}/${kind}`)) return NOT_OURS;
    const what =
      group === groupOf(ours.apiVersion) ? `version ${quote(apiVersion)} of kind ${kind} is not known` : `kind ${kind} is not in ${quote(apiVersion)}`;
    return { type: 'WrongVersion', kind: ours, flaw: { message: what, hint: `write apiVersion: ${ours.apiVersion}`, path: ['apiVersion'] } };
  }
  if (group === GROUP) {
    const near = nearest(kind, GROUP_KINDS);
    const hint = near === undefined ? `kinds of ${GROUP} are ${GROUP_KINDS.join(', ')}` : `did you mean ${near}?`;
    return { type: 'Rejected', flaw: { message: `${GROUP} has no kind ${quote(kind)}`, hint, path: ['kind'] } };
  }
  const near = NEIGHBOURS.has(kind)
    ? undefined
    : nearest(
        kind,
        KINDS.filter((one) => groupOf(one.apiVersion) === group).map((one) => one.kind),
      );
  if (near === undefined) return NOT_OURS;
  const flaw = { message: `${quote(apiVersion)} has no kind ${quote(kind)}`, hint: `did you mean ${near}?`, path: ['kind'] };
  return { type: 'Rejected', flaw };
}

function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf('/');
  return slash < 0 ? '' : apiVersion.slice(0, slash);
}

function classWarnings(object: IngressClass): readonly Flaw[] {
  if (object.spec.controller !== CONTROLLER_NAME || object.spec.parameters === undefined) return [];
  return [{ message: 'IngressClasses of Tidegate take no parameters', hint: 'leave parameters out', path: ['spec', 'parameters'] }];
}

function routeWarnings(object: ApiRoute): readonly Flaw[] {
  return object.spec.rules.flatMap((rule, index) => {
    const { requestRedirect, directResponse, aggregate, grpcJson } = rule.filters;
    if (rule.backendRefs.length > 0 || (requestRedirect ?? directResponse ?? aggregate ?? grpcJson) !== undefined) return [];
    return [
      {
        message: 'the rule has no backendRefs and no filter that answers: its requests get 404',
        hint: 'list backendRefs, or write requestRedirect, directResponse, aggregate or grpcJson',
        path: ['spec', 'rules', index, 'backendRefs'],
      },
    ];
  });
}

function configMapWarnings({ trust }: ConfigMap, now: number | undefined): readonly Flaw[] {
  if (trust.notAfter === undefined || now === undefined || trust.notAfter >= now) return [];
  const message = `a certificate in ${AUTHORITIES_KEY} expired at ${new Date(trust.notAfter).toISOString()}`;
  return [{ message, hint: 'put the one that replaced it there: what it has issued does not verify', path: ['data', AUTHORITIES_KEY] }];
}

function secretWarnings(object: Secret, now: number | undefined): readonly Flaw[] {
  if (object.tls === undefined || now === undefined) return [];
  const { notAfter, notBefore, field } = object.tls;
  const path = [field, 'tls.crt'];
  if (notAfter < now) return [{ message: `the certificate expired at ${new Date(notAfter).toISOString()}`, hint: 'renew it', path }];
  if (notBefore > now)
    return [{ message: `the certificate is not valid before ${new Date(notBefore).toISOString()}`, hint: 'use one that is valid now', path }];
  return [];
}
