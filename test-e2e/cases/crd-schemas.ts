/** The schemas in crds/, as a tree that tests can walk over. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';

export interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  /** Of a map: its values. */
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message: string }[];
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'map' | 'set';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly description?: string;
}

export interface CustomKind {
  readonly kind: string;
  readonly plural: string;
  readonly apiVersion: string;
  readonly spec: Schema;
  readonly status: Schema;
}

interface Definition {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string; readonly plural: string };
    readonly versions: readonly {
      readonly name: string;
      readonly schema: { readonly openAPIV3Schema: { readonly properties: { spec: Schema; status: Schema } } };
    }[];
  };
}

const root = join(import.meta.dirname, '../..');

/** Every kind of ours, in every version. */
export const customKinds: readonly CustomKind[] = globSync('crds/*.yaml', { cwd: root })
  .sort()
  .flatMap((file) => {
    const { group, names, versions } = (load(readFileSync(join(root, file), 'utf8')) as Definition).spec;
    return versions.map(({ name, schema }) => ({
      kind: names.kind,
      plural: names.plural,
      apiVersion: `${group}/${name}`,
      spec: schema.openAPIV3Schema.properties.spec,
      status: schema.openAPIV3Schema.properties.status,
    }));
  });

/** Visits a schema and all below it; items of a list have `[]` behind their path. */
export function walk(schema: Schema, path: string, visit: (schema: Schema, path: string) => void): void {
  visit(schema, path);
  for (const [name, inner] of Object.entries(schema.properties ?? {})) walk(inner, `${path}.${name}`, visit);
  if (schema.items !== undefined) walk(schema.items, `${path}[]`, visit);
}
