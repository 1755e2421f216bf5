import type { BadObject } from './bad-routes.ts';
import { backendRefs, filters, metadata, path, route, rule, service } from './objects.ts';

/** Objects of no kind, of another version, with bad metadata or fields that nobody knows: the problem names the field, what is wrong, what would be right. */
export const BAD_OBJECTS: readonly BadObject[] = [
  ['a number', 5, '', /no mapping/, /apiVersion, kind/],
  ['a list', [], '', /is a list/, /apiVersion, kind/],
  ['nothing', null, '', /empty/, /apiVersion, kind/],
  ['no apiVersion', { kind: 'ApiRoute' }, 'apiVersion', /missing/, /apiVersion and kind/],
  ['no kind', { apiVersion: 'v1' }, 'kind', /missing/, /apiVersion and kind/],
  ['a kind that is a number', { apiVersion: 'v1', kind: 5 }, 'kind', /no name/, /./],
  ['version of later', { ...rule({}), apiVersion: 'tidegate.dev/v1' }, 'apiVersion', /version "tidegate.dev\/v1" of kind ApiRoute/, /v1alpha1/],
  ['version of old', { ...path({}), apiVersion: 'extensions/v1beta1' }, 'apiVersion', /not in "extensions\/v1beta1"/, /networking.k8s.io\/v1/],
  ['version before', { ...path({}), apiVersion: 'networking.k8s.io/v1beta1' }, 'apiVersion', /version "networking.k8s.io\/v1beta1"/, /networking.k8s.io\/v1/],
  ['another group', { ...rule({}), apiVersion: 'gateway.networking.k8s.io/v1' }, 'apiVersion', /ApiRoute is not in/, /tidegate.dev/],
  ['a misspelt kind of ours', { ...rule({}), kind: 'ApiRuote' }, 'kind', /no kind "ApiRuote"/, /ApiRoute\?/],
  ['a kind that our group lacks', { ...rule({}), kind: 'Teapot' }, 'kind', /no kind "Teapot"/, /ApiRoute, RateLimitPolicy/],
  ['a misspelt kind of Kubernetes', { ...service({}), kind: 'Servise' }, 'kind', /no kind "Servise"/, /Service\?/],

  ['no name', { ...rule({}), metadata: {} }, 'metadata.name', /missing/, /string/],
  ['no metadata', { ...rule({}), metadata: undefined }, 'metadata', /missing/, /mapping/],
  ['name in upper case', { ...rule({}), metadata: { name: 'Shop' } }, 'metadata.name', /"Shop" is not a DNS/, /lower-case/],
  ['namespace with a dot', { ...rule({}), metadata: { name: 'x', namespace: 'a.b' } }, 'metadata.namespace', /DNS label/, /lower-case/],
  ['name that is a number', { ...rule({}), metadata: { name: 5 } }, 'metadata.name', /must be a string, not the number 5/, /"5"/],
  [
    'annotation that is a boolean',
    { ...path({}), metadata: { ...metadata, annotations: { 'a.b/c': true } } },
    'metadata.annotations["a.b/c"]',
    /boolean true/,
    /quotes: YAML 1.1/,
  ],
  ['annotation with a bad key', { ...path({}), metadata: { ...metadata, annotations: { 'a b': 'x' } } }, 'metadata.annotations["a b"]', /not a name/, /prefix/],
  ['metadata misspelt', { ...rule({}), metadata: { ...metadata, annotation: {} } }, 'metadata.annotation', /unknown field/, /annotations\?/],
  ['a date that is none', { ...rule({}), metadata: { ...metadata, creationTimestamp: 'yesterday' } }, 'metadata.creationTimestamp', /not a time/, /RFC 3339/],

  ['unknown field of the object', { ...rule({}), specs: {} }, 'specs', /unknown field "specs"/, /spec\?/],
  ['unknown field of the spec', route({ hostname: 'a.example', rules: [{ backendRefs }] }), 'spec.hostname', /unknown field/, /hostnames\?/],
  ['unknown field, nothing near', filters({ zzz: 1 }), 'spec.rules[0].filters.zzz', /unknown field/, /requestHeaderModifier/],
];
