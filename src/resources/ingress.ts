/** networking.k8s.io/v1 Ingress, validated as its API server does. */
import { z } from 'zod';
import { dnsLabelFlaw, dnsSubdomain, hostname, hostnameFlaw, oneOf, portNumber, quote, text } from './fields.ts';
import { namespacedMetadata, unused } from './metadata.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const servicePort = strictObject({ name: text(dnsLabelFlaw).exactOptional(), number: portNumber.exactOptional() }).superRefine(
  flaws((port) => {
    if (port.name !== undefined && port.number !== undefined) return { message: 'the port has both name and number', hint: 'keep one of them' };
    if (port.name === undefined && port.number === undefined)
      return { message: 'the port has neither name nor number', hint: 'write { number: 80 } or { name: http }' };
    return undefined;
  }),
);

const backend = strictObject({
  service: strictObject({ name: text(dnsLabelFlaw), port: servicePort }).exactOptional(),
  /** Another object than a Service. It is taken, and no request can be sent there. */
  resource: strictObject({ apiGroup: z.string().exactOptional(), kind: z.string(), name: z.string() }).exactOptional(),
}).superRefine(
  flaws((value) => {
    if (value.service !== undefined && value.resource !== undefined) return { message: 'the backend has both service and resource', hint: 'keep one of them' };
    if (value.service === undefined && value.resource === undefined) {
      return { message: 'the backend names no service', hint: 'write service: { name: shop, port: { number: 80 } }' };
    }
    return undefined;
  }),
);

/** What the API server refuses in Exact and Prefix paths. */
const REFUSED_SEQUENCES = ['//', '/./', '/../', '%2f', '%2F'];
const REFUSED_ENDS = ['/..', '/.'];

function pathFlaw(type: string, path: string): Flaw | undefined {
  if (!path.startsWith('/')) return { message: `${quote(path)} does not begin with /`, hint: `write /${path}`, path: ['path'] };
  if (type === 'ImplementationSpecific') return undefined;
  const refused = REFUSED_SEQUENCES.find((sequence) => path.includes(sequence)) ?? REFUSED_ENDS.find((end) => path.endsWith(end));
  if (refused === undefined) return undefined;
  return { message: `${quote(path)} has ${quote(refused)}, which no ${type} path may have`, hint: 'write the path in its normal form', path: ['path'] };
}

const httpPath = strictObject({
  path: z.string().exactOptional(),
  pathType: oneOf(['Exact', 'Prefix', 'ImplementationSpecific']),
  backend,
})
  .superRefine(
    flaws((value) => {
      if (value.path !== undefined && value.path !== '') return pathFlaw(value.pathType, value.path);
      if (value.pathType === 'ImplementationSpecific') return undefined;
      return { message: `pathType ${value.pathType} needs a path`, hint: 'write / for every path', path: ['path'] };
    }),
  )
  .transform((value) => ({ ...value, path: value.path === undefined || value.path === '' ? '/' : value.path }));

const rule = strictObject({
  host: text((value) => (value === '' ? undefined : hostnameFlaw(value, { wildcard: true }))).exactOptional(),
  http: strictObject({ paths: z.array(httpPath).min(1) }).exactOptional(),
}).transform(({ host, http }) => ({ ...(host === undefined || host === '' ? {} : { host }), paths: http?.paths ?? [] }));

export const ingressSchema = strictObject({
  apiVersion: z.literal('networking.k8s.io/v1'),
  kind: z.literal('Ingress'),
  metadata: namespacedMetadata(),
  spec: strictObject({
    ingressClassName: dnsSubdomain.exactOptional(),
    defaultBackend: backend.exactOptional(),
    tls: z.array(strictObject({ hosts: z.array(hostname).default([]), secretName: dnsSubdomain.exactOptional() })).default([]),
    rules: z.array(rule).default([]),
  }).superRefine(
    flaws((spec) =>
      spec.rules.length === 0 && spec.defaultBackend === undefined
        ? { message: 'the Ingress has neither rules nor defaultBackend', hint: 'write at least one of them', path: ['rules'] }
        : undefined,
    ),
  ),
  status: unused,
});

export type Ingress = z.output<typeof ingressSchema>;
export type IngressBackend = z.output<typeof backend>;
