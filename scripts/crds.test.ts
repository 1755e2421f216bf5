import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { load } from 'js-yaml';
import { FOLDERS, generateCrds } from './crds.ts';

const files = generateCrds();

describe('crds/', () => {
  for (const path of FOLDERS) {
    test(`${path} holds what the schemas give, and nothing else: run "make crds"`, () => {
      const folder = join(import.meta.dirname, '..', path);
      assert.deepEqual(readdirSync(folder).sort(), [...files.keys()].sort());
      for (const [name, text] of files) assert.equal(readFileSync(join(folder, name), 'utf8'), text, `${name} has drifted from src/resources/`);
    });
  }

  for (const [name, text] of files) {
    const crd = load(text) as {
      metadata: { name: string };
      spec: {
        names: { plural: string; shortNames: string[]; categories: string[] };
        versions: { subresources: object; additionalPrinterColumns: { name: string }[]; schema: { openAPIV3Schema: Node } }[];
      };
    };
    const version = crd.spec.versions[0];
    assert.ok(version);

    test(`${name}: names and columns`, () => {
      assert.equal(crd.metadata.name, `${crd.spec.names.plural}.tidegate.dev`);
      assert.deepEqual(crd.spec.names.categories, ['tidegate']);
      assert.equal(crd.spec.names.shortNames.length, 1);
      assert.deepEqual(version.subresources, { status: {} });
      assert.deepEqual(
        version.additionalPrinterColumns.slice(1).map((column) => column.name),
        ['Accepted', 'Programmed', 'Age'],
      );
    });

    test(`${name}: structural, described, and with a bound wherever CEL is to run`, () => {
      walk(version.schema.openAPIV3Schema, '', (node, path) => {
        const isIntOrString = node['x-kubernetes-int-or-string'] === true;
        assert.equal(typeof node.type === 'string', !isIntOrString, `${path} needs a type`);
        for (const word of ['$ref', 'anyOf', 'oneOf', 'allOf', 'const', 'patternProperties', 'exclusiveMinimum']) {
          assert.ok(!(word in node), `${path} has ${word}`);
        }
        // Of a map with names of the user's choice; beside properties the API server takes none.
        assert.ok(!('additionalProperties' in node && 'properties' in node), `${path} has additionalProperties beside properties`);
        if (node.type === 'array')
          assert.ok(typeof node.maxItems === 'number' && typeof node['x-kubernetes-list-type'] === 'string', `${path} needs maxItems and a list type`);
        for (const key of (node['x-kubernetes-list-map-keys'] as string[] | undefined) ?? []) {
          assert.ok((node.items as Node & { required?: string[] }).required?.includes(key), `${path}: the key ${key} must be required`);
        }
        if (!path.endsWith('[]') && path !== '.metadata') assert.match(String(node.description), /^\S.{7,}\.$/, `${path} needs a description`);
        assert.ok(!('default' in node), `${path} has a default, which the API server would write into users' objects`);
        if (typeof node.pattern === 'string') new RegExp(node.pattern);
        assert.ok(
          node.properties === undefined || Object.keys(node.properties).length > 0,
          `${path} has properties and none in them, which the API server drops`,
        );
        for (const { rule, message } of (node['x-kubernetes-validations'] as { rule: string; message: string }[] | undefined) ?? []) {
          for (const [, field] of rule.matchAll(/self\.([A-Za-z0-9]+)/g))
            assert.ok(field !== undefined && field in (node.properties ?? {}), `${path}: the rule names ${field}`);
          assert.ok(message.length > 10);
        }
      });
    });
  }

  test('the rules that the reference asks of the API server', () => {
    const rules = [...files.values()].join('\n');
    for (const rule of ['has(self.requestRedirect) && has(self.directResponse)', 'has(self.period) != has(self.calendar)', 'FixedWindow'])
      assert.ok(rules.includes(rule), rule);
  });
});

interface Node {
  readonly [word: string]: unknown;
  readonly properties?: Readonly<Record<string, Node>>;
}

function walk(node: Node, path: string, visit: (node: Node, path: string) => void): void {
  visit(node, path);
  for (const [name, inner] of Object.entries(node.properties ?? {})) walk(inner, `${path}.${name}`, visit);
  if (node.items !== undefined) walk(node.items as Node, `${path}[]`, visit);
  if (node.additionalProperties !== undefined) walk(node.additionalProperties as Node, `${path}[]`, visit);
}
