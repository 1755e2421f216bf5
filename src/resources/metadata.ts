/** ObjectMeta: what of it Tidegate uses, and the names of the rest, so that a misspelt field is told. */
import { z } from 'zod';
import { dnsLabel, dnsSubdomain, dnsSubdomainFlaw, quote, text } from './fields.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

/** A field that the API server writes or others read; whatever it holds is fine. */
export const unused = z.unknown().optional();

/** RFC 3339, as Kubernetes writes times. */
const timestamp = text((value) =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i.test(value) && !Number.isNaN(Date.parse(value))
    ? undefined
    : { message: `${quote(value)} is not a time`, hint: 'write RFC 3339, as 2026-01-31T12:00:00Z, or leave it out' },
);

/** Keys of labels and annotations: an optional DNS prefix, a slash, and a name of at most 63 characters. */
function qualifiedNameFlaw(key: string): Flaw | undefined {
  const slash = key.indexOf('/');
  const name = key.slice(slash + 1);
  const prefixIsGood = slash < 0 || dnsSubdomainFlaw(key.slice(0, slash).toLowerCase()) === undefined;
  if (prefixIsGood && name.length <= 63 && /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(name)) return undefined;
  return { message: `${quote(key)} is not a name for a label or annotation`, hint: 'write name or prefix.example.com/name, of letters, digits, -, _ and .' };
}

const keyed = z
  .record(z.string(), z.string())
  .superRefine(
    flaws((record) =>
      Object.keys(record).flatMap((key) => (qualifiedNameFlaw(key) === undefined ? [] : [{ ...(qualifiedNameFlaw(key) as Flaw), path: [key] }])),
    ),
  );

const common = {
  generation: z.number().int().nonnegative().exactOptional(),
  creationTimestamp: timestamp.exactOptional(),
  annotations: keyed.default({}),
  labels: keyed.default({}),
  uid: z.string().exactOptional(),
  resourceVersion: z.string().exactOptional(),
  generateName: unused,
  selfLink: unused,
  deletionTimestamp: unused,
  deletionGracePeriodSeconds: unused,
  ownerReferences: unused,
  finalizers: unused,
  managedFields: unused,
};

export interface Metadata {
  readonly name: string;
  /** Empty for cluster-scoped kinds. */
  readonly namespace: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

function kept(value: Metadata): Metadata {
  return {
    name: value.name,
    namespace: value.namespace,
    annotations: value.annotations,
    labels: value.labels,
    ...(value.generation === undefined ? {} : { generation: value.generation }),
    ...(value.creationTimestamp === undefined ? {} : { creationTimestamp: value.creationTimestamp }),
    ...(value.uid === undefined ? {} : { uid: value.uid }),
    ...(value.resourceVersion === undefined ? {} : { resourceVersion: value.resourceVersion }),
  };
}

/** ObjectMeta of a kind that lives in namespaces; `default` where none is given. */
export function namespacedMetadata(name: typeof dnsSubdomain | typeof dnsLabel = dnsSubdomain) {
  return strictObject({ name, namespace: dnsLabel.default('default'), ...common }).transform(kept);
}

/** ObjectMeta of a cluster-scoped kind; a namespace means nothing there. */
export function clusterMetadata() {
  return strictObject({ name: dnsSubdomain, namespace: unused, ...common }).transform((value) => kept({ ...value, namespace: '' }));
}
