/** What the API server refuses for us, by the schemas and rules in crds/: every rule, and unknown fields at every place. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { endWith, wholeFile } from '../../test/gateway/lifetime.ts';
import type { ApiAnswer } from '../cluster/api-client.ts';
import { Cluster } from '../cluster/cluster.ts';
import { EXAMPLES } from './crd-examples.ts';
import { RULES } from './crd-rules.ts';
import { type CustomKind, customKinds, type Schema, walk } from './crd-schemas.ts';

const cluster = Cluster.open(wholeFile);
let namespace: string;
before(async () => {
  namespace = await cluster.namespace(wholeFile, 'crd');
});

/** What the API server says to a new object, which it does not keep. */
async function tryToCreate(kind: CustomKind, spec: unknown, validation = 'Strict'): Promise<ApiAnswer> {
  const object = { apiVersion: kind.apiVersion, kind: kind.kind, metadata: { name: 'tried', namespace }, spec };
  return cluster.api.call('POST', `/apis/${kind.apiVersion}/namespaces/${namespace}/${kind.plural}?dryRun=All&fieldValidation=${validation}`, object);
}

function kindOf(name: string): CustomKind {
  const found = customKinds.find((kind) => kind.kind === name);
  assert.ok(found !== undefined, `crds/ has ${name}`);
  return found;
}

describe('rules of the CRDs', () => {
  test('all have a case here, and every case a rule', () => {
    const written: string[] = [];
    for (const { kind, spec } of customKinds) {
      walk(spec, 'spec', (schema, path) => {
        for (const { message } of schema['x-kubernetes-validations'] ?? []) written.push(`${kind} ${path}: ${message}`);
      });
    }
    assert.deepEqual(RULES.map(({ kind, path, message }) => `${kind} ${path}: ${message}`).sort(), written.sort());
  });

  for (const { kind, path, message, kept, broken } of RULES) {
    test(`${kind} ${path}: ${message}`, async () => {
      const custom = kindOf(kind);
      for (const spec of kept) {
        const { status, body } = await tryToCreate(custom, spec);
        assert.equal(status, 201, `${JSON.stringify(spec)}: ${body.message}`);
      }
      for (const spec of broken) {
        const { status, body } = await tryToCreate(custom, spec);
        assert.equal(status, 422, JSON.stringify(spec));
        const told = (body.details.causes as { field: string; message: string }[]).find((cause) => cause.message.includes(message));
        assert.ok(told !== undefined, `${JSON.stringify(spec)}: ${body.message}`);
        assert.equal(told.field.replaceAll(/\[\d+\]/g, '[]'), path);
      }
    });
  }
});

/** Paths of what the schema of a kind knows, as `wanted` has them. */
function pathsOf(custom: CustomKind, wanted: (schema: Schema) => boolean): string[] {
  const paths: string[] = [];
  walk(custom.spec, 'spec', (schema, path) => {
    if (wanted(schema)) paths.push(path);
  });
  return paths.sort();
}

/** Every object of a value, by its path in the schema, with a way to put a field into a copy of the whole. */
function objectsOf(value: unknown): Map<string, (field: string) => { readonly changed: unknown; readonly place: string }> {
  const found = new Map<string, (field: string) => { changed: unknown; place: string }>();
  const visit = (inner: unknown, steps: readonly (string | number)[]): void => {
    if (Array.isArray(inner)) {
      for (const [index, item] of inner.entries()) visit(item, [...steps, index]);
      return;
    }
    if (typeof inner !== 'object' || inner === null) return;
    const path = steps.map((step) => (typeof step === 'number' ? '[]' : `.${step}`)).join('');
    found.set(`spec${path}`, (field) => {
      const changed = structuredClone(value);
      // biome-ignore lint/suspicious/noExplicitAny: one step after another into plain data.
      const target = steps.reduce((at: any, step) => at[step], changed);
      target[field] = 'unknown';
      return { changed, place: `spec${steps.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('')}.${field}` };
    });
    for (const [name, item] of Object.entries(inner)) visit(item, [...steps, name]);
  };
  visit(value, []);
  return found;
}

describe('unknown fields', () => {
  for (const custom of customKinds) {
    describe(custom.kind, () => {
      const objects = objectsOf(EXAMPLES[custom.kind]);
      // Their keys are what users name.
      const maps = new Map(pathsOf(custom, ({ additionalProperties }) => additionalProperties !== undefined).map((path) => [path, objects.get(path)]));
      for (const path of maps.keys()) objects.delete(path);

      test('its example is good, and has every object that the schema knows', async () => {
        const { status, body } = await tryToCreate(custom, EXAMPLES[custom.kind]);
        assert.equal(status, 201, body.message);
        assert.deepEqual(
          pathsOf(custom, (schema) => schema['x-kubernetes-preserve-unknown-fields'] === true),
          [],
          'nothing takes anything',
        );
        assert.deepEqual(
          [...objects.keys()].sort(),
          pathsOf(custom, ({ type, additionalProperties }) => type === 'object' && additionalProperties === undefined),
        );
        assert.deepEqual(
          [...maps].filter(([, insert]) => insert === undefined).map(([path]) => path),
          [],
          'every map has an entry',
        );
      });

      test('are refused wherever they stand, and with the name of their place', async () => {
        for (const insert of objects.values()) {
          const { changed, place } = insert('unheardOf');
          const { status, body } = await tryToCreate(custom, changed);
          assert.equal(status, 400, place);
          assert.ok(body.message.includes(`unknown field "${place}"`), `${place}: ${body.message}`);
        }
      });

      test('are dropped where the client asked for no validation', async () => {
        const { changed } = objects.get('spec')?.('unheardOf') ?? {};
        const { status, body } = await tryToCreate(custom, changed, 'Ignore');
        assert.equal(status, 201);
        assert.deepEqual(body.spec, EXAMPLES[custom.kind]);
      });
    });
  }
});

describe('kubectl apply', () => {
  test('tells of a rule and of an unknown field in words that a user can act on', async (t) => {
    const manifest = (spec: string): string => `apiVersion: tidegate.dev/v1alpha1\nkind: ApiRoute\nmetadata: { name: told }\nspec: ${spec}\n`;
    endWith(t, () => cluster.kubectl(['delete', 'apiroute', 'told', '--namespace', namespace, '--ignore-not-found']));
    const apply = (spec: string): ReturnType<typeof cluster.kubectl> => cluster.kubectl(['apply', '--namespace', namespace, '--filename', '-'], manifest(spec));
    const unknown = await apply('{ hostname: a.example.com, rules: [{}] }');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /unknown field "spec\.hostname"/);
    const twice = await apply('{ rules: [{ filters: { requestRedirect: {}, directResponse: { statusCode: 200 } } }] }');
    assert.equal(twice.code, 1);
    assert.match(twice.stderr, /spec\.rules\[0\]\.filters: Invalid value: .*a rule answers once: use requestRedirect or directResponse/);
    assert.equal((await apply('{ rules: [{}] }')).code, 0);
  });
});
