/** Objects that are right but for what a test puts into them. */

export type Fields = Readonly<Record<string, unknown>>;

export const metadata = { name: 'x', namespace: 'shop' };

export const route = (spec: Fields): Fields => ({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata, spec });
export const backendRefs = [{ name: 's', port: 80 }];
export const rule = (fields: Fields): Fields => route({ rules: [{ backendRefs, ...fields }] });
export const match = (fields: Fields): Fields => rule({ matches: [fields] });
export const filters = (fields: Fields): Fields => rule({ filters: fields });
export const limitPolicy = (spec: Fields): Fields => ({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'RateLimitPolicy', metadata, spec });
export const target = { group: 'tidegate.dev', kind: 'ApiRoute', name: 'x' };
export const limit = (fields: Fields): Fields => limitPolicy({ targetRefs: [target], limits: [{ requests: 5, ...fields }] });
export const backendPolicy = (fields: Fields): Fields => ({
  ...{ apiVersion: 'tidegate.dev/v1alpha1', kind: 'BackendPolicy', metadata },
  spec: { targetRefs: [{ kind: 'Service', name: 's' }], ...fields },
});
export const ingress = (spec: Fields): Fields => ({ apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata, spec });
export const backend = { service: { name: 's', port: { number: 80 } } };
export const path = (fields: Fields): Fields => ingress({ rules: [{ http: { paths: [{ path: '/', pathType: 'Prefix', backend, ...fields }] } }] });
export const service = (spec: Fields): Fields => ({ apiVersion: 'v1', kind: 'Service', metadata, spec });
export const slice = (fields: Fields): Fields => ({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, addressType: 'IPv4', ...fields });
