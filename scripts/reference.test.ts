import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { EXAMPLES, FOLDER, fileName, generateReference } from './reference.ts';

const pages = generateReference();

describe('docs/reference/', () => {
  test('holds what the schemas and examples give, and nothing else: run "make crds"', () => {
    const there = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));
    assert.deepEqual(there.sort(), [...pages.keys()].sort());
    for (const [name, text] of pages) assert.equal(readFileSync(join(FOLDER, name), 'utf8'), text, `${name} has drifted`);
  });

  test('every example has the page that it is for', () => {
    const named = new Set([...pages.keys()].map((path) => path.replace(/^filters\//, '').replace(/\.md$/, '')));
    for (const file of readdirSync(EXAMPLES)) {
      const name = file.replace(/\.yaml$/, '');
      assert.ok(named.has(name) || [...named].some((kind) => name.startsWith(`${kind}-`)), `${file} belongs to no kind and no filter`);
    }
  });

  test('every field is told of', () => {
    for (const [name, text] of pages) assert.doesNotMatch(text, /\| {2}\|$/m, `${name} has a field without a description`);
  });

  test('names of files', () => {
    assert.equal(fileName('requestHeaderModifier'), 'request-header-modifier');
    assert.equal(fileName('RateLimitPolicy'), 'rate-limit-policy');
  });
});
